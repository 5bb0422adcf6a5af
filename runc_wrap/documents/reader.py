"""Reading a JSON document into a record, whose annotations are its types and bounds; writing it.

    @record
    class Call:
        name: Annotated[str, Most(64)]
        errno: Annotated[int, Within(0, 4095)] = 0

    read(Answer, data)    calls[3].errno: found "EPERM", wanted a whole number from 0 to 4095

Types are str, int, float, bool, Literal, list[X], tuple[X, ...], tuple[X, Y], dict[str, X],
X | None, a record, and Any, which is kept as it is. Null counts as absent, as in Go's decoder. Keys
that a record does not have are ignored, unless it is `closed`: a newer release may write them. Of a
key that occurs twice the last counts. What types cannot say, a record's __post_init__ checks; it
raises ValueError.
"""

import types
from collections.abc import Callable, Iterator
from dataclasses import MISSING, Field, dataclass, fields, is_dataclass
from functools import cache, partial
from typing import (
    Annotated,
    Any,
    Literal,
    TypeVar,
    Union,
    dataclass_transform,
    get_args,
    get_origin,
    get_type_hints,
)

from runc_wrap import safe_text
from runc_wrap.documents import constraints
from runc_wrap.documents.constraints import Among, First, Key, Like, Most, Within
from runc_wrap.hotpath import json_codec

Record = TypeVar("Record")
Reads = Callable[[Any], Any]
Marks = dict[type, Any]
_LONGEST_SHOWN, _LONGEST_KEY = 60, 40
_HUGE = 1 << 64


class DocumentError(ValueError):
    """A document cannot be used; the message is `place: found …, wanted …`, safe to print."""


class _Unfit(Exception):
    """A value does not fit. `steps` are the keys and indexes that lead to it, backwards."""

    def __init__(self, sentence: str) -> None:
        super().__init__(sentence)
        self.steps: list[str | int] = []


@dataclass_transform(frozen_default=True)
def record(kind: type[Record]) -> type[Record]:
    """Make a class a record: a dataclass whose annotations are read at run time.

    mypy keeps it immutable; to keep it so at run time would double the time that reading takes.
    """
    return dataclass(unsafe_hash=True)(kind)


@dataclass_transform(frozen_default=True)
def closed(kind: type[Record]) -> type[Record]:
    """Make a class a record that refuses keys which it does not have."""
    kind.is_closed = True  # type: ignore[attr-defined]  # _object reads it
    return record(kind)


def read(kind: type[Record], data: bytes) -> Record:
    """Return the record in a document. Raises DocumentError."""
    try:
        value = json_codec.loads(data)
    except json_codec.Unreadable as error:
        raise DocumentError(f"it is not JSON: {safe_text.name(str(error))}") from None
    return taken(kind, value)


def taken(kind: type[Record], value: object) -> Record:
    """Return the record in a decoded value. Raises DocumentError."""
    try:
        made: Record = _reads(kind)(value)  # type: ignore[arg-type]  # types are hashable
    except _Unfit as error:
        words = (
            f"[{one}]" if isinstance(one, int) else f".{safe_text.name(one, _LONGEST_KEY)}"
            for one in reversed(error.steps)
        )
        place = "".join(words).removeprefix(".")
        raise DocumentError(f"{place}: {error}" if place else str(error)) from None
    return made


def written(made: object) -> Any:
    """Return the JSON value of a record, from which `taken` makes it again."""
    if is_dataclass(made) and not isinstance(made, type):
        return {key: written(getattr(made, name)) for name, key, _, _ in _members(type(made))}
    if isinstance(made, dict):
        return {key: written(value) for key, value in made.items()}
    return [written(one) for one in made] if isinstance(made, (list, tuple)) else made


def shown(value: object) -> str:
    """Return any value in a few safe words."""
    match value:
        case None:
            return "nothing"
        case bool():
            return "true" if value else "false"
        case str():
            return f'"{safe_text.name(value, _LONGEST_SHOWN)}"'
        case int() if abs(value) > _HUGE:
            return "a huge number"
        case list():
            return f"a list of {len(value)}"
        case dict():
            return "an object"
    return safe_text.name(value, _LONGEST_SHOWN)


def _unfit(value: object, wanted: str) -> _Unfit:
    return _Unfit(f"found {shown(value)}, wanted {wanted}")


@cache
def _reads(kind: Any, *marks: Any) -> Reads:
    """Return what reads a value of an annotated type."""
    origin, inner = get_origin(kind) or kind, get_args(kind)
    if origin is Annotated:
        return _reads(inner[0], *inner[1:], *marks)
    if origin in (Union, types.UnionType):
        (some,) = (one for one in inner if one is not type(None))
        reads = _reads(some, *marks)
        return lambda value: None if value is None else reads(value)
    if origin is Literal:
        return _exact(Among(*inner))
    if is_dataclass(kind):
        return _object(kind)
    return _KINDS[origin](inner, {type(one): one for one in marks})


def _members(kind: Any) -> list[tuple[str, str, Reads, tuple[Any, ...]]]:
    """Return of each field its name, its key in the document, what reads it, and its default."""
    hints = get_type_hints(kind, include_extras=True)
    return [(one.name, *_member(one, hints[one.name])) for one in fields(kind)]


def _member(field: Field[Any], hint: Any) -> tuple[str, Reads, tuple[Any, ...]]:
    marks = get_args(hint)[1:] if get_origin(hint) is Annotated else ()
    key = next((one.name for one in marks if isinstance(one, Key)), field.name)
    reads = _reads(hint)
    if field.default_factory is not MISSING:
        made = field.default_factory
        return key, lambda value: made() if value is None else reads(value), ()
    if field.default is MISSING:
        return key, reads, ()
    if get_origin(hint) in (Union, types.UnionType):  # what reads it gets no null
        reads = _reads(next(one for one in get_args(hint) if one is not type(None)))
    return key, reads, (field.default,)


def _object(kind: Any) -> Reads:
    members = _members(kind)
    known, is_closed = [key for _, key, _, _ in members], getattr(kind, "is_closed", False)

    def reads(value: Any) -> Any:
        if type(value) is not dict:
            raise _unfit(value, "an object")
        if is_closed and (unknown := [key for key in value if key not in known]):
            error = _Unfit(f"the key is not known{safe_text.near(unknown[0], known)}")
            error.steps.append(unknown[0])
            raise error
        get, made, key = value.get, [], ""
        try:
            for _, key, inner, default in members:
                member = get(key)
                made.append(default[0] if member is None and default else inner(member))
        except _Unfit as error:
            error.steps.append(key)
            raise
        try:
            return kind(*made)
        except ValueError as error:
            raise _Unfit(str(error)) from None

    return reads


def _exact(among: Among) -> Reads:
    def reads(value: Any) -> Any:
        if type(value) in (str, int) and among.fits(value):
            return value
        raise _unfit(value, among.words)

    return reads


def _length(marks: Marks, otherwise: int) -> tuple[int, bool]:
    """Return the most characters or items, and whether what is longer is cut."""
    mark = marks.get(First) or marks.get(Most) or Most(otherwise)
    return mark.length, type(mark) is First


def _text(_: Any, marks: Marks) -> Reads:
    most, is_cut = _length(marks, constraints.LONGEST)
    like: Like | Among | None = marks.get(Like) or marks.get(Among)

    def reads(value: Any) -> Any:
        if type(value) is str and len(value) <= most:
            if like is None or like.fits(value):
                return value
            near = safe_text.near(value, map(str, like.values)) if isinstance(like, Among) else ""
            raise _unfit(value, like.words + near)
        if type(value) is str and is_cut:
            return value[:most]
        if value is None and like:
            raise _unfit(value, like.words)
        raise _unfit(value, f"a text of at most {most} characters")

    return reads


def _between(kinds: tuple[type, ...], words: str, _: Any, marks: Marks) -> Reads:
    within = marks.get(Within) or Within(-constraints.LARGEST)
    least, largest, make = within.least, within.largest, kinds[-1]

    def reads(value: Any) -> Any:
        if type(value) in kinds and least <= value <= largest:
            return value if type(value) is make else make(value)
        raise _unfit(value, f"{words} from {least} to {largest}")

    return reads


def _flag(*_: Any) -> Reads:
    def reads(value: Any) -> Any:
        if type(value) is bool:
            return value
        raise _unfit(value, "true or false")

    return reads


def _list(inner: Any, marks: Marks) -> Reads:
    most, is_cut = _length(marks, constraints.MOST)
    item = _reads(inner[0])

    def reads(value: Any) -> Any:
        if type(value) is not list or (len(value) > most and not is_cut):
            raise _unfit(value, f"a list of at most {most}")
        return _all(map(item, value[:most]))

    return reads


def _all(items: Iterator[Any]) -> list[Any]:
    """Return them, each of which is read when it is asked for."""
    made: list[Any] = []
    try:
        made.extend(items)
    except _Unfit as error:
        error.steps.append(len(made))
        raise
    return made


def _tuple(inner: Any, marks: Marks) -> Reads:
    if inner[-1] is ...:
        listed = _list(inner, marks)
        return lambda value: tuple(listed(value))
    items = [_reads(one) for one in inner]

    def reads(value: Any) -> Any:
        if type(value) is not list or len(value) != len(items):
            raise _unfit(value, f"a list of {len(items)}")
        return tuple(_all(item(one) for item, one in zip(items, value, strict=True)))

    return reads


def _map(inner: Any, marks: Marks) -> Reads:
    most, _ = _length(marks, constraints.MOST)
    name, item = map(_reads, inner)

    def reads(value: Any) -> Any:
        if type(value) is not dict or len(value) > most:
            raise _unfit(value, f"an object of at most {most} members")
        made, key = {}, ""
        try:
            for key, one in value.items():
                made[name(key)] = item(one)
        except _Unfit as error:
            error.steps.append(key)
            raise
        return made

    return reads


_KINDS: dict[Any, Callable[[Any, Marks], Reads]] = {
    str: _text,
    int: partial(_between, (int,), "a whole number"),
    float: partial(_between, (int, float), "a number"),
    bool: _flag,
    list: _list,
    tuple: _tuple,
    dict: _map,
    Any: lambda *_: lambda value: value,
}

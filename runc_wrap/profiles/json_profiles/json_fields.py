"""Reading JSON strictly: errors give the place of what is misspelt, mistyped or out of range.

A misspelt key in a profile would silently loosen it, so every reader here lists the keys that it
accepts. Messages have one form: source: place: what was found; what was wanted or to try.
"""

import json
from collections.abc import Collection, Iterator
from typing import Any, NoReturn

from runc_wrap import safe_text
from runc_wrap.profiles.source_profile import ProfileError

MAX_BYTES = 4 << 20
UINT64_MAX = (1 << 64) - 1


def decode(data: bytes, source: str) -> object:
    """Return the value of a JSON document. Bounded; refuses duplicate keys, NaN and non-UTF-8."""
    if len(data) > MAX_BYTES:
        raise ProfileError(
            f"{source}: larger than {MAX_BYTES} bytes, the most for a seccomp profile; "
            "name another file"
        )
    try:
        return json.loads(
            data.decode(), object_pairs_hook=unique_members, parse_constant=refuse_constant
        )
    except UnicodeDecodeError as error:
        raise ProfileError(
            f"{source}: byte {error.start} is not UTF-8; write the file in UTF-8"
        ) from error
    except json.JSONDecodeError as error:
        raise ProfileError(
            f"{source}: not JSON at line {error.lineno}, column {error.colno}: "
            f"{error.msg.removesuffix(' at')}; "
            "wanted one JSON document, without comments"
        ) from error
    except RecursionError as error:
        raise ProfileError(f"{source}: nested too deeply for a seccomp profile") from error
    except ProfileError as error:
        raise ProfileError(f"{source}: {error}") from error
    except ValueError as error:
        raise ProfileError(f"{source}: holds a number of thousands of digits") from error


def unique_members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object, as json's object_pairs_hook. Raises ProfileError for a duplicate key."""
    members = dict(pairs)
    if len(members) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ProfileError(f"the key {twice!r} occurs twice in one object; keep one")
    return members


def refuse_constant(constant: str) -> NoReturn:
    """Refuse NaN and the infinities, as json's parse_constant."""
    raise ProfileError(f"{constant} is not JSON; write a number")


class Fields:
    """The members of the JSON object at a place; null counts as absent, as in Go's decoder."""

    def __init__(self, value: object, source: str, place: str, known: Collection[str]) -> None:
        self._source = source
        self._place = place
        if not isinstance(value, dict):
            self._fail("", f"found {_kind(value)}, wanted an object")
        for key in value:
            self._check_key(key, known)
        self._members = {key: member for key, member in value.items() if member is not None}

    def has(self, key: str) -> bool:
        """Tell whether a member is present and not null."""
        return key in self._members

    def text(self, key: str) -> str | None:
        """Return a member that must be a string."""
        return self._string(key, self._members[key]) if self.has(key) else None

    def integer(self, key: str, high: int) -> int | None:
        """Return a member that must be an integer from 0 to `high`."""
        if not self.has(key):
            return None
        value = self._members[key]
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= high:
            self._fail(key, f"found {_kind(value)}, wanted an integer from 0 to {high}")
        return value

    def word(self, key: str, allowed: Collection[str]) -> str | None:
        """Return a member that must be one of the allowed words."""
        value = self.text(key)
        return None if value is None else self._allowed(key, value, allowed)

    def words(self, key: str, allowed: Collection[str] = ()) -> tuple[str, ...]:
        """Return a member that must be a list of strings, each among `allowed` if that is given."""
        texts = [(place, self._string(place, item)) for place, item in self._list(key)]
        return tuple(
            self._allowed(place, text, allowed) if allowed else text for place, text in texts
        )

    def objects(self, key: str, known: Collection[str]) -> "Iterator[Fields]":
        """Yield the objects of a list, each of which may have the known keys only."""
        for place, item in self._list(key):
            yield Fields(item, self._source, self._at(place), known)

    def nested(self, key: str, known: Collection[str]) -> "Fields":
        """Return the object that a member holds, an empty one if it is absent."""
        return Fields(self._members.get(key, {}), self._source, self._at(key), known)

    def fail(self, key: str, sentence: str) -> NoReturn:
        """Raise a ProfileError on a member."""
        self._fail(key, sentence)

    def _list(self, key: str) -> list[tuple[str, object]]:
        value = self._members.get(key, [])
        if not isinstance(value, list):
            self._fail(key, f"found {_kind(value)}, wanted a list")
        return [(f"{key}[{index}]", item) for index, item in enumerate(value)]

    def _string(self, key: str, value: object) -> str:
        if not isinstance(value, str):
            self._fail(key, f"found {_kind(value)}, wanted a string")
        if not _is_unicode(value):
            self._fail(key, f"found {value!a}, which holds half a surrogate pair")
        return value

    def _allowed(self, key: str, value: str, allowed: Collection[str]) -> str:
        if value not in allowed:
            self._fail(key, f"{value!r} is not known; {_suggestion(value, allowed)}")
        return value

    def _check_key(self, key: str, known: Collection[str]) -> None:
        if key in known:
            return
        for name in known:
            if key.lower() == name.lower():
                self._fail(key, f"differs from {name!r} only in case; write {name!r}")
        self._fail(ascii(key)[1:-1], f"the key is not known; {_suggestion(key, known)}")

    def _at(self, key: str) -> str:
        return ".".join(part for part in (self._place, key) if part)

    def _fail(self, key: str, sentence: str) -> NoReturn:
        place = self._at(key)
        raise ProfileError(": ".join(part for part in (self._source, place, sentence) if part))


def _is_unicode(text: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in text)


def _kind(value: object) -> str:
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return "a list"
    if value is None:
        return "null"
    text = json.dumps(value)
    return text if len(text) <= len("SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV") else text[:30] + "…"


def _suggestion(word: str, known: Collection[str]) -> str:
    if near := safe_text.nearest(word, known):
        return f"did you mean {near!r}?"
    return "known are: " + ", ".join(sorted(known))

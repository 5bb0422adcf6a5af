"""Reading JSON strictly: a bounded document, in which no key is unknown or occurs twice.

A misspelt key in a profile would silently loosen it. Messages have one form: source: place: what
was found; what was wanted or to try.
"""

import json
from typing import Any, NoReturn, TypeVar

from runc_wrap.documents import reader
from runc_wrap.profiles.source_profile import ProfileError

MAX_BYTES = 4 << 20
Record = TypeVar("Record")


def decode(data: bytes, source: str) -> object:
    """Return the value of a JSON document. Bounded; refuses duplicate keys, NaN and non-UTF-8."""
    if len(data) > MAX_BYTES:
        raise ProfileError(f"{source}: larger than {MAX_BYTES} bytes; is it the right file?")
    try:
        return json.loads(
            data.decode(), object_pairs_hook=unique_members, parse_constant=refuse_constant
        )
    except (ProfileError, ValueError, RecursionError) as error:
        raise ProfileError(f"{source}: not JSON: {error}") from None


def taken(kind: type[Record], value: object, source: str) -> Record:
    """Return the record in a decoded value. Raises ProfileError."""
    try:
        return reader.taken(kind, value)
    except reader.DocumentError as error:
        raise ProfileError(f"{source}: {error}") from None


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

"""The fields of a document's objects, each of its type and within its bounds, and a call's."""

from __future__ import annotations

import re
from typing import Any

from runc_wrap import safe_text
from runc_wrap.report.call_row import MOST_KINDS, CallRow
from runc_wrap.report.outcomes import WORST_FIRST

Json = dict[str, Any]
LARGEST_NUMBER = 10**15  # of anything that a node counts
LONGEST_PROGRAM = 500  # characters that are kept of a program's path
_MOST_PROGRAMS = 10
_LONGEST_SHOWN = 60
_LONGEST_WORD = 64
_LONGEST_OUTCOME = 400
_UINT64 = (1 << 64) - 1
_UINT32 = (1 << 32) - 1
_LEAST_NUMBER = -(1 << 31)  # the kernel records a call's number as a signed one
_ARGUMENTS = 6
_is_time = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", re.ASCII).fullmatch


class BadDocument(ValueError):
    """A node's document cannot be merged; the message is the rest of a sentence about it."""


def call(value: object) -> CallRow:
    """Return one call. Raises BadDocument."""
    if not isinstance(value, dict):
        raise BadDocument(f"a call is {shown(value)}, not an object")
    verdict = value.get("verdict")
    if verdict is not None and verdict not in WORST_FIRST:
        raise BadDocument(f"a call's verdict is {shown(verdict)}")
    args = _arguments(value.get("args"))
    programs = texts(value, "programs", _MOST_PROGRAMS)
    return CallRow(
        number(value, "arch", _UINT32),
        number(value, "number", _UINT32, _LEAST_NUMBER),
        said(value, "abi", _LONGEST_WORD) or "",
        said(value, "syscall", _LONGEST_WORD) or "",
        verdict,
        said(value, "errno", _LONGEST_WORD),
        said(value, "outcome", _LONGEST_OUTCOME) or "not known",
        value.get("expected") is True,  # releases before 0.3 do not say it
        number(value, "count"),
        time(value, "first") or "",
        time(value, "last") or "",
        {name[:LONGEST_PROGRAM]: 1 for name in programs},
        args or {},
        args is not None,
    )


def _arguments(value: object) -> dict[tuple[int | None, ...], None] | None:
    """Return the kinds of arguments of a call, None if they are unknown. Raises BadDocument."""
    if value is None:
        return None
    if not isinstance(value, list) or len(value) > MOST_KINDS:
        raise BadDocument(f"args is {shown(value)}, not a list of at most {MOST_KINDS}")
    for one in value:
        if not isinstance(one, list) or len(one) > _ARGUMENTS or not all(map(_is_argument, one)):
            raise BadDocument("args has what is no list of at most six numbers of 64 bits")
    return {tuple(one): None for one in value}


def _is_argument(value: object) -> bool:
    return value is None or (type(value) is int and 0 <= value <= _UINT64)


def number(value: Json, key: str, largest: int = LARGEST_NUMBER, least: int = 0) -> int:
    """Return a whole number that is neither smaller nor larger than can be."""
    found = value.get(key)
    if type(found) is int and least <= found <= largest:
        return found
    raise BadDocument(f"{key} is {shown(found)}, not a whole number from {least} to {largest}")


def flag(value: Json, key: str) -> bool:
    """Return true or false."""
    found = value.get(key)
    if isinstance(found, bool):
        return found
    raise BadDocument(f"{key} is {shown(found)}, not true or false")


def said(value: Json, key: str, longest: int) -> str | None:
    """Return a text, None for null or nothing."""
    found = value.get(key)
    if found is None or (isinstance(found, str) and len(found) <= longest):
        return found
    raise BadDocument(f"{key} is {shown(found)}, not a text of at most {longest} characters")


def texts(value: Json, key: str, most: int) -> list[str]:
    """Return the first texts of a list."""
    found = value.get(key)
    if isinstance(found, list) and {str}.issuperset(map(type, found[:most])):
        return found[:most]
    raise BadDocument(f"{key} is {shown(found)}, not a list of texts")


def time(value: Json, key: str) -> str | None:
    """Return a time in the form of coverage.rfc3339, None for null."""
    found = value.get(key)
    if found is None or (isinstance(found, str) and _is_time(found)):
        return found
    raise BadDocument(f"{key} is {shown(found)}, not a time such as 2027-01-31T18:00:00Z")


def shown(value: object) -> str:
    """Return any value in a few safe words."""
    match value:
        case None:
            return "nothing"
        case list():
            return f"a list of {len(value)}"
        case dict():
            return "an object"
        case str():
            return f'"{safe_text.name(value, _LONGEST_SHOWN)}"'
    return safe_text.name(value, _LONGEST_SHOWN)

"""How long somebody looked while a container ran, and how much that is worth in words. Pure."""

from __future__ import annotations

import calendar
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

Interval = tuple[float, float]

NONE, HARDLY, BRIEFLY, FAIRLY, WELL = range(5)
WORDS = (
    "nothing known",
    "hardly watched",
    "watched briefly",
    "watched fairly long",
    "well watched",
)
_MINUTE, _HOUR, _DAY = 60.0, 3600.0, 86400.0
_ENOUGH = ((7 * _DAY, WELL), (_DAY, FAIRLY), (_HOUR, BRIEFLY))
_UNITS = ((_DAY, "day"), (_HOUR, "hour"), (_MINUTE, "minute"), (1.0, "second"))


def overlap(watched: Iterable[Interval], begin: float, end: float) -> list[Interval]:
    """Return the parts of these times that lie between `begin` and `end`, joined."""
    found: list[Interval] = []
    for one_begin, one_end in sorted(watched):
        low, high = max(one_begin, begin), min(one_end, end)
        if low >= high:
            continue
        if found and low <= found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], high))
        else:
            found.append((low, high))
    return found


def length(intervals: Iterable[Interval]) -> float:
    """Return the seconds of times that do not overlap."""
    return sum(end - begin for begin, end in intervals)


def grade(seconds: float, *, doubtful: bool) -> int:
    """Return how much it is worth to have seen nothing: one of WORDS; doubts take one off."""
    if seconds <= 0:
        return NONE
    found = next((worth for enough, worth in _ENOUGH if seconds >= enough), HARDLY)
    return max(found - doubtful, HARDLY)


def words(seconds: float) -> str:
    """Return a duration in words, in its largest unit."""
    for unit, name in _UNITS:
        if seconds >= unit:
            number = int(seconds // unit)
            return f"{number} {name}" + "s" * (number != 1)
    return "less than a second"


def epoch(text: str | None) -> float | None:
    """Return a time of the ledger as seconds since the epoch, None for what is none."""
    try:
        return float(calendar.timegm(time.strptime(text or "", "%Y-%m-%dT%H:%M:%SZ")))
    except ValueError:
        return None


def rfc3339(seconds: float | None) -> str | None:
    """Return seconds since the epoch as the ledger writes times."""
    if seconds is None:
        return None
    try:
        return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))
    except (ValueError, OverflowError, OSError):
        return None

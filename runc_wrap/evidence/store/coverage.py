"""How long a container was watched, and how much that is worth."""

from __future__ import annotations

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
_HOUR, _DAY = 3600.0, 86400.0
_ENOUGH = ((7 * _DAY, WELL), (_DAY, FAIRLY), (_HOUR, BRIEFLY))


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
    """Return what it is worth to have seen nothing: an index of WORDS; a doubt takes one off."""
    if seconds <= 0:
        return NONE
    found = next((worth for enough, worth in _ENOUGH if seconds >= enough), HARDLY)
    return max(found - doubtful, HARDLY)

"""Intervals in which records were lost, by kind, in bounded number.

If there are too many, the nearest two are joined with the time between them: better to call too
much lost than too little.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

from runc_wrap.evidence.store import call_counts

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runc_wrap.evidence.sightings import LossSpan

Kind = tuple[str, str]  # source, why

MOST_KINDS = 200
MOST = 64  # times of one kind
EVER = 1e11  # seconds since the epoch: the end of a loss at an unknown time
AT_LEAST, AT_MOST = "at least", "at most"  # how a `why` begins whose number is not exact


class Hole(NamedTuple):
    """So many records lost between two times."""

    records: int
    begin: float
    end: float


Holes = dict[Kind, list[Hole]]


def hole_of(one: LossSpan) -> Hole:
    """Return the interval of a loss."""
    if not one.time:
        return Hole(one.records, 0.0, EVER)
    begin = one.time if one.begin is None else min(one.begin, one.time)
    return Hole(one.records, begin, one.time)


def lose(into: Holes, one: LossSpan) -> None:
    """Add a loss to others of its kind; beyond MOST_KINDS the reasons are dropped."""
    kind = (one.source, call_counts.text(one.why))
    if kind not in into and len(into) >= MOST_KINDS:
        kind = (one.source, "")
    add(into.setdefault(kind, []), hole_of(one))


def add(holes: list[Hole], one: Hole) -> None:
    """Add a hole; they stay in order, apart from each other, and at most MOST."""
    for other in [each for each in holes if each.begin <= one.end and one.begin <= each.end]:
        holes.remove(other)
        one = _joined(other, one)
    holes.append(one)
    holes.sort(key=_begin)
    while len(holes) > MOST:
        distances = [after.begin - before.end for before, after in pairwise(holes)]
        place = distances.index(min(distances))
        holes[place : place + 2] = [_joined(*holes[place : place + 2])]


def between(holes: list[Hole], begin: float, end: float) -> Iterator[Hole]:
    """Yield the holes that overlap or touch this interval."""
    return (one for one in holes if one.begin <= end and begin <= one.end)


def total(holes: list[Hole]) -> int:
    """Return how many records were lost in all."""
    return sum(one.records for one in holes)


def _begin(one: Hole) -> float:
    return one.begin


def _joined(one: Hole, other: Hole) -> Hole:
    records = one.records + other.records
    return Hole(records, min(one.begin, other.begin), max(one.end, other.end))

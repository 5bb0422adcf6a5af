"""When records were lost: times, kind by kind, of bounded number.

Of too many the nearest become one, with the time between them: rather too much is called lost than
too little.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

from runc_wrap.evidence.store import call_counts

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runc_wrap.evidence.model import Lost

Kind = tuple[str, str]  # source, why

MOST_KINDS = 200
MOST = 64  # times of one kind
EVER = 1e11  # seconds since the epoch: the end of what was lost at a time that nobody knows
AT_LEAST, AT_MOST = "at least", "at most"  # how a `why` begins whose number is no exact one


class Hole(NamedTuple):
    """So many records were lost between two times."""

    records: int
    begin: float
    end: float


Holes = dict[Kind, list[Hole]]


def hole_of(one: Lost) -> Hole:
    """Return when a loss was."""
    if not one.time:
        return Hole(one.records, 0.0, EVER)
    begin = one.time if one.begin is None else min(one.begin, one.time)
    return Hole(one.records, begin, one.time)


def lose(into: Holes, one: Lost) -> None:
    """Add a loss to others of its kind; of too many kinds the reasons are not told apart."""
    kind = (one.source, call_counts.text(one.why))
    if kind not in into and len(into) >= MOST_KINDS:
        kind = (one.source, "")
    add(into.setdefault(kind, []), hole_of(one))


def add(holes: list[Hole], one: Hole) -> None:
    """Add a hole; they stay in order, touch nowhere, and are MOST at most."""
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
    """Yield the holes that have a moment in common with this time."""
    return (one for one in holes if one.begin <= end and begin <= one.end)


def total(holes: list[Hole]) -> int:
    """Return how many records were lost in all."""
    return sum(one.records for one in holes)


def _begin(one: Hole) -> float:
    return one.begin


def _joined(one: Hole, other: Hole) -> Hole:
    records = one.records + other.records
    return Hole(records, min(one.begin, other.begin), max(one.end, other.end))

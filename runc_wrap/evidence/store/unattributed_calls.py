"""Unattributed calls with their times, so that only those during a container's life cast doubt.

Calls of one kind that follow each other closely are one span. If there would be too many spans, the
two with the shortest pause between them are joined, so that their number stays bounded; when within
such a span the calls were made is then no longer known.

`elsewhere` are calls of processes known to be in no container: they cast no doubt.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

from runc_wrap.evidence.store import call_counts
from runc_wrap.evidence.store.call_counts import CallKind, Tallies, Tally

if TYPE_CHECKING:
    from collections.abc import Iterable

Json = dict[str, Any]

PAUSE, LONGEST = 1.0, 10.0  # seconds between two calls of a span, and from its first to its last
MOST = 4096  # spans of all kinds
MOST_OF_ONE = 64  # of one kind
_DIGITS = 3  # of a record's time


class Strays(Tallies):
    """Tallies that keep the times of their calls."""

    __slots__ = ("beyond", "elsewhere", "spans")

    def __init__(self) -> None:
        super().__init__()
        self.spans: dict[CallKind, list[Tally]] = {}
        self.beyond: list[Tally] = []  # of calls beyond the kinds that are kept
        self.elsewhere = Tallies()

    def count(self, call: CallKind, tally: Tally) -> CallKind | None:
        """Count calls of one kind, and keep their times."""
        kind = super().count(call, tally)
        spans = self.beyond if kind is None else self.spans.setdefault(kind, [])
        most = MOST_OF_ONE if kind is None else max(min(MOST_OF_ONE, MOST // len(self.spans)), 1)
        _take_in(spans, Tally(tally.count, tally.first, tally.last))
        _shorten(spans, most)
        return kind

    def forget(self, before: float) -> bool:
        """Forget kinds of calls last made before then; return whether there were any."""
        old = [call for call, tally in self.calls.items() if tally.last < before]
        for call in old:
            del self.calls[call], self.spans[call]
        apart = self.elsewhere.calls
        aged = [call for call, tally in apart.items() if tally.last < before]
        for call in aged:
            del apart[call]
        self.beyond = [one for one in self.beyond if one.last >= before]
        return bool(old or aged)

    def as_json(self) -> Json:
        """Return what `of_json` reads."""
        return {
            **super().as_json(),
            "spans": [_rows(self.spans[call]) for call in self.calls],
            "beyond": _rows(self.beyond),
            "elsewhere": call_counts.as_rows(self.elsewhere.calls),
        }


def of_json(fields: Json) -> Strays:
    """Read what `as_json` wrote; raises ValueError, TypeError or KeyError for anything else."""
    made = Strays()
    call_counts.fill(made, fields)
    call_counts.take(made.elsewhere, fields["elsewhere"])
    for call, rows in zip(made.calls, fields["spans"], strict=True):
        made.spans[call] = _spans(rows)
    made.beyond = _spans(fields["beyond"])
    return made


def _rows(spans: Iterable[Tally]) -> list[list[Any]]:
    return [[one.count, round(one.first, _DIGITS), round(one.last, _DIGITS)] for one in spans]


def _spans(rows: Iterable[Any]) -> list[Tally]:
    found = [Tally(int(count), float(first), float(last)) for count, first, last in rows]
    _shorten(found, MOST_OF_ONE)
    return found


def _take_in(spans: list[Tally], new: Tally) -> None:
    """Add calls to the newest span if they belong to it, else as a new span."""
    last = spans[-1] if spans else None
    if (
        last
        and last.first - PAUSE <= new.first <= last.last + PAUSE
        and new.last - last.first <= LONGEST
    ):
        last.add(new)
        return
    spans.append(new)
    if last and new.first < last.first:
        spans.sort(key=lambda one: one.first)


def _shorten(spans: list[Tally], most: int) -> None:
    """Join the two spans with the shortest pause between them, until at most `most` are left."""
    while len(spans) > most:
        pauses = [after.first - before.last for before, after in pairwise(spans)]
        place = pauses.index(min(pauses))
        spans[place].add(spans.pop(place + 1))

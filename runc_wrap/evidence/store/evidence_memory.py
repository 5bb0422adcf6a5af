"""All evidence in memory: calls by container or unattributed, losses, watched intervals.

Unattributed calls have their times, so that only those during a container's life cast doubt. Calls
of one kind that follow each other closely are one span. If there would be too many spans, the two
with the shortest pause between them are joined, so that their number stays bounded; when within
such a span the calls were made is then no longer known.

The intervals in which records were lost are bounded in number. If there are too many of one kind,
the nearest two are joined with the time between them: better to call too much lost than too little.
"""

from bisect import bisect_right
from collections.abc import Iterable
from itertools import pairwise
from operator import itemgetter
from typing import Any, ClassVar, NamedTuple, Self

from runc_wrap.evidence.sightings import AUDIT, LossSpan, Sighting
from runc_wrap.evidence.store import call_counts
from runc_wrap.evidence.store.call_counts import ELSEWHERE, PROGRAM, CallKind, Tallies, Tally
from runc_wrap.hotpath.json_codec import digest
from runc_wrap.ledger.decision_record import Key
from runc_wrap.profiles.return_codes import USER_NOTIF

Json = dict[str, Any]
Interval = tuple[float, float]

UNATTRIBUTED, ASIDE = "unattributed.json", ".damaged"
MOST_INTERVALS = 1000
_SLACK = 1.0  # seconds between a record's own time and when it was counted
_NEIGHBOURS = 8  # times of counting that may begin within the slack of a record
_HEX = 64
_PAUSE, _LONGEST = 1.0, 10.0  # seconds between two calls of a span, and from its first to its last
_SPANS = 4096  # of all kinds
MOST_OF_ONE = 64  # spans of one kind
_DIGITS = 3  # of a record's time
MOST_KINDS = 200  # of losses
MOST_LOSSES = 64  # of one kind
EVER = 1e11  # seconds since the epoch: the end of a loss at an unknown time
AT_LEAST, AT_MOST = "at least", "at most"  # how a `why` begins whose number is not exact


class Evidence:
    """All evidence; `damaged` files could not be read. `lost` is by source and why."""

    def __init__(self) -> None:
        self.containers: dict[Key, Tallies] = {}
        self.unattributed = Strays()
        self.lost: Holes = {}
        self.watched: dict[str, list[Interval]] = {}
        self.covered: list[tuple[int, int, float, float]] = []
        self._damaged: set[str] = set()  # files
        self._stored: set[Key] = set()
        self.cleared_until = 0.0

    @property
    def looked_until(self) -> float:
        """Until when a source was last watched, 0.0 for never."""
        return max((times[-1][1] for times in self.watched.values() if times), default=0.0)

    @property
    def damaged(self) -> int:
        """How many files could not be read."""
        return len(self._damaged)

    def add_stored(self, key: Key, seen: Tallies) -> None:
        """Add the contents of the agent's file of a container."""
        self.containers[key] = seen
        self._stored.add(key)

    def cleared(self, key: Key) -> float:
        """Return until when a container's evidence may have been removed, 0.0 if it was not."""
        return 0.0 if key in self._stored else self.cleared_until

    def add_damaged(self, name: str) -> None:
        """Note a file in the directory that could not be read, or was put aside as damaged."""
        self._damaged.add(name.removesuffix(ASIDE))

    def is_damaged(self, key: Key) -> bool:
        """Return whether a container's evidence could not be read, in full or in part."""
        return bool(self._damaged) and file_name(key) in self._damaged

    def add(self, key: Key | None, sighting: Sighting) -> None:
        """Count a record from a log, unless the agent has counted it."""
        if not self.has(sighting):
            seen = self.unattributed if key is None else self.containers.setdefault(key, Tallies())
            count(seen, sighting)

    def has(self, s: Sighting) -> bool:
        """Return whether the agent has counted this same audit record."""
        if s.source != AUDIT:
            return False
        place = bisect_right(self.covered, s.time + _SLACK, key=itemgetter(2))
        return any(
            first <= s.serial <= last and begin - _SLACK <= s.time <= end + _SLACK
            for first, last, begin, end in self.covered[max(place - _NEIGHBOURS, 0) : place]
        )

    def add_lost(self, one: LossSpan) -> None:
        """Add a loss to others of its kind; beyond MOST_KINDS the reasons are dropped."""
        kind = (one.source, call_counts.text(one.why))
        if kind not in self.lost and len(self.lost) >= MOST_KINDS:
            kind = (one.source, "")
        begin = one.time if one.begin is None else min(one.begin, one.time)
        hole = Hole(one.records, begin, one.time) if one.time else Hole(one.records, 0.0, EVER)
        add_hole(self.lost.setdefault(kind, []), hole)

    def add_watched(self, source: str, begin: float, end: float) -> None:
        """Note that a source was watched."""
        watch(self.watched.setdefault(source, []), begin, end)


def file_name(key: Key | None) -> str:
    """Return the path of a container's file within the directory."""
    if key is None:
        return UNATTRIBUTED
    return f"containers/{digest(chr(0).join(key).encode('utf-8', 'backslashreplace'))[:_HEX]}.json"


def count(of: Tallies, s: Sighting, *, made_by: str = PROGRAM, times: int = 1) -> None:
    """Count a call, but not the audit record of a call that was also sent to the agent."""
    if not is_repeated(s):
        of.part(made_by).add(s, times)


def is_repeated(s: Sighting) -> bool:
    """Return whether an audit record is for a call that was also sent to the agent."""
    return s.source == AUDIT and s.code == USER_NOTIF


def watch(intervals: list[Interval], begin: float, end: float) -> None:
    """Add an interval to the others, joined with those that it touches; they stay in order.

    Gaps stay, however short: between two agents nothing is watched.
    """
    for place, (other_begin, other_end) in enumerate(intervals):
        if begin <= other_end and other_begin <= end:
            del intervals[place]
            watch(intervals, min(begin, other_begin), max(end, other_end))
            return
    intervals.append((begin, end))
    intervals.sort()
    del intervals[:-MOST_INTERVALS]


def unwatch(intervals: list[Interval], since: float) -> None:
    """Remove what was noted as watched from then on: the source delivered nothing."""
    intervals[:] = [(begin, min(end, since)) for begin, end in intervals if begin < since]


class Strays(Tallies):
    """Tallies of unattributed calls, which keep their times.

    Apart are calls of processes known to be in no container (ELSEWHERE): they cast no doubt.
    """

    __slots__ = ("beyond", "spans")
    PARTS: ClassVar = {**Tallies.PARTS, "elsewhere": ELSEWHERE}

    def __init__(self) -> None:
        super().__init__()
        self.spans: dict[CallKind, list[Tally]] = {}
        self.beyond: list[Tally] = []  # of calls beyond the kinds that are kept

    def count(self, call: CallKind, tally: Tally) -> CallKind | None:
        """Count calls of one kind, and keep their times."""
        kind = super().count(call, tally)
        spans = self.beyond if kind is None else self.spans.setdefault(kind, [])
        most = MOST_OF_ONE if kind is None else max(min(MOST_OF_ONE, _SPANS // len(self.spans)), 1)
        _take_in(spans, Tally(tally.count, tally.first, tally.last))
        _shorten(spans, most)
        return kind

    def forget(self, before: float) -> bool:
        """Forget kinds of calls last made before then; return whether there were any."""
        old = [
            (of, call)
            for of in (self.calls, self.part(ELSEWHERE).calls)
            for call, tally in of.items()
            if tally.last < before
        ]
        for of, call in old:
            del of[call]
            if of is self.calls:
                del self.spans[call]
        self.beyond = [one for one in self.beyond if one.last >= before]
        return bool(old)

    def as_json(self) -> Json:
        """Return what `of_json` reads."""
        return {
            **super().as_json(),
            "spans": [_rows(self.spans[call]) for call in self.calls],
            "beyond": _rows(self.beyond),
        }

    @classmethod
    def of_json(cls, fields: Json) -> Self:
        """Read what `as_json` wrote; raises as that of Tallies."""
        made = super().of_json(fields)
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
        and last.first - _PAUSE <= new.first <= last.last + _PAUSE
        and new.last - last.first <= _LONGEST
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


class Hole(NamedTuple):
    """So many records lost between two times, in seconds since the epoch."""

    records: int
    begin: float
    end: float


Holes = dict[tuple[str, str], list[Hole]]  # by source and why


def add_hole(holes: list[Hole], one: Hole) -> None:
    """Add a hole; they stay in order, apart from each other, and at most MOST_LOSSES."""
    for other in [each for each in holes if each.begin <= one.end and one.begin <= each.end]:
        holes.remove(other)
        one = _joined(other, one)
    holes.append(one)
    holes.sort(key=lambda each: each.begin)
    while len(holes) > MOST_LOSSES:
        distances = [after.begin - before.end for before, after in pairwise(holes)]
        place = distances.index(min(distances))
        holes[place : place + 2] = [_joined(*holes[place : place + 2])]


def lost_records(holes: list[Hole]) -> int:
    """Return how many records were lost in all."""
    return sum(one.records for one in holes)


def _joined(one: Hole, other: Hole) -> Hole:
    return Hole(one.records + other.records, min(one.begin, other.begin), max(one.end, other.end))

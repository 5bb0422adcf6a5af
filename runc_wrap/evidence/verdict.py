"""The verdict for each workload: what would break if its containers were under enforce. Pure.

    denied     a call was seen that would get an error other than ENOSYS, or a signal
    depends    a call was seen that the profile answers by its arguments, which are not known
    degrades   calls were seen that would get ENOSYS, which programs fall back from
    safe       somebody watched, and no such call was seen, clone3 with ENOSYS apart: engines' own
               defaults answer so for every thread that is begun, and C libraries then use clone.
               Only observe knows whether it was to make namespaces, which clone then may not
    None       nobody can tell: nothing was watching, what was seen has been cleared, or is damaged
               and the rest is harmless, or the containers are enforced already

The first of these that holds is the workload's. What "safe" is worth is in `confidence`: for how
long, in how many containers, and whether records were lost meanwhile or belong to nobody known.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from runc_wrap.evidence import outcomes, watching, workloads
from runc_wrap.evidence.outcomes import (
    DEGRADES,
    DENIED,
    DEPENDS,
    LOG,
    NOTIFY,
    SAFE,
    WORST_FIRST,
    Outcome,
)
from runc_wrap.evidence.tallies import Call, Tallies, Tally
from runc_wrap.profiles import actions, modes, syscalls

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from runc_wrap.evidence.ledger import Ledger, Record
    from runc_wrap.evidence.outcomes import Filter
    from runc_wrap.evidence.store import Evidence
    from runc_wrap.evidence.workloads import Workload
    from runc_wrap.profiles.abis import Abi

Json = dict[str, Any]
Key = tuple[str, str]
OBSERVE = "observe"
_LOOKING = (modes.AUDIT, OBSERVE, modes.ENFORCE_LOG)  # modes in which calls are seen
_PROCESSES = "processes"  # a source that sees no calls
UNKNOWN = Outcome("", None, "not known", frozenset())
_EXPECTED = ("clone3", DEGRADES)  # glibc:sysdeps/unix/sysv/linux/clone-internal.c
_DAMAGED, _CLEARED = "its evidence is damaged.", "its evidence was cleared."
_AT_LEAST = "at least"  # how evidence.model.Lost.why begins where the number is none
_MOST_PROGRAMS, _MOST_ARGS, _MOST_NAMES = 10, 32, 10


@dataclass(frozen=True, slots=True)
class Container:
    """One container: decided, and seen. `end` is when it ended or `now`, as far as known."""

    record: Record
    seen: Tallies
    begin: float
    end: float
    restarts: int
    is_there: bool

    @property
    def looks(self) -> bool:
        """Tell whether its mode lets its calls be seen."""
        return self.record.mode in _LOOKING


@dataclass(slots=True)
class Row:
    """One call of a workload, and what it would get."""

    abi: str
    syscall: str
    number: int
    arch: int
    verdict: str | None
    errno: str | None
    how: str
    tally: Tally
    programs: dict[str, int] = field(default_factory=dict)
    args: dict[tuple[int | None, ...], None] = field(default_factory=dict)
    has_args: bool = True

    def as_json(self) -> Json:
        """Return it as `report --json` shows it; `args` is null where they are not known."""
        programs = sorted(self.programs, key=lambda name: (-self.programs[name], name))
        return {
            "abi": self.abi,
            "syscall": self.syscall,
            "number": self.number,
            "verdict": self.verdict,
            "errno": self.errno,
            "outcome": self.how,
            "args": [list(one) for one in self.args] if self.has_args else None,
            "count": self.tally.count,
            "programs": programs[:_MOST_PROGRAMS],
            "first": watching.rfc3339(self.tally.first),
            "last": watching.rfc3339(self.tally.last),
        }


class Lost(NamedTuple):
    """How many records were lost, or that there were so many at least."""

    records: int
    at_least: bool


@dataclass(frozen=True, slots=True)
class Judged:
    """One workload with its verdict; `filter` is the profile of its newest container."""

    workload: Workload
    verdict: str | None
    confidence: str
    grade: int
    containers: list[Container]
    rows: list[Row]
    watched: float
    lost: Lost
    filter: Filter | None
    reason: str | None = None

    def as_json(self) -> Json:
        """Return it as `report --json` shows it."""
        newest = self.containers[-1].record
        pods = sorted({one.record.pod for one in self.containers if one.record.pod})
        return {
            **self.workload._asdict(),
            "verdict": self.verdict,
            "reason": self.reason,
            "confidence": self.confidence,
            "containers": len(self.containers),
            "restarts": sum(one.restarts for one in self.containers),
            "first": watching.rfc3339(min((row.tally.first for row in self.rows), default=None)),
            "last": watching.rfc3339(max((row.tally.last for row in self.rows), default=None)),
            "lost": self.lost.records,
            "lost_at_least": self.lost.at_least,
            "dropped": sum(one.seen.dropped for one in self.containers),
            "watched": round(self.watched),
            "since": watching.rfc3339(min(one.begin for one in self.containers)),
            "modes": sorted({str(one.record.mode) for one in self.containers}),
            "profile": newest.profile,
            "pods": pods[:_MOST_NAMES],
            "ids": [one.record.id for one in self.containers[-_MOST_NAMES:]],
            "calls": [row.as_json() for row in self.rows],
        }


@dataclass(frozen=True, slots=True)
class Judging:
    """What judging needs from outside.

    `profile_of` returns the decided profile under enforce, or a sentence why it is not known;
    `is_there` tells whether a container still is; `since` leaves out what was before.
    """

    profile_of: Callable[[Record], Filter | str]
    is_there: Callable[[Key], bool]
    now: float
    since: float = 0.0

    def judge(self, ledger: Ledger, evidence: Evidence) -> list[Judged]:
        """Return the workloads that we confine, the worst first."""
        groups: dict[Workload, list[Container]] = defaultdict(list)
        for key, record in ledger.records.items():
            if record.action == "inject" and record.mode != modes.OFF:
                container = self._container(key, record, ledger, evidence)
                if container.end >= self.since:
                    groups[workloads.of(record)].append(container)
        found = [self._judged(whose, group, evidence) for whose, group in groups.items()]
        return sorted(found, key=_order)

    def _container(self, key: Key, record: Record, ledger: Ledger, evidence: Evidence) -> Container:
        first, often = ledger.starts.get(key, (record.time, 1))
        last_start = watching.epoch(record.time) or 0.0
        seen = evidence.containers.get(key) or Tallies()
        end = self.now
        is_there = self.is_there(key)
        if not is_there:
            ends = (last_start, seen.ended or 0.0, seen.last or 0.0)
            end = min(max(ends), self.now)
        begin = watching.epoch(first) or last_start
        return Container(record, seen, begin, end, often - 1, is_there)

    def _judged(self, whose: Workload, group: list[Container], evidence: Evidence) -> Judged:
        group.sort(key=lambda one: one.begin)
        rows: dict[tuple[int, int], Row] = {}
        problems: list[str] = []
        for one in group:
            problems += self._tell(one, rows)
        ordered = sorted(rows.values(), key=lambda row: (_place(row.verdict), -row.tally.count))
        watched = max((self._watched(one, evidence) for one in group), default=0.0)
        lost = _lost(group, evidence)
        stray = _stray(group, evidence)
        profile = self.profile_of(group[-1].record)
        grade = watching.grade(watched, doubtful=bool(lost.records or stray))
        if any(one.looks and evidence.is_damaged(_key(one.record)) for one in group):
            problems.append(_DAMAGED)
        if any(one.looks and one.begin <= self._cleared(one, evidence) for one in group):
            problems.append(_CLEARED)
        verdict, reason = _verdict(ordered, group, watched, problems)
        return Judged(
            workload=whose,
            verdict=verdict,
            confidence=_confidence(group, watched, lost, stray, grade),
            grade=grade,
            containers=group,
            rows=ordered,
            watched=watched,
            lost=lost,
            filter=None if isinstance(profile, str) else profile,
            reason=reason,
        )

    def _watched(self, one: Container, evidence: Evidence) -> float:
        """Return for how long this container's calls would have been seen.

        What is sent to a listener never reaches audit, and the other way round.
        """
        if not one.looks:
            return 0.0
        times = [
            time
            for source, intervals in evidence.watched.items()
            if source != _PROCESSES and (source == OBSERVE) == (one.record.mode == OBSERVE)
            for time in intervals
        ]
        begin = max(one.begin, self.since, self._cleared(one, evidence))
        return watching.length(watching.overlap(times, begin, one.end))

    def _cleared(self, one: Container, evidence: Evidence) -> float:
        """Return until when evidence of a container is gone; one that still is keeps its own."""
        if one.is_there and not one.restarts:
            return 0.0
        return evidence.cleared(_key(one.record))

    def _tell(self, one: Container, rows: dict[tuple[int, int], Row]) -> list[str]:
        """Add a container's calls to the workload's; return why it cannot be told what they get."""
        calls = [(call, t) for call, t in one.seen.calls.items() if t.last >= self.since]
        if not calls:
            return []
        profile = self.profile_of(one.record)
        known: dict[tuple[object, ...], Outcome] = {}
        for call, tally in calls:
            if isinstance(profile, str):
                _add(rows, call, tally, UNKNOWN)
                continue
            key = call[:4]
            if key not in known:
                known[key] = outcomes.of(call, profile)
            if is_ours(call, known[key]):
                _add(rows, call, tally, known[key])
        return [profile] if isinstance(profile, str) else []


def is_ours(call: Call, outcome: Outcome) -> bool:
    """Tell whether a record is about our filter: programs have filters of their own."""
    if outcome.verdict == SAFE:
        return False
    action = call.code & actions.ACTION_MASK
    return action in (LOG, NOTIFY) or action in {c & actions.ACTION_MASK for c in outcome.codes}


def _add(rows: dict[tuple[int, int], Row], call: Call, tally: Tally, outcome: Outcome) -> None:
    key = (call.arch, call.number)
    row = rows.get(key)
    counted = Tally(tally.count, tally.first, tally.last)
    if row is None:
        row = rows[key] = row_of(call, counted, outcome)
    else:
        row.tally.add(counted)
        if _place(outcome.verdict) < _place(row.verdict):
            row.verdict, row.errno, row.how = outcome.verdict, outcome.errno, outcome.how
    program = call.exe or call.comm
    row.programs[program] = row.programs.get(program, 0) + tally.count
    if call.args is None or (call.args not in row.args and len(row.args) >= _MOST_ARGS):
        row.has_args = False
    else:
        row.args[call.args] = None


def row_of(call: Call, tally: Tally, outcome: Outcome) -> Row:
    """Return a row without programs and arguments."""
    abi = outcomes.abi_of(call.arch, call.number)
    return Row(
        abi=abi.name if abi else f"{call.arch:#x}",
        syscall=name_of(abi, call.number),
        number=call.number,
        arch=call.arch,
        verdict=outcome.verdict or None,
        errno=outcome.errno,
        how=outcome.how,
        tally=tally,
    )


def name_of(abi: Abi | None, number: int) -> str:
    """Return a call's name, #number where its architecture is not known."""
    return f"#{number}" if abi is None else syscalls.name_of(abi, number & 0xFFFFFFFF)


def strays(seen: Tallies) -> list[Row]:
    """Return the calls that belong to no known container; what they would get is not known."""
    rows: dict[tuple[int, int], Row] = {}
    for call, tally in seen.calls.items():
        _add(rows, call, tally, UNKNOWN)
    return sorted(rows.values(), key=lambda row: -row.tally.count)


def _place(verdict: str | None) -> int:
    return WORST_FIRST.index(verdict) if verdict in WORST_FIRST else len(WORST_FIRST)


def _order(one: Judged) -> tuple[int, str]:
    place = _place(one.verdict)
    return (place if one.verdict != SAFE else place + 2, one.workload.name)


def _key(record: Record) -> Key:
    return (record.root or "", record.id)


def _verdict(
    rows: list[Row],
    group: list[Container],
    watched: float,
    problems: list[str],
) -> tuple[str | None, str | None]:
    """Return the verdict, and why there is none."""
    unexpected = (row for row in rows if (row.syscall, row.verdict) != _EXPECTED)
    told = [row.verdict for row in unexpected if row.verdict]
    if _DAMAGED in problems and not {DENIED, DEPENDS}.intersection(told):
        return None, f"Unknown: {_DAMAGED}"
    if told:
        return min(told, key=_place), None
    if problems and (problems[0] != _CLEARED or watched <= 0):
        return None, f"Unknown: {problems[0]}"
    if not any(one.looks for one in group):
        return None, "Already enforced: what is denied is not logged in this mode."
    if watched <= 0:
        return None, "Unknown: nothing was watching while its containers ran."
    return SAFE, None


def _lost(group: list[Container], evidence: Evidence) -> Lost:
    """Return what was lost while one of these ran, or nobody knows when (time 0)."""
    found = {
        kind: count
        for kind, (count, first, last) in evidence.lost.items()
        if any(not first or (one.begin <= last and first <= one.end) for one in group if one.looks)
    }
    at_least = any(not why or why.startswith(_AT_LEAST) for _, why in found)
    return Lost(sum(found.values()), at_least)


def _stray(group: list[Container], evidence: Evidence) -> int:
    """Return how many calls of nobody known were seen while one of these ran."""
    return sum(
        tally.count
        for tally in evidence.unattributed.calls.values()
        if any(one.begin <= tally.last and tally.first <= one.end for one in group if one.looks)
    )


def _confidence(
    group: Iterable[Container], watched: float, lost: Lost, stray: int, grade: int
) -> str:
    looking = [one for one in group if one.looks]
    restarts = sum(one.restarts for one in looking)
    if not watched:
        return "Nothing was watching." if looking else "Not watched: it is enforced."
    where = watching.counted(len(looking), "container")
    if restarts:
        where += f" with {watching.counted(restarts, 'restart')}"
    doubts = ""
    if lost.records:
        at_least = "at least " if lost.at_least else ""
        doubts += f"; meanwhile {at_least}{watching.counted(lost.records, 'record')} lost"
    if stray:
        doubts += f"; meanwhile {watching.counted(stray, 'call')} of no known container"
    what = watching.WORDS[grade]
    return f"{what[0].upper()}{what[1:]}: {watching.words(watched)} in {where}{doubts}."

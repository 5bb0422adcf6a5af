"""A workload in a report: its containers, calls and verdict, and their JSON."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from runc_wrap import safe_text
from runc_wrap.evidence.store import coverage, loss_intervals
from runc_wrap.evidence.store.call_counts import Tally
from runc_wrap.hotpath.decision import ENFORCE, ENFORCE_LOG
from runc_wrap.profiles import syscalls
from runc_wrap.report import argument_names, outcomes
from runc_wrap.report.outcomes import WORST_FIRST
from runc_wrap.report.workloads import Workload

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from runc_wrap.evidence.store.call_counts import Call
    from runc_wrap.profiles.abis import Abi
    from runc_wrap.report.container_evidence import Container
    from runc_wrap.report.installed_filters import Installed
    from runc_wrap.report.outcomes import Filter, Outcome

Json = dict[str, Any]
ENFORCED = (ENFORCE, ENFORCE_LOG)
_MOST_PROGRAMS, _MOST_ARGS, _MOST_NAMES = 10, 32, 10


@dataclass(slots=True)
class Row:
    """One call of a workload, and its worst outcome under enforce.

    `args` are known kinds of arguments; `has_args`: they are complete. `unread` counts the calls of
    which too little is known, by the reason.
    """

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
    is_expected: bool = False
    unread: Counter[str] = field(default_factory=Counter)

    def words(self, limit: int = argument_names.MOST) -> str:
        """Return the call, with up to `limit` kinds of arguments that have names."""
        return argument_names.words(self.syscall, self.args, limit, are_all=self.has_args)

    def as_json(self) -> Json:
        """Return it as `report --json` shows it; `args` is null if they are unknown.

        `arguments` are those by name, [] for a call whose arguments have no names, and without
        those that are unknown. `expected`: C libraries make another call, so no verdict counts it.
        """
        is_any = bool(self.args) or self.has_args
        programs = sorted(self.programs, key=lambda name: (-self.programs[name], name))
        return {
            "abi": self.abi,
            "syscall": self.syscall,
            "number": self.number,
            "arch": self.arch,
            "verdict": self.verdict,
            "errno": self.errno,
            "outcome": self.how,
            "args": [list(one) for one in self.args] if self.has_args else None,
            "arguments": argument_names.shown(self.syscall, self.args) if is_any else None,
            "expected": self.is_expected,
            "count": self.tally.count,
            "programs": programs[:_MOST_PROGRAMS],
            "first": coverage.rfc3339(self.tally.first),
            "last": coverage.rfc3339(self.tally.last),
        }


class Lost(NamedTuple):
    """How many records were lost, exactly, at least or at most, and when."""

    records: int
    at_least: bool
    at_most: bool = False
    begin: float = 0.0
    end: float = 0.0

    @property
    def amount(self) -> str:
        """How many in words."""
        inexact = {(True, True): "about ", (True, False): "at least ", (False, True): "at most "}
        how = inexact.get((self.at_least, self.at_most), "")
        return how + safe_text.number(self.records, "record")

    @property
    def sentence(self) -> str:
        """Return how many were lost and when, "" if none were."""
        if not self.end:
            return ""
        begin, end = (coverage.rfc3339(one) if one else None for one in (self.begin, self.end))
        when = f"between {begin} and {end}" if begin else f"until {end}"
        known = f" ({when})" if self.end < loss_intervals.EVER else ""
        were = "was" if self.records == 1 else "were"
        lost = f"{self.amount} {were} lost" if self.records else "records may have been lost"
        return f"{lost} while its containers ran{known}."


class Doubts(NamedTuple):
    """What may be missing: lost records, unattributed calls, calls beyond the kinds kept.

    `clones` counts the calls of clone3 of whose purpose too little is known, by the reason, among
    all `of` them.
    """

    lost: Lost
    stray: int
    dropped: int
    clones: Counter[str] = Counter()  # noqa: RUF012 - it is never changed
    of: int = 0

    def words(self) -> str:
        """Return them as the end of a sentence, "" for none."""
        found = ""
        if self.lost.records:
            found += f"; meanwhile {self.lost.amount} lost"
        if self.stray:
            found += f"; meanwhile {safe_text.number(self.stray, 'call')} of no known container"
        if self.dropped:
            found += f"; {safe_text.number(self.dropped, 'call')} beyond the kinds that are kept"
        return found + "".join(f"; {one}" for one in self._of_clones())

    def _of_clones(self) -> Iterator[str]:
        if self.clones[outcomes.IN_AUDIT]:
            what = "make namespaces, or do what else clone cannot,"
            yield f"whether clone3 was to {what} is unknown (observe shows it)"
        elif self.clones[outcomes.NAMESPACES_ONLY]:
            yield "whether clone3 was to do what clone cannot is unknown (observe shows it)"
        if unmade := self.clones[outcomes.WAS_UNMADE]:
            which = f"{unmade} of {safe_text.number(self.of, 'call')} of clone3"
            yield f"what {which} was to do is unknown, as its caller was killed or interrupted"


@dataclass(frozen=True, slots=True)
class Judged:
    """One workload with its verdict; `filter` is the profile of its newest container.

    `shares_name`: only the image distinguishes it from another. `runtimes` are the runtime's own
    calls, which do not count for the verdict. `own_filters` are those that its programs installed.
    `unshown` is what no mode can show (report.any_filter).
    """

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
    shares_name: bool = False
    runtimes: list[Row] = field(default_factory=list)
    own_filters: Installed | None = None
    unshown: str | None = None

    @property
    def name(self) -> str:
        """Its name for `suggest`."""
        return self.workload.distinct_name(is_shared=self.shares_name)

    @property
    def ids(self) -> list[str]:
        """Its containers' ids."""
        return [one.record.id for one in self.containers]

    @property
    def instances(self) -> list[Workload]:
        """The names of its containers, as rules match them."""
        records = (one.record for one in self.containers)
        return [Workload(one.namespace, one.pod, one.container, one.image) for one in records]

    @property
    def running(self) -> int:
        """How many of its containers are running."""
        return sum(one.is_there for one in self.containers)

    @property
    def is_calm(self) -> bool:
        """Return whether it is enforced, and nothing known needs attention."""
        enforced = all(one.record.mode in ENFORCED for one in self.containers)
        unseen = self.verdict is None and not any(one.looks for one in self.containers)
        return enforced and (self.verdict == outcomes.SAFE or (unseen and not self.rows))

    def as_json(self) -> Json:
        """Return it as `report --json` shows it."""
        newest = self.containers[-1].record
        pods = sorted({one.record.pod for one in self.containers if one.record.pod})
        return {
            **self.workload._asdict(),
            "name": self.name,
            "verdict": self.verdict,
            "reason": self.reason,
            "confidence": self.confidence,
            "calm": self.is_calm,
            "containers": len(self.containers),
            "running": self.running,
            "restarts": sum(one.restarts for one in self.containers),
            "first": coverage.rfc3339(min((row.tally.first for row in self.rows), default=None)),
            "last": coverage.rfc3339(max((row.tally.last for row in self.rows), default=None)),
            "lost": self.lost.records,
            "lost_at_least": self.lost.at_least,
            "lost_at_most": self.lost.at_most,
            "dropped": sum(one.seen.dropped for one in self.containers),
            "watched": round(self.watched),
            "since": coverage.rfc3339(min(one.begin for one in self.containers)),
            "modes": sorted({str(one.record.mode) for one in self.containers}),
            "profile": newest.profile,
            "pods": pods[:_MOST_NAMES],
            "ids": [one.record.id for one in self.containers[-_MOST_NAMES:]],
            "calls": [row.as_json() for row in self.rows],
            "runtime_calls": [row.as_json() for row in self.runtimes],
            "unshown": self.unshown,
            "own_filters": self.own_filters.as_json() if self.own_filters else None,
        }


def add(rows: dict[tuple[int, int], Row], call: Call, tally: Tally, outcome: Outcome) -> None:
    """Count calls of one kind in their syscall's row, whose outcome is the worst of all."""
    key = (call.arch, call.number)
    row = rows.get(key)
    counted = Tally(tally.count, tally.first, tally.last)
    if row is None:
        row = rows[key] = row_of(call, counted, outcome)
    else:
        row.tally.add(counted)
        if _consequence(outcome) < _consequence(row):
            row.verdict, row.errno, row.how = outcome.verdict or None, outcome.errno, outcome.how
            row.is_expected = outcome.is_expected
    if outcome.unread:
        row.unread[outcome.unread] += tally.count
    program = call.exe or call.comm
    row.programs[program] = row.programs.get(program, 0) + tally.count
    if call.args is None or (call.args not in row.args and len(row.args) >= _MOST_ARGS):
        row.has_args = False
    else:
        row.args[call.args] = None


def _consequence(one: Outcome | Row) -> tuple[int, bool]:
    return place(one.verdict), one.is_expected


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
        is_expected=outcome.is_expected,
    )


def name_of(abi: Abi | None, number: int) -> str:
    """Return a call's name, #number if its architecture is unknown."""
    return f"#{number}" if abi is None else syscalls.name_of(abi, number & 0xFFFFFFFF)


def place(verdict: str | None) -> int:
    """Return a verdict's place, the worst first; None comes last."""
    return WORST_FIRST.index(verdict) if verdict in WORST_FIRST else len(WORST_FIRST)


def confidence(
    group: Iterable[Container],
    watched: float,
    doubts: Doubts,
    grade: int,
    unshown: str | None = None,
) -> str:
    """Return in words how much a verdict is worth; `unshown` is what no mode can show."""
    if not watched:
        looks = any(one.looks for one in group)
        return "Nothing was watching." if looks else "Not watched: it is enforced."
    seen = [one for one in group if one.watched > 0]
    restarts = sum(one.restarts for one in seen)
    where = safe_text.number(len(seen), "container")
    if restarts:
        where += f" with {safe_text.number(restarts, 'restart')}"
    what = coverage.WORDS[grade]
    found = f"{what[0].upper()}{what[1:]}: {coverage.words(watched)} in {where}{doubts.words()}."
    return f"{found} {unshown}" if unshown else found

"""The verdict for each workload: what would break if its containers were under enforce.

    denied     a call was made that would get an error other than ENOSYS, or a signal
    depends    a call was made that the profile answers by its arguments, which are unknown
    degrades   calls were made that would get ENOSYS, after which programs fall back
    safe       the containers were watched, and no such call was made, except clone3 with ENOSYS:
               engines' own defaults answer so to the start of every thread, and C libraries then
               use clone. Whether clone3 was to make namespaces, for which clone may be denied, is
               known in observe, and in audit by its children
               (evidence.attribution.child_namespaces). Whether it was to do what clone cannot is
               known in observe only. `confidence` says what is not known
    None       all containers are already enforced, or unknown: the rest is no worse than degrades,
               and nothing was watching, records were lost while a container ran, a clone3's flags
               could not be read, unattributed calls may be its own (report.unattributed_doubt), or
               evidence was cleared, is damaged, exceeds what is kept, belongs to a profile that no
               longer exists, or may be incomplete, as programs in audit have own filters

The first of these that holds is the workload's. The runtime's own calls before the container's
program started do not count, and are shown apart. `confidence` says what "safe" is worth: how long
containers were watched, how many of them, and whether records were lost meanwhile or are
unattributed.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field, replace
from math import inf
from typing import TYPE_CHECKING

from runc_wrap import safe_text, time_text
from runc_wrap.evidence.store import coverage, loss_intervals
from runc_wrap.evidence.store.call_counts import Tallies
from runc_wrap.report import (
    any_filter,
    call_row,
    doubt_end,
    installed_filters,
    outcomes,
    reported_workload,
    workloads,
)
from runc_wrap.report.call_row import place
from runc_wrap.report.confidence import Doubts, LostRecords, confidence
from runc_wrap.report.container_evidence import ContainerEvidence
from runc_wrap.report.node_workload import MOST_NAMES, NodeWorkload, SeenHere
from runc_wrap.report.outcomes import DENIED, DEPENDS, SAFE, UNKNOWN
from runc_wrap.report.unattributed_doubt import Suspicion, either, either_sentence

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping

    from runc_wrap.evidence.store.evidence_set import Evidence
    from runc_wrap.evidence.store.loss_intervals import Hole
    from runc_wrap.hotpath.ledger_file import Key
    from runc_wrap.ledger.record import Record
    from runc_wrap.ledger.whole_ledger import Ledger
    from runc_wrap.report.call_row import CallRow
    from runc_wrap.report.installed_filters import Carried
    from runc_wrap.report.outcomes import CallOutcome, Filter
    from runc_wrap.report.reported_workload import ReportedWorkload
    from runc_wrap.report.workloads import Workload

OBSERVE = "observe"
_PROCESSES = "processes"  # a source that sees no calls
_DAMAGED, _CLEARED = "its evidence is damaged.", "its evidence was cleared."
_RESTORED = (
    "a container was restored from a checkpoint, and its processes have the filters of then."
)
_CROWDED = "it made more kinds of calls than are kept."
_STRAY = (
    "{} of no known container came meanwhile, which may have been its own. Recreate it: a "
    "container that is watched as long without such calls ends this doubt. Or use observe."
)
_UNREADABLE = (
    "the flags of {} of {} of clone3 could not be read, and with those for new namespaces clone is "
    "denied too."
)
_SECOND = 1.0  # the ledger's times are whole seconds


@dataclass(frozen=True, slots=True)
class Judging:
    """The inputs of a verdict beside ledger and evidence.

    `profile_of` returns the decided profile under enforce, or a sentence why it is unknown;
    `is_there` returns whether a container still runs; evidence before `since` is left out;
    `silence` says why audit records do not come; `carried` counts processes with own filters;
    `age` returns the seconds since the start of one that runs, whatever was done to the clock.
    """

    profile_of: Callable[[Record], Filter | str]
    is_there: Callable[[Key], bool]
    now: float
    since: float = 0.0
    silence: str | None = None
    carried: Mapping[Key, Carried] = field(default_factory=dict)
    age: Callable[[Key], float] = lambda _: inf
    bounding_of: Callable[[Record], Collection[str] | None] = lambda _: None

    def judge(self, ledger: Ledger, evidence: Evidence) -> list[ReportedWorkload]:
        """Return the workloads that are confined, the worst first."""
        groups: dict[Workload, list[ContainerEvidence]] = defaultdict(list)
        suspicion = Suspicion(evidence.unattributed, self.profile_of, self.since)
        for key, record in ledger.records.items():
            if record.is_injected:
                container = self._container(key, record, ledger, evidence)
                if container.end >= self.since and not _is_nobodys(container):
                    groups[workloads.of(record)].append(container)
        return reported_workload.ordered(
            {
                whose: self._reported(whose, group, evidence, suspicion)
                for whose, group in groups.items()
            }
        )

    def _container(
        self, key: Key, record: Record, ledger: Ledger, evidence: Evidence
    ) -> ContainerEvidence:
        first, often = ledger.starts.get(key, (record.time, 1))
        last_start = time_text.epoch(record.time) or 0.0
        seen = evidence.containers.get(key) or Tallies()
        end = self.now
        is_there = self.is_there(key)
        if not is_there:
            ends = (last_start, seen.ended or 0.0, seen.last or 0.0)
            end = min(max(ends), self.now)
        begin = time_text.epoch(first) or last_start
        is_over = not is_there and seen.ended is not None and seen.ended >= last_start
        until = end if is_there or is_over else self.now
        one = ContainerEvidence(record, seen, begin, end, often - 1, is_there, until=until)
        times = self._times(one, evidence)
        start = max(begin, last_start)
        is_whole = often == 1 and any(a <= start + _SECOND < z for a, z in times)
        return replace(one, watched=self._watched(one, start, evidence, times), is_whole=is_whole)

    def _reported(
        self,
        whose: Workload,
        group: list[ContainerEvidence],
        evidence: Evidence,
        suspicion: Suspicion,
    ) -> ReportedWorkload:
        group.sort(key=lambda one: one.begin)
        rows: dict[tuple[int, int], CallRow] = {}
        apart: dict[tuple[int, int], CallRow] = {}
        problems: list[str] = []
        for one in group:
            problems += self._add_calls(one.record, one.seen, rows)
            self._add_calls(one.record, one.seen.runtimes, apart)
        ordered = sorted(rows.values(), key=lambda row: (place(row.verdict), -row.count))
        own = installed_filters.of(group, self.profile_of, self._carried)
        conclusive = own.conclusive(group)
        watched = max(one.watched for one in conclusive)
        lost = self._lost(group, evidence)
        profile = self.profile_of(group[-1].record)
        dropped = sum(one.seen.dropped for one in group if one.looks)
        stray = suspicion.count(group)
        grade = coverage.grade(watched, doubtful=bool(lost.end or stray or dropped))
        problems += [*self._gaps(group, evidence), *own.sentences]
        problems += [lost.sentence] if lost.end else []
        if stray and not doubt_end.is_over(group, lambda one: suspicion.count([one]) > 0):
            problems.append(_STRAY.format(safe_text.number(stray, "call")))
        clones, all_clones = _clones(ordered)
        if unreadable := clones[outcomes.UNREADABLE]:
            problems.append(_UNREADABLE.format(unreadable, safe_text.number(all_clones, "call")))
        unsure = either(group, self.profile_of)
        problems += [either_sentence(unsure)] if unsure else []
        unwatched = None if watched > 0 else self._unwatched(group)
        verdict, reason = _verdict(ordered, group, problems, unwatched)
        doubts = Doubts(lost, stray, dropped, clones, all_clones)
        unshown = self._unshown(group[-1], ordered)
        known = None if isinstance(profile, str) else profile
        sure = confidence(conclusive, watched, doubts, grade, unshown)
        own_calls = sorted(apart.values(), key=lambda row: -row.count)
        found = reported_workload.ReportedWorkload(whose)
        found.add(
            "",
            NodeWorkload(
                **whose._asdict(),
                verdict=verdict,
                reason=reason,
                containers=len(group),
                running=sum(one.is_there for one in group),
                restarts=sum(one.restarts for one in group),
                lost=lost.records,
                lost_at_least=lost.at_least,
                lost_at_most=lost.at_most,
                dropped=sum(one.seen.dropped for one in group),
                watched=max(round(watched), 1) if watched > 0 else 0,
                since=time_text.rfc3339(min(one.begin for one in group)),
                modes=sorted({str(one.record.mode) for one in group}),
                profile=group[-1].record.profile,
                pods=sorted({one.record.pod for one in group if one.record.pod})[:MOST_NAMES],
                calls=[],
            ),
            here=SeenHere(sure, ordered, group, own_calls, known, own, unshown),
        )
        return found

    def _unshown(self, newest: ContainerEvidence, rows: list[CallRow]) -> str | None:
        """Return what a container's mode cannot show, None if nothing makes that likely."""
        if not newest.looks:
            return None
        programs = {name for row in rows for name in row.programs}
        capabilities = self.bounding_of(newest.record) or ()
        return any_filter.sentence(capabilities, programs, {row.syscall for row in rows})

    def _carried(self, one: ContainerEvidence) -> Carried:
        return self.carried.get(one.record.key, installed_filters.NONE)

    def _gaps(self, group: list[ContainerEvidence], evidence: Evidence) -> Iterator[str]:
        """Yield sentences on why the evidence may be incomplete."""
        looking = [one for one in group if one.looks]
        if any(one.record.restored for one in group):
            yield _RESTORED
        if any(one.seen.dropped for one in looking):
            yield _CROWDED
        if any(evidence.is_damaged(one.record.key) for one in looking):
            yield _DAMAGED
        if any(one.begin <= self._cleared(one, evidence) for one in looking):
            yield _CLEARED

    def _unwatched(self, group: list[ContainerEvidence]) -> str:
        if self.silence and any(one.looks and one.record.mode != OBSERVE for one in group):
            return f"nothing could be watched: {self.silence}."
        return "nothing was watching while its containers ran."

    def _times(self, one: ContainerEvidence, evidence: Evidence) -> list[coverage.Interval]:
        """Return when a container's calls were recorded, if it made any."""
        return [
            time
            for source, intervals in evidence.watched.items()
            if source != _PROCESSES and _concerns(source, one)
            for time in intervals
        ]

    def _watched(
        self,
        one: ContainerEvidence,
        start: float,
        evidence: Evidence,
        times: list[coverage.Interval],
    ) -> float:
        """Return for how long this container's calls would have been recorded since its last start.

        When its earlier runs ended is unknown: better too little than time in which it did not run.
        """
        if not one.looks:
            return 0.0
        begin = max(start, self.since, self._cleared(one, evidence))
        watched = coverage.length(coverage.overlap(times, begin, one.end))
        # a log's interval contains the time that the clock was set forward by
        return min(watched, self.age(one.record.key)) if one.is_there else watched

    def _lost(self, group: list[ContainerEvidence], evidence: Evidence) -> LostRecords:
        """Return what was lost while one of these ran, or at an unknown time."""
        found: dict[tuple[tuple[str, str], Hole], None] = {}
        for one in group:
            begin, end = max(one.begin, self.since), _latest_end(one, evidence)
            for kind, lost in evidence.lost.items() if one.looks else ():
                if _concerns(kind[0], one):
                    found |= {
                        (kind, hole): None for hole in loss_intervals.between(lost, begin, end)
                    }
        whys = [why for (_, why), _ in found]
        return LostRecords(
            sum(hole.records for _, hole in found),
            at_least=any(not why or why.startswith(loss_intervals.AT_LEAST) for why in whys),
            at_most=any(why.startswith(loss_intervals.AT_MOST) for why in whys),
            begin=min((hole.begin for _, hole in found), default=0.0),
            end=max((hole.end for _, hole in found), default=0.0),
        )

    def _cleared(self, one: ContainerEvidence, evidence: Evidence) -> float:
        """Return until when a container's evidence was removed; running ones keep theirs."""
        if one.is_there and not one.restarts:
            return 0.0
        return evidence.cleared(one.record.key)

    def _add_calls(
        self, record: Record, seen: Tallies, rows: dict[tuple[int, int], CallRow]
    ) -> list[str]:
        """Add a container's calls to the workload's; return why their outcome is unknown, if so."""
        calls = [(call, t) for call, t in seen.calls.items() if t.last >= self.since]
        if not calls:
            return []
        profile = self.profile_of(record)
        known: dict[tuple[object, ...], CallOutcome] = {}
        for call, tally in calls:
            key = call[:4]
            if key not in known:
                known[key] = outcomes.of_record(call, profile)
            if known[key].verdict != SAFE:
                call_row.count_in(rows, call, tally, known[key])
        return [profile] if isinstance(profile, str) else []


def _clones(rows: list[CallRow]) -> tuple[Counter[str], int]:
    """Return how many calls of clone3 are not known in full, by the reason, and of how many."""
    own = [row for row in rows if row.unread]
    return sum((Counter(row.unread) for row in own), Counter()), sum(row.count for row in own)


def _is_nobodys(one: ContainerEvidence) -> bool:
    """Return whether it is a pod's sandbox or one of `selftest`, without any recorded call.

    Engines give a pod's sandbox, whose program only waits, no container name. A privileged pod's
    sandbox gets a profile, as it asks for no privileges itself. A container of `selftest` ends
    before anything could watch it: each installation would leave an unknown workload.
    """
    record = one.record
    is_sandbox = bool(record.pod) and record.container is None
    return (is_sandbox or record.is_selftest) and not one.seen.calls


def strays(seen: Tallies) -> list[CallRow]:
    """Return the calls of no known container; their outcome is unknown."""
    rows: dict[tuple[int, int], CallRow] = {}
    for call, tally in seen.calls.items():
        call_row.count_in(rows, call, tally, UNKNOWN)
    return sorted(rows.values(), key=lambda row: -row.count)


def _verdict(
    rows: list[CallRow],
    group: list[ContainerEvidence],
    problems: list[str],
    unwatched: str | None,
) -> tuple[str | None, str | None]:
    """Return the verdict, and the reason if there is none."""
    verdicts = [row.verdict for row in rows if row.verdict and not row.is_expected]
    hiding = next((one for one in problems if one != _CLEARED), None)
    if hiding and not {DENIED, DEPENDS}.intersection(verdicts):
        return None, f"Unknown: {hiding}"
    if verdicts:
        return min(verdicts, key=place), None
    if problems and unwatched:
        return None, f"Unknown: {problems[0]}"
    if not any(one.looks for one in group):
        return None, "Already enforced: what is denied is not logged in this mode."
    if unwatched:
        return None, f"Unknown: {unwatched}"
    return SAFE, None


def _concerns(source: str, one: ContainerEvidence) -> bool:
    """Return whether a source has a container's calls, or attributes them.

    Calls sent to a listener never reach audit, and the other way round.
    """
    return (source == OBSERVE) == (one.record.mode == OBSERVE)


def _latest_end(one: ContainerEvidence, evidence: Evidence) -> float:
    """Return the latest time at which a container ended.

    An end that was not noticed came before the next agent started, which finds it missing.
    """
    if one.is_there or (one.seen.ended or 0.0) > one.end - _SECOND:
        return one.end
    lives = (begin for times in evidence.watched.values() for begin, _ in times)
    return max(one.end + _SECOND, min((each for each in lives if each > one.end), default=0.0))

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
               could not be read, unattributed calls may be its own (report.confidence), or
               evidence was cleared, is damaged, exceeds what is kept, belongs to a profile that no
               longer exists, or may be incomplete, as programs in audit have own filters

The first of these that holds is the workload's. The runtime's own calls before the container's
program started do not count, and are shown apart. `confidence` says what "safe" is worth: how long
containers were watched, how many of them, and whether records were lost meanwhile or are
unattributed.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable
from functools import cached_property

from runc_wrap import time_text
from runc_wrap.evidence.sightings import RECORDED
from runc_wrap.evidence.store.call_counts import RUNTIME, Tallies
from runc_wrap.hotpath.decision import ENFORCE, OBSERVE
from runc_wrap.ledger.decision_record import Record
from runc_wrap.profiles.return_codes import ACTION_MASK
from runc_wrap.report import (
    call_outcomes,
    confidence,
    container_evidence,
    filter_conflicts,
    merged_call,
    recorded_calls,
    workload_names,
)
from runc_wrap.report.call_outcomes import DENIED, DEPENDS, SAFE, UNKNOWN, CallOutcome
from runc_wrap.report.confidence import Doubts, Suspicion
from runc_wrap.report.container_evidence import ContainerEvidence, NodeFacts
from runc_wrap.report.merge.merged_workload import MergedWorkload, ordered
from runc_wrap.report.merge.node_document import MOST_NAMES, NodeWorkload, SeenHere
from runc_wrap.report.merged_call import CallRow, place
from runc_wrap.report.workload_names import Workload

Rows = dict[tuple[int, int], CallRow]


class Judging(NodeFacts):
    """Judges what was decided and recorded on a node."""

    @cached_property
    def _suspicion(self) -> Suspicion:
        return Suspicion(self)

    def judge(self) -> list[MergedWorkload]:
        """Return the workloads that are confined, the worst first."""
        groups: dict[Workload, list[ContainerEvidence]] = defaultdict(list)
        recorded: dict[Workload, list[ContainerEvidence]] = defaultdict(list)
        for key, decided in self.ledger.records.items():
            # with a candidate, nobody is asked about what the profile itself denies
            is_enforced = decided.candidate and decided.mode == OBSERVE
            record = decided._replace(mode=ENFORCE) if is_enforced else decided
            if record.is_injected:
                container = container_evidence.of(key, record, self)
                if container.end >= self.since and not _is_nobodys(container):
                    groups[workload_names.of(record)].append(container)
                    if record.recorded:  # by the agent, whatever the mode
                        listened = container_evidence.of(key, record._replace(mode=OBSERVE), self)
                        recorded[workload_names.of(record)].append(listened)
        found = {whose: self._reported(whose, group) for whose, group in groups.items()}
        for whose, containers in recorded.items():
            found[whose].recorded = self._recording(containers)
        return ordered(found)

    def _recording(self, group: list[ContainerEvidence]) -> recorded_calls.RecordedCalls:
        """Return what was recorded of containers, as if all were in observe."""
        found = recorded_calls.of(group, self)
        own = filter_conflicts.of(group, self)
        lost = confidence.lost(group, self)
        found.lost = lost.records
        more = [*confidence.gaps(group, self), *own.sentences, lost.sentence]
        found.notes |= dict.fromkeys(filter(None, more))
        return found

    def _reported(self, whose: Workload, group: list[ContainerEvidence]) -> MergedWorkload:
        group.sort(key=lambda one: one.begin)
        calls, runtimes, problems = self._calls(group)
        rows = calls.values()
        own = filter_conflicts.of(group, self)
        conclusive = own.conclusive(group)
        watched = max(one.watched for one in conclusive)
        doubts = self._doubts(group, rows)
        problems += [*confidence.gaps(group, self), *own.sentences]
        problems += confidence.doubtful(group, self._suspicion, doubts)
        unwatched = None if watched > 0 else confidence.unwatched(group, self)
        verdict, reason = _verdict(rows, group, problems, unwatched)
        unshown = self._unshown(group[-1], rows)
        sure = confidence.confidence(conclusive, watched, doubts, unshown)
        profile = self.profile_of(group[-1].record)
        known = None if isinstance(profile, str) else profile
        found = MergedWorkload(whose)
        found.add(
            "",
            NodeWorkload(
                **whose._asdict(),
                verdict=verdict,
                reason=reason,
                containers=len(group),
                running=sum(one.is_there for one in group),
                restarts=sum(one.restarts for one in group),
                lost=doubts.lost.records,
                lost_at_least=doubts.lost.at_least,
                lost_at_most=doubts.lost.at_most,
                dropped=sum(one.seen.dropped for one in group),
                watched=max(round(watched), 1) if watched > 0 else 0,
                since=time_text.rfc3339(min(one.begin for one in group)),
                modes=sorted({str(one.record.mode) for one in group}),
                profile=group[-1].record.profile,
                pods=sorted({one.record.pod for one in group if one.record.pod})[:MOST_NAMES],
                calls=[],
            ),
            here=SeenHere(sure, calls, group, runtimes, known, own, unshown),
        )
        return found

    def _calls(self, group: Iterable[ContainerEvidence]) -> tuple[Rows, list[CallRow], list[str]]:
        """Return a workload's calls, the runtime's own, and why the outcome of some is unknown."""
        rows: Rows = {}
        apart: Rows = {}
        problems: list[str] = []
        for one in group:
            problems += self._add_calls(one.record, one.seen, rows)
            self._add_calls(one.record, one.seen.part(RUNTIME), apart)
        return rows, _by_count(apart), problems

    def _doubts(self, group: list[ContainerEvidence], rows: Collection[CallRow]) -> Doubts:
        dropped = sum(one.seen.dropped for one in group if one.looks)
        lost = confidence.lost(group, self)
        unread = [row for row in rows if row.unread]  # of clone3
        clones = sum((Counter(row.unread) for row in unread), Counter())
        of = sum(row.count for row in unread)
        return Doubts(lost, self._suspicion.count(group), dropped, clones, of)

    def _unshown(self, newest: ContainerEvidence, rows: Collection[CallRow]) -> str | None:
        """Return what a container's mode cannot show, None if nothing makes that likely."""
        if not newest.looks:
            return None
        programs = {name for row in rows for name in row.programs}
        capabilities = self.bounding_of(newest.record) or ()
        return filter_conflicts.unshown(capabilities, programs, {row.syscall for row in rows})

    def _add_calls(self, record: Record, seen: Tallies, rows: Rows) -> list[str]:
        """Add a container's calls to the workload's; return why their outcome is unknown, if so."""
        former = (time_text.epoch(record.time) or 0.0) if record.had_candidate else 0.0
        calls = [
            (call, t)
            for call, t in seen.calls.items()
            if t.last >= self.since
            and not call.code & RECORDED
            and (t.last >= former or call.code & ACTION_MASK not in call_outcomes.ASKED)
        ]
        if not calls:
            return []
        profile = self.profile_of(record)
        known: dict[tuple[object, ...], CallOutcome] = {}
        for call, tally in calls:
            key = call[:4]
            if key not in known:
                known[key] = call_outcomes.of_record(call, profile, record.candidate)
            if known[key].verdict != SAFE:
                merged_call.count_in(rows, call, tally, known[key])
        return [profile] if isinstance(profile, str) else []


def _is_nobodys(one: ContainerEvidence) -> bool:
    """Return whether it is a pod's sandbox or one of `selftest`, without any recorded call.

    Engines give a pod's sandbox, whose program only waits, no container name. A privileged pod's
    sandbox gets a profile, as it asks for no privileges itself. A container of `selftest` ends
    before anything could watch it: each installation would leave an unknown workload.
    """
    record = one.record
    is_silent = all(call.code & RECORDED for call in one.seen.calls)
    return (record.is_sandbox or record.is_selftest) and is_silent


def strays(seen: Tallies) -> list[CallRow]:
    """Return the calls of no known container; their outcome is unknown."""
    rows: Rows = {}
    for call, tally in seen.calls.items():
        if not call.code & RECORDED:
            merged_call.count_in(rows, call, tally, UNKNOWN)
    return _by_count(rows)


def _by_count(rows: Rows) -> list[CallRow]:
    return sorted(rows.values(), key=lambda row: -row.count)


def _verdict(
    rows: Collection[CallRow],
    group: list[ContainerEvidence],
    problems: list[str],
    unwatched: str | None,
) -> tuple[str | None, str | None]:
    """Return the verdict, and the reason if there is none."""
    verdicts = [row.verdict for row in rows if row.verdict and not row.is_expected]
    hiding = next((one for one in problems if one != confidence.CLEARED), None)
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

"""Gathers this node's evidence: the agent's store and further records from logs; has it judged."""

import os
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from math import inf
from pathlib import Path

from runc_wrap import time_text
from runc_wrap.evidence.attribution.cgroup_membership import Present
from runc_wrap.evidence.attribution.ledger_containers import Known
from runc_wrap.evidence.sightings import AUDIT, LossSpan, Sighting
from runc_wrap.evidence.sources import audit_obstacles, merged_sources, source_status
from runc_wrap.evidence.store import evidence_memory, evidence_reader
from runc_wrap.evidence.store.evidence_memory import Evidence
from runc_wrap.host import runtime_state
from runc_wrap.host.container_discovery import RuntimeContainer
from runc_wrap.host.progress_meter import Meter
from runc_wrap.hotpath import decision
from runc_wrap.ledger.decision_record import Key, Ledger
from runc_wrap.node import flush_request, installed_programs
from runc_wrap.node.container_state import container_processes, users_containers
from runc_wrap.node.paths import Places
from runc_wrap.report import candidate_evidence, source_selection, verdict
from runc_wrap.report.container_evidence import CANDIDATE, Carried
from runc_wrap.report.enforced_profile import Profiles, bounding_of
from runc_wrap.report.merge.merged_workload import MergedWorkload
from runc_wrap.report.merged_call import CallRow
from runc_wrap.report.source_selection import Asked, Interval, Timed


@dataclass(frozen=True)
class NodeReport:
    """The verdicts, the unattributed calls, and sentences about what could not be read."""

    workloads: list[MergedWorkload]
    strays: list[CallRow]
    evidence: Evidence
    ledger: Ledger
    notes: list[str] = field(default_factory=list)


def gather(places: Places, asked: Asked, meter: Meter, *, candidate: bool = False) -> NodeReport:
    """Read everything and decide on verdicts. Raises OSError for an unreadable ledger or store.

    `meter` counts the bytes of logs. `candidate`: the verdicts are on candidates.
    """
    said, notes = users_containers.read_ledgers(places.ledger)
    decided = users_containers.merged(said)
    asked_agent = flush_request.ask(places)
    evidence = _stored(places.evidence, notes)
    notes += filter(None, [asked_agent.note(evidence.looked_until)])
    now = time.time()
    seen = source_status.read(places.evidence)
    sources = _sources(asked, decided, _watched(evidence, seen), meter)
    _add(evidence, merged_sources.gather(sources, asked.since, notes), places.ledger)
    notes += [*source_status.sentences(seen).values(), *_damages(decided, evidence)]
    silence = _silence(decided, notes)
    if not silence:  # else a log without records does not show that there were no calls
        source_selection.note_covered(evidence, sources)
    profiles = Profiles(places.prefix)
    if candidate:
        profiles = candidate_evidence.CandidateProfiles(places.prefix, decided)
        policy = installed_programs.policy_in_force(places.prefix)
        present = policy.get("candidates", {}) if policy else {}
        decided, evidence, others = candidate_evidence.of(decided, evidence, present)
        running = [one for one in others if is_there(one.key)]
        notes += candidate_evidence.notes(decided.records.values(), running, profiles.unpreviewed)
    judging = verdict.Judging(
        decided,
        evidence,
        profiles.of,
        is_there,
        now,
        asked.since,
        "; ".join(silence) or None,
        carried(decided),
        age,
        bounding_of,
        profiles.unpreviewed,
    )
    strays = verdict.strays(evidence.unattributed)
    return NodeReport(judging.judge(), strays, evidence, decided, notes)


def _sources(asked: Asked, decided: Ledger, watched: list[Interval], meter: Meter) -> list[Timed]:
    """Return what to read beside the store: logs since the first start that the ledger knows."""
    starts = [decided.starts.get(key, (one.time, 1))[0] for key, one in decided.records.items()]
    first = min((time_text.epoch(one) or 0.0 for one in starts), default=inf)
    return list(source_selection.chosen(asked, watched, first, meter))


def _add(evidence: Evidence, found: Iterable[Sighting | LossSpan], ledger: Path) -> None:
    """Add to the evidence what logs record; its `add` counts what the agent has not counted."""
    membership = Present(Known(*users_containers.ledgers(ledger)))
    for item in found:
        if isinstance(item, LossSpan):
            evidence.add_lost(item)
        else:
            evidence.add(membership.container_of(item.pid, item.time), item)


def _silence(decided: Ledger, notes: list[str]) -> list[str]:
    """Note why records may be missing; return why a log's silence shows nothing, [] if it does."""
    relies = any(one.is_logged for one in decided.records.values())
    obstacles = audit_obstacles.warnings() if relies else []
    notes += obstacles
    return [one for one in obstacles if one != audit_obstacles.UNREAD]


def _stored(directory: Path, notes: list[str]) -> Evidence:
    """Return what the agent stored; for a user, note that only root may read it."""
    try:
        return evidence_reader.load(directory)
    except PermissionError:
        if users_containers.is_root():
            raise
        notes.append(
            "only root may read the agent's evidence, which has no calls of users' own containers; "
            "try: run their image as root's in audit, and ask root for `runc-wrapctl report`"
        )
        return Evidence()


def carried(decided: Ledger) -> dict[Key, Carried]:
    """Return how many processes carry filters beyond the runtime's, which may hide calls.

    An installation that nothing recorded, as no agent watched yet or its record was lost, leaves no
    other evidence. Only present processes are seen.
    """
    there = [
        (key, record, pid)
        for key, record in decided.records.items()
        if record.is_injected and record.mode in (decision.AUDIT, CANDIDATE)
        if (pid := runtime_state.running(key))
    ]
    if not there:
        return {}
    running = container_processes.snapshot()
    placed = [RuntimeContainer(*key, "", "", pid, None, os.geteuid()) for key, _, pid in there]
    membership = container_processes.ContainerMembers(placed, running)
    found = {}
    for place, (key, record, _) in enumerate(there):
        members = membership.of(place)
        inside = {one.pid for one in members}
        own = sum(
            (one.filters or 0)
            > record.filters + container_processes.inherited(one, inside, running)
            for one in members
        )
        found[key] = Carried(own, len(members))
    return found


def _watched(evidence: Evidence, seen: Mapping[str, str]) -> list[Interval]:
    """Return when an agent took in audit records; a running one with audit still does."""
    intervals = [*evidence.watched.get(AUDIT, ())]
    if intervals and seen.get(AUDIT) == "":
        intervals.append((max(end for _, end in intervals), inf))
    return intervals


def is_there(key: Key) -> bool:
    """Return whether a container's first process still runs."""
    return runtime_state.running(key) is not None


def age(key: Key) -> float:
    """Return the seconds since the start of a container's first process, inf if it has none.

    By the clock that nobody sets: the ledger and logs have the time of day.
    """
    first = runtime_state.first_process(key)
    if not first:
        return inf
    ticks = os.sysconf("SC_CLK_TCK")
    return max(time.clock_gettime(time.CLOCK_BOOTTIME) - first[1] / ticks, 0.0)


def _damages(decided: Ledger, evidence: Evidence) -> Iterator[str]:
    if decided.damaged:
        yield f"{decided.damaged} lines of the ledger are damaged and were skipped"
    yield from lost(evidence)
    unknown = [key for key in evidence.containers if key not in decided.records]
    if unknown:
        yield f"evidence of {len(unknown)} containers that the ledger no longer knows is left out"


def lost(evidence: Evidence) -> Iterator[str]:
    """Yield sentences on calls that the agent recorded and that are not in its evidence."""
    if evidence.damaged:
        yield f"{evidence.damaged} files are damaged and were skipped"
    if evidence.lost:  # of closed listeners without a number
        number = sum(map(evidence_memory.lost_records, evidence.lost.values()))
        why = "; ".join(sorted({why for _, why in evidence.lost}))
        yield f"{number or 'some'} records were lost ({why}): their calls are not in this report"

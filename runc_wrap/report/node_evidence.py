"""This node's evidence: the agent's store, further records from logs, and the verdicts."""

from __future__ import annotations

import os
import re
import time
from dataclasses import dataclass, field
from math import floor, inf
from typing import TYPE_CHECKING

from runc_wrap.evidence.attribution.container_index import Known
from runc_wrap.evidence.attribution.live_process_lookup import Present
from runc_wrap.evidence.model import AUDIT, LOGGED_MODES, Lost
from runc_wrap.evidence.sources import (
    Unavailable,
    audit_health,
    journald,
    kmsg,
    log_files,
    source_status,
)
from runc_wrap.evidence.sources.merge import gather as gather_records
from runc_wrap.evidence.store import coverage, evidence_files, loss_intervals
from runc_wrap.evidence.store.evidence_set import Evidence
from runc_wrap.host import procfs, runtime_state
from runc_wrap.node import agent_flush
from runc_wrap.node.container_state import visible_containers
from runc_wrap.profiles.mode_profiles import modes
from runc_wrap.report import extra_filters, verdict
from runc_wrap.report.enforced_profile import Profiles

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from runc_wrap.evidence.model import Sighting
    from runc_wrap.evidence.sources.merge import Source
    from runc_wrap.host.meter import Meter
    from runc_wrap.hotpath.ledger_file import Key
    from runc_wrap.ledger.reader import Ledger
    from runc_wrap.ledger.record import Record
    from runc_wrap.node.paths import Places
    from runc_wrap.report.model import Judged, Row
    from runc_wrap.report.outcomes import Filter

Interval = tuple[float, float]
_HEADER = re.compile(rb"audit\((\d{1,12})\.\d+:\d+\)")
_BEGINNING = 64 * 1024
AUDIT_LOG, JOURNAL, RING = "audit.log", "journal", "kernel's ring"


@dataclass(frozen=True)
class Asked:
    """Which sources to read beside the store; without any, those that this node has."""

    logs: tuple[Path, ...] = ()
    journal: bool = False
    since: float = 0.0


@dataclass(frozen=True)
class Report:
    """The verdicts, the unattributed calls, and sentences about what could not be read."""

    judged: list[Judged]
    strays: list[Row]
    evidence: Evidence
    ledger: Ledger
    notes: list[str] = field(default_factory=list)


class _Timed:
    """A source that remembers the times of its first and last record."""

    def __init__(self, source: Source, name: str, begin: float | None, end: float) -> None:
        self._source = source
        self.name = name
        self.begin = begin
        self.end = end

    def read(self, since: float, until: float) -> Iterator[Sighting | Lost]:
        """Yield the source's records and losses."""
        for item in self._source.read(since, until):
            if item.time:
                self.begin = item.time if self.begin is None else min(self.begin, item.time)
                self.end = max(self.end, item.time)
            yield item


def gather(
    places: Places, asked: Asked, now: float | None = None, meter: Meter | None = None
) -> Report:
    """Read everything and decide on verdicts. Raises OSError for an unreadable ledger or store.

    `meter` counts the bytes of logs.
    """
    said, notes = visible_containers.read(places.ledger)
    decided = visible_containers.merged(said)
    asked_agent = agent_flush.ask(places)
    evidence = _stored(places.evidence, notes)
    notes += filter(None, [asked_agent.note(evidence.looked_until)])
    moment = time.time() if now is None else now
    seen = _seen(places)
    read = list(_sources(asked, _watched(evidence, seen), _first(decided), meter))
    take_in(evidence, read, Known(*visible_containers.ledgers(places.ledger)), asked.since, notes)
    notes += source_status.sentences(seen).values()
    notes += _damages(decided, evidence)
    relies = any(one.mode in LOGGED_MODES for one in decided.records.values())
    obstacles = audit_health.warnings() if relies else []
    notes += obstacles
    silence = [one for one in obstacles if one != audit_health.UNREAD]
    if not silence:  # else a log without records does not show that there were no calls
        _watch(evidence, read)
    judging = verdict.Judging(
        profiles(places),
        is_there,
        moment,
        asked.since,
        "; ".join(silence) or None,
        extra_filters.carried(_in_audit(decided)),
        age,
    )
    judged = judging.judge(decided, evidence)
    return Report(judged, verdict.strays(evidence.unattributed), evidence, decided, notes)


def _stored(directory: Path, notes: list[str]) -> Evidence:
    """Return what the agent stored; for a user, note that only root may read it."""
    try:
        return evidence_files.load(directory)
    except PermissionError:
        if visible_containers.is_root():
            raise
        notes.append(
            "only root may read the agent's evidence, which has no calls of users' own containers; "
            "try: run their image as root's in audit, and ask root for `runc-wrapctl report`"
        )
        return Evidence()


def _in_audit(decided: Ledger) -> Iterator[tuple[Key, Record]]:
    """Yield the containers whose own filters may hide calls."""
    for key, record in decided.records.items():
        if record.action == "inject" and record.mode == modes.AUDIT:
            yield key, record


def _seen(places: Places) -> dict[str, str]:
    """Return {source: why it delivers nothing, "" if it does} of the running agent."""
    try:
        return source_status.read(places.evidence)
    except PermissionError:  # `_stored` has noted it
        return {}


def _watched(evidence: Evidence, seen: Mapping[str, str]) -> list[Interval]:
    """Return when an agent took in audit records; a running one with audit still does."""
    intervals = [*evidence.watched.get(AUDIT, ())]
    if intervals and seen.get(AUDIT) == "":
        intervals.append((max(end for _, end in intervals), inf))
    return intervals


def _first(decided: Ledger) -> float:
    """Return the start of the first container in the ledger."""
    starts = [decided.starts.get(key, (one.time, 1))[0] for key, one in decided.records.items()]
    return min((coverage.epoch(one) or 0.0 for one in starts), default=inf)


def profiles(places: Places) -> Callable[[Record], Filter | str]:
    """Return a caching function that finds a record's profile under enforce."""
    found = Profiles(places.prefix)
    remembered: dict[tuple[str | None, ...], Filter | str] = {}

    def of(record: Record) -> Filter | str:
        key = (record.profile, record.mode, record.digest, record.root)
        if key not in remembered:
            remembered[key] = found.of(record)
        return remembered[key]

    return of


def is_there(key: Key) -> bool:
    """Return whether a container's first process still runs."""
    first = runtime_state.first_process(key)
    there = procfs.born(first[0]) if first else None
    return bool(first and there and there[0] == first[1])


def age(key: Key) -> float:
    """Return the seconds since the start of a container's first process, inf if it has none.

    By the clock that nobody sets: the ledger and logs have the time of day.
    """
    first = runtime_state.first_process(key)
    if not first:
        return inf
    ticks = os.sysconf("SC_CLK_TCK")
    return max(time.clock_gettime(time.CLOCK_BOOTTIME) - first[1] / ticks, 0.0)


def take_in(
    evidence: Evidence,
    sources: Sequence[_Timed],
    containers: Known,
    since: float,
    notes: list[str],
) -> None:
    """Count the records of these sources that the agent has not counted."""
    present = Present(containers)
    try:
        for item in gather_records(sources, since, float("inf"), notes):
            if isinstance(item, Lost):
                evidence.add_lost(item)
            else:
                evidence.add(present.container_of(item.pid, item.time), item)
    except Unavailable:
        pass  # `notes` has each


def _watch(evidence: Evidence, sources: Iterable[_Timed]) -> None:
    """Note the intervals that these sources cover."""
    for one in sources:
        if one.begin is not None and one.begin < one.end:
            evidence.add_watched(one.name, one.begin, one.end)


class _Unwatched:
    """A source restricted to the times in which no agent took it in.

    `first` is the start of the first known container: earlier losses do not count. It is known to
    the second, so losses in the second in which an agent started do not count either.
    """

    def __init__(self, source: Source, watched: Sequence[Interval], first: float) -> None:
        self._source = source
        self._watched = watched
        self._no_loss = [(0.0, first), *((float(floor(begin)), end) for begin, end in watched)]

    def read(self, since: float, until: float) -> Iterator[Sighting | Lost]:
        """Yield records and losses in those times."""
        for item in self._source.read(since, until):
            if isinstance(item, Lost):
                if lost := unwatched_part(item, self._no_loss):
                    yield lost
            elif not any(a <= item.time <= z for a, z in self._watched):
                yield item


def unwatched_part(lost: Lost, watched: Iterable[Interval]) -> Lost | None:
    """Return a loss without the times at its ends that an agent watched, None if nothing is left.

    The agent has what a source lost while it watched. How many of the records were lost in the rest
    is unknown: at most all of them.
    """
    begin, end = lost.time if lost.begin is None else lost.begin, lost.time
    for a, z in sorted(watched):
        begin = z if a <= begin <= z else begin
    for a, z in sorted(watched, reverse=True):
        end = a if a <= end <= z else end
    return lost._replace(begin=begin, time=end) if begin <= end else None


def _sources(
    asked: Asked, watched: Sequence[Interval], first: float, meter: Meter | None
) -> Iterator[_Timed]:
    """Yield the sources asked for; else audit.log, or without that the kernel's ring.

    The ring counts only while no agent watched: the agent knows better what it has taken in or is
    taking in. A syslog must be asked for: any local user may write into it under any name.
    """
    if asked.logs or asked.journal:
        for path in asked.logs:
            yield _log(path, str(path), meter)
        if asked.journal:
            yield _Timed(journald.Journal(), JOURNAL, None, 0.0)
        return
    if _is_there(log_files.AUDIT_LOG):
        yield _log(log_files.AUDIT_LOG, AUDIT_LOG, meter)
    elif kmsg.PATH.exists():
        yield _Timed(_Unwatched(kmsg.Ring(), watched, first), RING, None, time.time())


def _is_there(path: Path) -> bool:
    """Return whether there is or may be a file; reading it reports a missing permission."""
    try:
        return path.exists()
    except PermissionError:
        return True


def _log(path: Path, name: str, meter: Meter | None) -> _Timed:
    """Return a log; it covers the time from its oldest record of any kind to its last change."""
    begin, end = None, 0.0
    try:
        end = path.stat().st_mtime
        oldest = max(_numbered(path), default=(0, path))[1]
        with oldest.open("rb") as file:
            first = _HEADER.search(file.read(_BEGINNING))
        begin = float(first[1]) if first else None
    except OSError:  # reading it reports what is wrong
        pass
    return _Timed(log_files.Log(path, meter), name, begin, end)


def _numbered(path: Path) -> Iterator[tuple[int, Path]]:
    """Yield auditd's rotated files with their numbers: audit.log.1 is newer than audit.log.2."""
    for one in path.parent.glob(f"{path.name}.*"):
        number = one.name.removeprefix(f"{path.name}.")
        if number.isdecimal() and len(number) <= 3:  # noqa: PLR2004 - auditd keeps 999 at most
            yield int(number), one


def _damages(decided: Ledger, evidence: Evidence) -> Iterator[str]:
    for number, what in ((decided.damaged, "lines of the ledger"), (evidence.damaged, "files")):
        if number:
            yield f"{number} {what} are damaged and were skipped"
    lost = sum(map(loss_intervals.total, evidence.lost.values()))
    if lost:
        why = "; ".join(sorted({why for _, why in evidence.lost}))
        yield f"{lost} records were lost ({why}): their calls are not in this report"
    unknown = [key for key in evidence.containers if key not in decided.records]
    if unknown:
        yield f"evidence of {len(unknown)} containers that the ledger no longer knows is left out"

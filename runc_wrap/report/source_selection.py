"""The sources of records beside the agent's store: which are read, and the times they cover."""

import re
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import floor
from pathlib import Path

from runc_wrap.evidence.sightings import LossSpan, Sighting
from runc_wrap.evidence.sources import journald, kmsg, log_files
from runc_wrap.evidence.store.evidence_memory import Evidence
from runc_wrap.host.progress_meter import Meter

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


@dataclass
class Timed:
    """A source that remembers the times of its first and last record."""

    records: Iterable[Sighting | LossSpan]
    name: str
    begin: float | None
    end: float

    def __iter__(self) -> Iterator[Sighting | LossSpan]:
        for item in self.records:
            if item.time:
                self.begin = item.time if self.begin is None else min(self.begin, item.time)
                self.end = max(self.end, item.time)
            yield item


def chosen(
    asked: Asked, watched: Sequence[Interval], first: float, meter: Meter
) -> Iterator[Timed]:
    """Yield the sources asked for; else audit.log, or without that the kernel's ring.

    The ring counts only while no agent watched: the agent knows better what it has taken in or is
    taking in. A syslog must be asked for: any local user may write into it under any name.
    """
    if asked.logs or asked.journal:
        for path in asked.logs:
            yield _log(path, str(path), asked.since, meter)
        if asked.journal:
            yield Timed(journald.read(asked.since), JOURNAL, None, 0.0)
        return
    if _is_there(log_files.AUDIT_LOG):
        yield _log(log_files.AUDIT_LOG, AUDIT_LOG, asked.since, meter)
    elif kmsg.PATH.exists():
        yield Timed(_unwatched(watched, first), RING, None, time.time())


def _is_there(path: Path) -> bool:
    """Return whether there is or may be a file; reading it reports a missing permission."""
    try:
        return path.exists()
    except PermissionError:
        return True


def _log(path: Path, name: str, since: float, meter: Meter) -> Timed:
    """Return a log; it covers the time from its oldest record of any kind to its last change."""
    begin, end = None, 0.0
    try:
        there = [one for one in map(path.with_name, log_files.names(path)) if one.is_file()]
        end = there[0].stat().st_mtime
        with [one for one in there if one.suffix != ".gz"][-1].open("rb") as file:
            first = _HEADER.search(file.read(_BEGINNING))
        begin = float(first[1]) if first else None
    except (OSError, IndexError):  # reading it reports what is wrong
        pass
    return Timed(log_files.read(path, since, meter), name, begin, end)


def _unwatched(watched: Sequence[Interval], first: float) -> Iterator[Sighting | LossSpan]:
    """Yield the ring's records and losses of the times in which no agent took them in.

    `first` is the start of the first known container: earlier losses do not count. It is known to
    the second, so losses in the second in which an agent started do not count either.
    """
    no_loss = [(0.0, first), *((float(floor(begin)), end) for begin, end in watched)]
    for item in kmsg.read():
        if isinstance(item, LossSpan):
            if lost := unwatched_part(item, no_loss):
                yield lost
        elif not any(a <= item.time <= z for a, z in watched):
            yield item


def unwatched_part(lost: LossSpan, watched: Iterable[Interval]) -> LossSpan | None:
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


def note_covered(evidence: Evidence, sources: Iterable[Timed]) -> None:
    """Note the intervals that these sources cover."""
    for one in sources:
        if one.begin is not None and one.begin < one.end:
            evidence.add_watched(one.name, one.begin, one.end)

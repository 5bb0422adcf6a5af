"""This node's metrics: new lines of the ledger, new calls of the store, the policy's number.

A call's outcome is determined when its kind is new; afterwards the tally has it, so that a scrape
loads no profile.
"""

from __future__ import annotations

import os
import time
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

from runc_wrap.evidence.sources import source_status
from runc_wrap.evidence.store import evidence_files, loss_intervals
from runc_wrap.hotpath.ledger_file import is_late, replaces
from runc_wrap.ledger import reader, tail
from runc_wrap.metrics import counter_state, prometheus_text
from runc_wrap.metrics.counter_state import OTHER
from runc_wrap.report import model, outcomes, workloads
from runc_wrap.report.enforced_profile import Profiles

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from runc_wrap.evidence.store.call_counts import Call, Tallies
    from runc_wrap.evidence.store.evidence_set import Evidence
    from runc_wrap.ledger.reader import Ledger
    from runc_wrap.ledger.record import Record
    from runc_wrap.metrics.counter_state import Tally
    from runc_wrap.node.paths import Places

MOST_KINDS = 100_000  # of calls that are distinguished between two scrapes, on the whole node
UNKNOWN = "unknown"
_AHEAD = 1000  # lines between an agent's answer and the cold path's line, at most
_OTHERS = (OTHER, OTHER, OTHER, OTHER)


def gather(places: Places, now: float | None = None) -> prometheus_text.Series:
    """Count what is new and return all. Raises OSError if ledger or store cannot be read."""
    with counter_state.kept(places.var / "metrics") as kept:
        _decisions(places, kept)
        evidence = evidence_files.load(places.evidence)
        for (source, why), lost in evidence.lost.items():
            new = kept.grown(f"lost\0{source}\0{why}", loss_intervals.total(lost))
            kept.add(prometheus_text.LOST, (prometheus_text.source(source),), new)
        decided = reader.read(places.ledger) if evidence.containers else reader.Ledger({})
        _Denied(places, kept, time.time() if now is None else now).count(decided, evidence)
        return prometheus_text.Series(
            kept, generation(places), _version(), source_status.read(places.evidence)
        )


def generation(places: Places) -> int | None:
    """Return the number of the policy in force, None without one."""
    try:
        name = os.path.basename(os.readlink(places.current))  # noqa: PTH115, PTH119 - a name, no path
    except OSError:
        return None
    return int(name) if name.isdecimal() else None


def _version() -> str:
    try:
        return version("runc-wrap")
    except PackageNotFoundError:
        return UNKNOWN


def _decisions(places: Places, kept: Tally) -> None:
    ahead = tail.Following(places.ledger, kept.positions)
    for record in _once(ahead.records()):
        prometheus_text.count_decision(kept, record)
    kept.positions = ahead.positions or kept.positions
    kept.add(prometheus_text.DAMAGED, (), ahead.damaged)
    kept.add(prometheus_text.GAPS, (), ahead.gaps)


def _once(records: Iterable[Record]) -> Iterator[Record]:
    """Leave out the agent's lines that were not followed, unless a scrape came in between."""
    waiting: dict[tuple[object, ...], Record] = {}
    for record in records:
        whose = (*record.key, record.pid)
        before = waiting.pop(whose, None)
        late = before is not None and is_late(record.origin, before.origin)
        if before and not late and not replaces(record.origin, before.origin):
            yield before
        waiting[whose] = before if before and late else record
        if len(waiting) > _AHEAD:
            yield waiting.pop(next(iter(waiting)))
    yield from waiting.values()


class _Denied:
    """Counts the calls that profiles do not let through."""

    def __init__(self, places: Places, kept: Tally, now: float) -> None:
        self._profiles = Profiles(places.prefix)
        self._kept = kept
        self._now = now
        self._kinds = 0
        self._known: dict[tuple[object, ...], str] = {}  # the outcome for a profile and a call

    def count(self, decided: Ledger, evidence: Evidence) -> None:
        for key, seen in evidence.containers.items():
            self._container("\0".join(key), decided.of(*key), seen)
        self._container("\0", None, evidence.unattributed)

    def _container(self, name: str, record: Record | None, seen: Tallies) -> None:
        self._kinds += len(seen.calls)
        if self._kinds > MOST_KINDS:
            total = sum(one.count for one in seen.calls.values())
            self._add(_OTHERS, self._kept.grown(f"all\0{name}", total))
            return
        grouped: dict[Call, int] = {}
        for call, one in seen.calls.items():
            kind = call._replace(comm="", exe="")
            grouped[kind] = grouped.get(kind, 0) + one.count
        for call, total in grouped.items():
            new = self._kept.grown(f"call\0{name}\0{_text(call)}", total)
            if new:
                self._count(record, call, new)

    def _count(self, record: Record | None, call: Call, new: int) -> None:
        outcome = self._outcome(record, call)
        if outcome == outcomes.SAFE:
            return
        abi = outcomes.abi_of(call.arch, call.number)
        syscall = model.name_of(abi, call.number)
        self._add((*_whose(record), prometheus_text.label(syscall), outcome), new)

    def _outcome(self, record: Record | None, call: Call) -> str:
        """Return the outcome in a word; SAFE also if a record comes from another filter."""
        if record is None or not record.digest:
            return self._judged(record, call)
        kind = (record.root, record.profile, record.mode, record.digest, call)
        if kind not in self._known:
            self._known[kind] = self._judged(record, call)
        return self._known[kind]

    def _judged(self, record: Record | None, call: Call) -> str:
        if record and not record.is_injected:
            return outcomes.SAFE
        profile = self._profiles.of(record) if record else ""
        return outcomes.of_record(call, profile).verdict or UNKNOWN

    def _add(self, labels: tuple[str, ...], number: int) -> None:
        self._kept.add_bounded(prometheus_text.DENIED_CALLS, labels, number, self._now)


def _whose(record: Record | None) -> tuple[str, str]:
    if record is None:
        return "", UNKNOWN
    found = workloads.of(record)
    name = "/".join(part for part in (found.pod, found.container) if part) or found.image
    return prometheus_text.label(found.namespace), prometheus_text.label(name or UNKNOWN)


def _text(call: Call) -> str:
    return f"{call.arch:x}:{call.number}:{call.code:x}:{call.args}"

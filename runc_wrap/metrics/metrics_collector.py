"""Collects this node's metrics: new decisions in the ledger, new calls, the policy's number.

A decision counts by labels with few values.
A call's outcome is determined when its kind is new; afterwards the tally has it, so that a pass
loads no profile.
"""

import os
import time
from collections.abc import Iterable, Iterator
from functools import cached_property
from typing import TYPE_CHECKING, Any

from runc_wrap.evidence.sightings import RECORDED
from runc_wrap.evidence.sources import source_status
from runc_wrap.evidence.store import evidence_memory, evidence_reader
from runc_wrap.evidence.store.call_counts import CallKind, Tallies
from runc_wrap.host import engine_names
from runc_wrap.hotpath.decision import ENGINE_DEFAULT, MODES, OWN_PROFILE, READY_MADE
from runc_wrap.hotpath.ledger_file import Key, is_late
from runc_wrap.ledger import new_records, whole_ledger
from runc_wrap.ledger.decision_record import Ledger, Record
from runc_wrap.metrics import counter_state, prometheus_series
from runc_wrap.metrics.counter_state import OTHER, CounterState
from runc_wrap.node.paths import Places
from runc_wrap.report import workload_names

if TYPE_CHECKING:
    from runc_wrap.report.enforced_profile import Profiles

MOST_KINDS = 100_000  # of calls that are distinguished between two scrapes, on the whole node
UNKNOWN, SAFE = "unknown", "safe"  # SAFE as call_outcomes has it
MOST_JUDGED = 20_000  # kinds of calls whose outcomes are kept
_AHEAD = 1000  # lines between an agent's answer and the cold path's line, at most
_KNOWN = {
    "mode": MODES,
    "action": ("inject", "keep", "leave"),
    "via": ("agent", "cold", "hook"),
    "engine": (*engine_names.KNOWN,),
}
_KEPT = {OWN_PROFILE: "own-profile", ENGINE_DEFAULT: "engine-default", READY_MADE: "ready-made"}


def gather(places: Places) -> list[prometheus_series.MetricFamily]:
    """Count what is new and return all. Raises OSError if ledger or store cannot be read."""
    with counter_state.kept(places.var / "metrics") as kept:
        _decisions(places, kept)
        evidence = evidence_reader.load(places.evidence)
        for (source, why), lost in evidence.lost.items():
            new = kept.grown(f"lost\0{source}\0{why}", evidence_memory.lost_records(lost))
            kept.add(prometheus_series.LOST, (prometheus_series.source(source),), new)
        by = f"{_version()} {generation(places)}"
        if kept.judged_by != by or len(kept.judged) > MOST_JUDGED:
            kept.judged_by, kept.judged = by, {}
            kept.begin_if_full(prometheus_series.DENIED_CALLS)
        denied = _Denied(places, kept)
        for key, of in (*evidence.containers.items(), (None, evidence.unattributed)):
            denied.count(key, of)
        seen = source_status.read(places.evidence)
        now = time.time()
        return [*prometheus_series.families(kept, generation(places), _version(), now, seen)]


def generation(places: Places) -> int | None:
    """Return the number of the policy in force, None without one."""
    try:
        name = os.path.basename(os.readlink(places.current))  # noqa: PTH115, PTH119 - a name, no path
    except OSError:
        return None
    return int(name) if name.isdecimal() else None


def _version() -> str:
    """Return the installed version, UNKNOWN of a checkout.

    The package's directory says it; importlib.metadata takes 15 ms.
    """
    for name in os.listdir(__file__.rpartition("/runc_wrap/")[0]):  # noqa: PTH208 - names only
        if name.startswith("runc_wrap-") and name.endswith(".dist-info"):
            return name.removeprefix("runc_wrap-").removesuffix(".dist-info")
    return UNKNOWN


def _decisions(places: Places, kept: CounterState) -> None:
    ahead = new_records.Following(places.ledger, kept.positions)
    for record in _once(ahead.records()):
        count_decision(kept, record)
    kept.positions = ahead.positions or kept.positions
    kept.add(prometheus_series.DAMAGED, (), ahead.damaged)
    kept.add(prometheus_series.GAPS, (), ahead.gaps)


def count_decision(tally: CounterState, record: Record) -> None:
    """Count one line of the ledger, except those of `selftest`, which opts out each time."""
    if record.is_selftest:
        return
    kind = reason_kind(record)
    one_of = prometheus_series.one_of
    known = {name: one_of(names, getattr(record, name)) for name, names in _KNOWN.items()}
    labels = (known["mode"], known["action"], kind, known["via"], known["engine"])
    tally.add(prometheus_series.DECISIONS, labels)
    if kind == "opted-out":
        tally.add(prometheus_series.OPTED_OUT, ())
    if record.declared == "privileged":
        tally.add(prometheus_series.PRIVILEGED, ())
    if record.fallback:
        tally.add(prometheus_series.FALLBACKS, ())


def reason_kind(record: Record) -> str:
    """Return the kind of reason, one of few; hotpath.decision writes the sentence."""
    action, declared = record.action, record.declared
    if action == "keep":
        return _KEPT.get(str(declared), OTHER)
    if action == "leave":
        return _why_left(record.reason or "")
    if action != "inject":
        return OTHER
    if declared == "privileged":
        return "privileged"
    if declared == ENGINE_DEFAULT:
        return "adopted"
    if declared not in (None, "unset"):
        return "annotation"
    return "rule" if record.rule else "default"


def _why_left(reason: str) -> str:
    if reason.startswith("Started unmodified"):
        return "failed-open"
    if reason.startswith("The annotation "):
        return "opted-out"
    if " turns it off" in reason:  # more follows where an engine's default was taken over
        return "off"
    if reason == "The container is privileged.":
        return "privileged"
    return "no-linux" if reason.endswith(" has no linux section.") else OTHER


def _once(records: Iterable[Record]) -> Iterator[Record]:
    """Leave out the agent's lines that were not followed, unless a scrape came in between."""
    waiting: dict[tuple[object, ...], Record] = {}
    for record in records:
        whose = (*record.key, record.pid)
        before = waiting.pop(whose, None)
        late = before is not None and is_late(record.origin, before.origin)
        if before and not late and not is_late(before.origin, record.origin):
            yield before
        waiting[whose] = before if before and late else record
        if len(waiting) > _AHEAD:
            yield waiting.pop(next(iter(waiting)))
    yield from waiting.values()


class _Denied:
    """Counts the calls that profiles do not let through."""

    def __init__(self, places: Places, kept: CounterState) -> None:
        self._places = places
        self._kept = kept
        self._kinds = 0

    @cached_property
    def _ledger(self) -> Ledger:
        return whole_ledger.read(self._places.ledger)

    @cached_property
    def _profiles(self) -> "Profiles":
        # What judges takes most of the CPU time, and most passes meet no new kind of call.
        from runc_wrap.report.enforced_profile import Profiles  # noqa: PLC0415

        return Profiles(self._places.prefix)

    def count(self, key: Key | None, seen: Tallies) -> None:
        grouped: dict[tuple[Any, ...], int] = {}
        for call, one in seen.calls.items():
            kind = call[:4]  # whatever the program
            if not call.code & RECORDED:
                grouped[kind] = grouped.get(kind, 0) + one.count
        if not grouped:
            return
        name = "\0".join(key or ("", ""))
        self._kinds += len(grouped)
        left = self._kept.grown(f"all\0{name}", sum(grouped.values()))
        if self._kinds > MOST_KINDS:
            self._kept.add_bounded(prometheus_series.DENIED_CALLS, (OTHER,) * 4, left)
            return
        for kind, total in grouped.items():
            call = CallKind(*kind, "", "")
            new = min(self._kept.grown(f"call\0{name}\0{_text(call)}", total), left)
            left -= new  # the rest was counted while the container was beyond the bound
            if new:
                self._count(self._ledger.of(*key) if key else None, call, new)

    def _count(self, record: Record | None, call: CallKind, new: int) -> None:
        if record and not record.is_injected:
            return  # the record comes from another filter
        kind = "\0".join(map(str, (*_decided(record), _text(call))))
        if kind not in self._kept.judged:  # SAFE also if a record comes from another filter
            from runc_wrap.profiles import syscall_names  # noqa: PLC0415 - as `_profiles`
            from runc_wrap.report import call_outcomes  # noqa: PLC0415 - likewise

            profile = self._profiles.of(record) if record else ""
            outcome = call_outcomes.of_record(call, profile, record and record.candidate).verdict
            name = syscall_names.of_call(call.arch, call.number)
            self._kept.judged[kind] = [prometheus_series.label(name), outcome or UNKNOWN]
        syscall, outcome = self._kept.judged[kind]
        if outcome != SAFE:
            labels = (*_whose(record), syscall, outcome)
            self._kept.add_bounded(prometheus_series.DENIED_CALLS, labels, new)


def _decided(record: Record | None) -> tuple[str | None, ...]:
    """Return what an outcome depends on beside the call; by its id where the digest is unknown."""
    if record is None:
        return ()
    return record.root, record.profile, record.mode, record.digest or record.id


def _whose(record: Record | None) -> tuple[str, str]:
    if record is None:
        return "", UNKNOWN
    found = workload_names.of(record)
    name = "/".join(part for part in (found.pod, found.container) if part) or found.image
    return prometheus_series.label(found.namespace), prometheus_series.label(name or UNKNOWN)


def _text(call: CallKind) -> str:
    return f"{call.arch:x}:{call.number}:{call.code:x}:{call.args}"

"""The series for Prometheus, and how decisions become labels with few values.

Dashboards rely on names and labels: more may be added, none renamed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from runc_wrap import text
from runc_wrap.hotpath.decision import ENGINE_DEFAULT, OWN_PROFILE, READY_MADE
from runc_wrap.metrics.counter_state import OTHER

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from runc_wrap.ledger.record import Record
    from runc_wrap.metrics.counter_state import Tally

LONGEST_LABEL = 100  # characters
DENIED_CALLS, LOST, DECISIONS, FALLBACKS = "denied_calls", "lost_records", "decisions", "fallbacks"
OPTED_OUT, PRIVILEGED, DAMAGED, GAPS = "opted_out", "privileged", "damaged", "gaps"

# metric -> (name, what it is, label names)
COUNTERS = {
    DECISIONS: (
        "runc_wrap_decisions",
        "Decisions about containers, by action and reason.",
        ("mode", "action", "reason_kind", "via", "engine"),
    ),
    OPTED_OUT: ("runc_wrap_opted_out", "Decisions to leave a container that opted out.", ()),
    PRIVILEGED: ("runc_wrap_privileged", "Decisions about privileged containers.", ()),
    FALLBACKS: (
        "runc_wrap_agent_fallbacks",
        "Decisions of the cold path although the agent's socket existed.",
        (),
    ),
    DENIED_CALLS: (
        "runc_wrap_denied_calls",
        "Calls seen that the profile does not let through; outcome: what they get under enforce.",
        ("namespace", "workload", "syscall", "outcome"),
    ),
    LOST: ("runc_wrap_lost_records", "Records of calls known to be lost.", ("source",)),
    DAMAGED: ("runc_wrap_damaged_ledger_lines", "Lines of the ledger that are not records.", ()),
    GAPS: (
        "runc_wrap_ledger_gaps",
        "Times that the ledger was rotated twice between two scrapes: decisions were not counted.",
        (),
    ),
}
_KNOWN = {
    "mode": ("enforce", "enforce-log", "audit", "observe", "off"),
    "action": ("inject", "keep", "leave"),
    "via": ("agent", "cold", "hook"),
    "engine": ("containerd", "crio", "docker", "podman", "buildah"),
}
_KEPT = {
    OWN_PROFILE: "own-profile",
    ENGINE_DEFAULT: "engine-default",
    READY_MADE: "ready-made",
}
SEEING = "runc_wrap_evidence_sources_seeing"
_SEEING = "1 if the agent's probe shows up in a source of evidence, 0 if nothing comes."
_SOURCES = ("audit", "observe", "processes")


class Series(Collector):
    """A tally and present values, for any of prometheus_client's formats."""

    def __init__(
        self,
        tally: Tally,
        generation: int | None,
        version: str,
        seen: Mapping[str, str] | None = None,
    ) -> None:
        self._tally = tally
        self._seen = seen or {}  # by source, why it delivers nothing
        self._generation = generation
        self._version = version

    def collect(self) -> Iterable[Metric]:
        """Yield the families; counters without labels start at 0."""
        for metric, (name, what, labels) in COUNTERS.items():
            family = CounterMetricFamily(name, what, labels=labels)
            of = self._tally.counts.get(metric, {} if labels else {(): 0})
            for values, number in sorted(of.items()):
                family.add_metric(values, number)
            yield family
        if self._generation is not None:
            yield GaugeMetricFamily(
                "runc_wrap_policy_generation",
                "Number of the policy in force; `apply` raises it.",
                value=self._generation,
            )
        if self._seen:
            seeing = GaugeMetricFamily(SEEING, _SEEING, labels=["source"])
            for name, why in sorted(self._seen.items()):
                seeing.add_metric([source(name)], not why)
            yield seeing
        build = GaugeMetricFamily("runc_wrap_build_info", "The version.", labels=["version"])
        build.add_metric([self._version], 1)
        yield build


def registry(found: Series) -> CollectorRegistry:
    """Return a registry of our metrics only: none about this short-lived process."""
    made = CollectorRegistry(auto_describe=False)
    made.register(found)
    return made


def exposition(found: Series) -> bytes:
    """Return Prometheus' text format, version 0.0.4."""
    return generate_latest(registry(found))


def document(found: Series) -> list[dict[str, Any]]:
    """Return the same series as JSON values."""
    return [
        {
            "name": family.name,
            "type": family.type,
            "help": family.documentation,
            "samples": [
                {"name": sample.name, "labels": sample.labels, "value": sample.value}
                for sample in family.samples
            ],
        }
        for family in found.collect()
    ]


def label(value: object) -> str:
    """Return a label's value, shortened and made safe to show."""
    return text.name(value, LONGEST_LABEL)


def count_decision(tally: Tally, record: Record) -> None:
    """Count one line of the ledger, except those of `selftest`, which opts out each time."""
    if record.is_selftest:
        return
    kind = reason_kind(record)
    known = {name: _one_of(names, getattr(record, name)) for name, names in _KNOWN.items()}
    labels = (known["mode"], known["action"], kind, known["via"], known["engine"])
    tally.add(DECISIONS, labels)
    if kind == "opted-out":
        tally.add(OPTED_OUT, ())
    if record.declared == "privileged":
        tally.add(PRIVILEGED, ())
    if record.fallback:
        tally.add(FALLBACKS, ())


def source(name: str) -> str:
    """Return a source of records as a label."""
    return _one_of(_SOURCES, name)


def _one_of(names: Iterable[str], value: object) -> str:
    if value is None:
        return "none"
    return value if isinstance(value, str) and value in names else OTHER


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

"""The series for Prometheus: their names and labels, and the text format.

Dashboards rely on names and labels: more may be added, none renamed.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from runc_wrap import safe_text
from runc_wrap.metrics.counter_state import OTHER, CounterState

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
        "Times that the ledger was rotated twice between two passes: decisions were not counted.",
        (),
    ),
}
SEEING = "runc_wrap_evidence_sources_seeing"
GENERATION = "runc_wrap_policy_generation"
WRITTEN = "runc_wrap_metrics_written_timestamp_seconds"
BUILD = "runc_wrap_build_info"
COUNTER, GAUGE = "counter", "gauge"
_SOURCES = ("audit", "observe", "processes")


class MetricFamily(NamedTuple):
    """One metric: its name without `_total`, its kind and help, and numbers by labels."""

    name: str
    kind: str
    help: str
    samples: Sequence[tuple[dict[str, str], float]]

    @property
    def sample_name(self) -> str:
        """The name that its samples have."""
        return f"{self.name}_total" if self.kind == COUNTER else self.name


def families(
    tally: CounterState, generation: int | None, version: str, now: float, seen: Mapping[str, str]
) -> Iterator[MetricFamily]:
    """Yield the families; counters without labels start at 0.

    `seen` is, by source of evidence, why it delivers nothing.
    """
    for metric, (name, what, labels) in COUNTERS.items():
        of = tally.counts.get(metric, {} if labels else {(): 0})
        counts = [(dict(zip(labels, key, strict=True)), of[key]) for key in sorted(of)]
        yield MetricFamily(name, COUNTER, what, counts)
    if generation is not None:
        what = "Number of the policy in force; `apply` raises it."
        yield MetricFamily(GENERATION, GAUGE, what, [({}, generation)])
    if seen:
        seeing = [({"source": source(name)}, not why) for name, why in sorted(seen.items())]
        what = "1 if the agent's probe shows up in a source of evidence, 0 if nothing comes."
        yield MetricFamily(SEEING, GAUGE, what, seeing)
    what = "When these metrics were written; the agent does so every 30 seconds."
    yield MetricFamily(WRITTEN, GAUGE, what, [({}, now)])
    yield MetricFamily(BUILD, GAUGE, "The version.", [({"version": version}, 1)])


def text_of(found: Iterable[MetricFamily]) -> bytes:
    """Return Prometheus' text format, version 0.0.4."""
    return "".join(line for one in found for line in _lines(one)).encode()


def _lines(one: MetricFamily) -> Iterator[str]:
    yield f"# HELP {one.sample_name} {_escaped(one.help)}\n"
    yield f"# TYPE {one.sample_name} {one.kind}\n"
    for labels, value in one.samples:
        texts = {name: _escaped(labels[name]).replace('"', r"\"") for name in sorted(labels)}
        shown = ",".join(f'{name}="{text}"' for name, text in texts.items())
        yield f"{one.sample_name}{f'{{{shown}}}' if shown else ''} {float(value)}\n"


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace("\n", r"\n")


def document(found: Iterable[MetricFamily]) -> list[dict[str, Any]]:
    """Return the same series as JSON values."""
    return [
        {
            "name": one.name,
            "type": one.kind,
            "help": one.help,
            "samples": [
                {"name": one.sample_name, "labels": labels, "value": float(value)}
                for labels, value in one.samples
            ],
        }
        for one in found
    ]


def label(value: object) -> str:
    """Return a label's value, shortened and made safe to show."""
    return safe_text.name(value, LONGEST_LABEL)


def source(name: str) -> str:
    """Return a source of records as a label."""
    return one_of(_SOURCES, name)


def one_of(names: Iterable[str], value: object) -> str:
    """Return a value that is one of few names, else OTHER; "none" for None."""
    if value is None:
        return "none"
    return value if isinstance(value, str) and value in names else OTHER

"""The series for Prometheus: their names and labels, the counts between scrapes, the text format.

    var/metrics/tally.json    where reading the ledger stopped, the counts, each container's totals

Dashboards rely on names and labels: more may be added, none renamed.
A Prometheus counter may only grow or be reset, while ledger and store drop what is old. So what is
new since the last scrape is added to the tally. A lost or damaged tally begins anew from what
ledger and store still hold: a counter reset, which Prometheus handles.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

from runc_wrap import safe_text
from runc_wrap.host import files, locks
from runc_wrap.hotpath import json_codec

Json = dict[str, Any]
Labels = tuple[str, ...]

MOST_SERIES = 500  # of one metric
OTHER = "other"
_VERSION = 1
_LARGEST = 64 * 1024 * 1024  # bytes of the file
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


class CounterState:
    """`counts`: {metric: {label values: count}}; `had`: {name: the total at the last pass}.

    `now` has the totals of this pass.

    `judged` has a call's name and outcome by its kind, as long as `judged_by` stays the same.
    """

    def __init__(self) -> None:
        self.positions: dict[str, int] = {}
        self.counts: dict[str, dict[Labels, int]] = {}
        self.had: dict[str, int] = {}
        self.judged_by = ""
        self.judged: dict[str, list[str]] = {}
        self.now: dict[str, int] = {}

    def add(self, metric: str, labels: Labels, number: int = 1) -> None:
        """Count in a metric with few label values."""
        of = self.counts.setdefault(metric, {})
        of[labels] = of.get(labels, 0) + number

    def grown(self, name: str, total: int) -> int:
        """Return by how much a total grew since the last scrape; all of it if it shrank."""
        before = self.had.get(name, 0)
        self.now[name] = total
        return total - before if total >= before else total

    def add_bounded(self, metric: str, labels: Labels, number: int) -> None:
        """Count in one of the first MOST_SERIES series, and beyond that under "other"."""
        of = self.counts.get(metric, {})
        is_full = labels not in of and len(of) >= MOST_SERIES
        self.add(metric, (OTHER,) * len(labels) if is_full else labels, number)

    def begin_if_full(self, metric: str) -> None:
        """Begin anew, as after a reset, else who once filled it hides later series for ever."""
        if len(self.counts.get(metric, ())) > MOST_SERIES:
            del self.counts[metric]


@contextmanager
def kept(directory: Path) -> Iterator[CounterState]:
    """Load the tally, one program at a time, and save it if the block succeeds. Raises OSError.

    If it cannot be written, the next pass counts the same again from where it stood. It is synced:
    after a power failure a counter that fell would count again as a whole in Prometheus.
    """
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    file = directory / "tally.json"
    with locks.locked(directory.parent, "metrics"):
        try:
            before = files.read(file, _LARGEST)
        except (OSError, ValueError):  # there is none, it is not regular, or too large
            before = b""
        tally = _loaded(before)
        yield tally
        tally.had = tally.now  # without those whose source was removed
        data = _written(tally)
        if data != before:  # most scrapes find nothing new, and a sync may take long
            with suppress(OSError):
                files.replace(file, data)


def _loaded(data: bytes) -> CounterState:
    """Return the tally; a new one if there is none or it is damaged."""
    tally = CounterState()
    try:
        state = json_codec.loads(data)
        if state["version"] != _VERSION:
            return tally
        tally.positions = {str(name): int(at) for name, at in state["positions"].items()}
        tally.had = {str(name): int(total) for name, total in state["had"].items()}
        for metric, series in state["counts"].items():
            counts = {tuple(map(str, labels)): int(number) for labels, number in series}
            tally.counts[str(metric)] = counts
        tally.judged_by = str(state.get("judged_by"))
        for kind, (name, outcome) in state.get("judged", {}).items():
            tally.judged[str(kind)] = [str(name), str(outcome)]
    except (json_codec.Unreadable, TypeError, KeyError, ValueError, AttributeError):
        return CounterState()
    return tally


def _written(tally: CounterState) -> bytes:
    return json_codec.dumps(
        {
            "version": _VERSION,
            "positions": tally.positions,
            "had": tally.had,
            "counts": {metric: list(of.items()) for metric, of in tally.counts.items()},
            "judged_by": tally.judged_by,
            "judged": tally.judged,
        }
    )


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

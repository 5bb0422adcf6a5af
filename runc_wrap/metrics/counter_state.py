"""The counts between scrapes, which are kept in a file.

    var/metrics/tally.json    where reading the ledger stopped, the counts, each container's totals

A Prometheus counter may only grow or be reset, while ledger and store drop what is old. So what is
new since the last scrape is added to the tally. A lost or damaged tally begins anew from what
ledger and store still hold: a counter reset, which Prometheus handles.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from runc_wrap.host import files, locks
from runc_wrap.hotpath import json_codec

Labels = tuple[str, ...]

MOST_SERIES = 500  # of one metric
OTHER = "other"
_VERSION = 1
_LARGEST = 64 * 1024 * 1024  # bytes of the file


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

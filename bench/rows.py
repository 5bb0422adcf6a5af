"""The promised figures, each with what was measured, and the table of them.

The verdict is on the median, by its 95 % confidence interval: if the interval contains the bound,
the row is undecided.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from bench.fleet import Merged
from harness import measurement
from harness.measurement import Rounds

ADDED = 0.6  # ms
PASSED_ON, ALONE = 0.25, {"agent": 0.7, "cold": 9.0}  # ms, before a runtime that does nothing
CREATE_ADDED = 1.5  # ms
COLD_RATIO = 1.3
FLEET_RESIDENT = 1000.0  # MB
UNTOUCHED = ("state", "exec")
MET, NOT_MET, UNDECIDED = "met", "NOT met", "undecided"
NOTE = f"""\
Each variant ends with the same linux.seccomp in config.json; a bare runtime is given it beforehand.
Every measurement rests {measurement.PAUSE * 1e3:.0f} ms first, but for 100 at once.
"undecided": the interval lies on both sides of the bound."""


@dataclass(frozen=True)
class Row:
    """One line of the table, its verdict one of the words above."""

    measure: str
    must: str
    figure: str
    verdict: str


def below(found: measurement.Summary, bound: float) -> str:
    """Return the verdict on a median that must lie below a bound, by its interval."""
    if found.high < bound:
        return MET
    return NOT_MET if found.low >= bound else UNDECIDED


def all_of(verdicts: Iterable[str]) -> str:
    """Return the worst of several verdicts."""
    found = set(verdicts)
    return next((one for one in (NOT_MET, UNDECIDED) if one in found), MET)


def exactly(met: bool) -> str:  # noqa: FBT001 - the verdict on a thing that has no spread
    """Return the verdict on a yes-or-no fact."""
    return MET if met else NOT_MET


def milliseconds(found: measurement.Summary) -> str:
    """Return the median of a sample of seconds, and its interval."""
    return f"{found.median * 1e3:+.2f} ms [{found.low * 1e3:+.2f} {found.high * 1e3:+.2f}]"


def quotient(found: measurement.Summary) -> str:
    """Return the median of a sample of ratios, and its interval."""
    return f"{found.median:.3f} [{found.low:.3f} {found.high:.3f}]"


def _added(name: str, rounds: Rounds, way: str, bound: float) -> Row:
    """Return the row for what a way adds to the bare one, of which `bound` ms are allowed."""
    found = measurement.sure(measurement.differences(rounds, way, "bare"))
    return Row(name, f"under {bound:g} ms", milliseconds(found), below(found, bound / 1e3))


def untouched(runtime: str, commands: dict[str, Rounds]) -> Row:
    """Return the row for a command that is none of create, run, restore."""
    each = [_added(f"{name} ", commands[name], "agent", ADDED) for name in UNTOUCHED]
    figure = "; ".join(f"{one.measure}{one.figure}" for one in each)
    verdict = all_of(one.verdict for one in each)
    return Row(f"{runtime}: state, exec: added", each[0].must, figure, verdict)


def creates(create: Rounds) -> list[Row]:
    """Return what a create takes more with an agent, and how much longer it takes without one."""
    cold = measurement.sure(measurement.ratios(create, "cold", "bare"))
    must = f"under {COLD_RATIO} times bare"
    return [
        _added("runc: create, agent running: added", create, "agent", CREATE_ADDED),
        Row("runc: create, no agent", must, quotient(cold), below(cold, COLD_RATIO)),
    ]


def alone(rounds: Rounds) -> list[Row]:
    """Return the rows for a create before a runtime that does nothing."""
    name = "create, {}, before a runtime that does nothing: added"
    return [_added(name.format(way), rounds, way, bound) for way, bound in ALONE.items()]


def passed_on(rounds: Rounds) -> Row:
    """Return the row for the launcher's time for a command that is passed on."""
    name = "state, passed on to a runtime that does nothing: added"
    return _added(name, rounds, "cold", PASSED_ON)


def at_once(bursts: list[dict[str, Any]], decided: dict[str, int]) -> Row:
    """Return the row for whether the agent helps, and answers all, if everything starts at once."""
    wall, slowest, ranks = _compared(bursts)
    slower = sum(one.median > 1 for one in ranks) / len(ranks)
    all_answered = set(decided) == {"agent"}
    figure = (
        f"wall {quotient(wall)}, slowest {quotient(slowest)} times without; "
        f"{slower:.0%} of the ranks slower; decided by {dict(decided)}"
    )
    verdict = all_of([below(wall, 1), below(slowest, 1), exactly(all_answered and not slower)])
    return Row("runc: 100 creates at once, agent", "none slower than without, all", figure, verdict)


def _compared(
    bursts: list[dict[str, Any]],
) -> tuple[measurement.Summary, measurement.Summary, list[measurement.Summary]]:
    """Return the wall time, the slowest, and the n-th to be done for each n: agent / cold."""
    wall = [one["agent"]["wall"] / one["cold"]["wall"] for one in bursts]
    ranks = range(len(bursts[0]["cold"]["each"]))
    by_rank = [
        measurement.sure([b["agent"]["each"][rank] / b["cold"]["each"][rank] for b in bursts])
        for rank in ranks
    ]
    return measurement.sure(wall), by_rank[-1], by_rank


def fleet(found: dict[str, Merged]) -> list[Row]:
    """Return a row for each way to a fleet's report."""
    return [_fleet(f"{way}, 200 workloads each", one) for way, one in found.items()]


def _fleet(name: str, found: Merged) -> Row:
    must = f"under {found.bound:g} s and {FLEET_RESIDENT / 1e3:g} GB"
    resident = found.resident / 1e6
    figure = (
        f"{found.seconds:.1f} s ({found.cpu:.1f} s of CPU), {resident:.0f} MB, "
        f"{found.size / 1e9:.2f} GB read"
    )
    for who, used in found.others.items():
        figure += f"; {who}: {used.cpu:.1f} s of CPU, {used.resident / 1e6:.0f} MB"
    largest = max(resident, *(used.resident / 1e6 for used in found.others.values()), 0.0)
    is_met = found.seconds < found.bound and largest < FLEET_RESIDENT
    return Row(name, must, figure, exactly(is_met))


def table(rows: list[Row]) -> str:
    """Return the figures, each with its verdict, in columns as wide as their widest cell."""
    head = ["measure", "bound", "measured: median [95 % interval]", ""]
    lines = [head, *([row.measure, row.must, row.figure, row.verdict] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )

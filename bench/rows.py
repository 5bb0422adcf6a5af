"""The figures that were promised (issue 4), each with what was measured. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bench import numbers

if TYPE_CHECKING:
    from bench.agents import AtRest
    from bench.numbers import Rounds

ADDED = 0.6  # ms
CREATE_ADDED = 1.5  # ms
COLD_RATIO = 1.3
RESIDENT = 30.0  # MB
LINEAR = 0.99  # Pearson's r
UNTOUCHED = ("state", "exec")
NOT_MEASURED = "this release has no agent"


@dataclass(frozen=True)
class Row:
    """One line of the table; `met` is None where nothing could be measured."""

    measure: str
    must: str
    figure: str
    met: bool | None

    @property
    def verdict(self) -> str:
        """Return it in words."""
        return {True: "met", False: "NOT met", None: "not measured"}[self.met]


@dataclass(frozen=True)
class Measured:
    """All that a run of the bench found, as bench.measures has it."""

    commands: dict[str, dict[str, Rounds]]
    one_abi: Rounds | None
    sizes: dict[int, Rounds]
    bursts: list[dict[str, Any]]
    decided: dict[str, int]
    cache: dict[str, dict[str, Any]]
    rest: AtRest | None


def rows(measured: Measured) -> list[Row]:
    """Return the whole table."""
    agent = measured.rest is not None
    found = [
        untouched(runtime, way, measured.commands[runtime])
        for way in (("agent",) if agent else ("cold",))
        for runtime in measured.commands
    ]
    return [
        *found,
        create_added(measured.commands["runc"]["create"]),
        create_cold(measured.commands["runc"]["create"]),
        one_abi(measured.one_abi),
        *(cached(way, found) for way, found in measured.cache.items()),
        at_once(measured.bursts, measured.decided),
        *(growth(way, measured.sizes) for way in ("cold", "agent")),
        at_rest(measured.rest),
    ]


def milliseconds(found: numbers.Summary) -> str:
    """Return median and quartiles of a sample of seconds."""
    return f"{found.median * 1e3:+.2f} ms [{found.low * 1e3:+.2f} {found.high * 1e3:+.2f}]"


def quotient(found: numbers.Summary) -> str:
    """Return median and quartiles of a sample of ratios."""
    return f"{found.median:.3f} [{found.low:.3f} {found.high:.3f}]"


def untouched(runtime: str, way: str, commands: dict[str, Rounds]) -> Row:
    """Tell what a command costs that is none of create, run, restore."""
    found = {
        command: numbers.summary(numbers.differences(commands[command], way, "bare"))
        for command in UNTOUCHED
    }
    figure = "; ".join(f"{command} {milliseconds(one)}" for command, one in found.items())
    met = all(one.median * 1e3 < ADDED for one in found.values())
    return Row(f"{runtime}: state, exec: added", f"under {ADDED} ms", figure, met)


def create_added(create: Rounds) -> Row:
    """Tell what the wrapper adds to a create where its agent runs."""
    name = "runc: create, agent running: added"
    must = f"under {CREATE_ADDED} ms"
    if "agent" not in create[0]:
        return Row(name, must, NOT_MEASURED, None)
    found = numbers.summary(numbers.differences(create, "agent", "bare"))
    return Row(name, must, milliseconds(found), found.median * 1e3 < CREATE_ADDED)


def create_cold(create: Rounds) -> Row:
    """Tell how much longer a create takes where no agent runs."""
    found = numbers.summary(numbers.ratios(create, "cold", "bare"))
    must = f"under {COLD_RATIO} times bare"
    return Row("runc: create, no agent", must, quotient(found), found.median < COLD_RATIO)


def one_abi(rounds: Rounds | None) -> Row:
    """Tell whether leaving out ABIs that the kernel has not makes up for the wrapper."""
    name = 'runc: create with abis = "kernel", agent running'
    must = "faster than bare with the engine's profile"
    if rounds is None:
        return Row(name, must, NOT_MEASURED, None)
    found = numbers.summary(numbers.ratios(rounds, "kernel", "bare"))
    return Row(name, must, f"{quotient(found)} times bare", found.median < 1)


def cached(way: str, found: dict[str, Any]) -> Row:
    """Tell whether crun compiles the same profile once."""
    first, second = found["inodes"]
    figure = f"filter files' inodes {first} and {second}"
    return Row(f"crun, {way}: second container's filter", "from its cache", figure, found["hit"])


def at_once(bursts: list[dict[str, Any]], decided: dict[str, int]) -> Row:
    """Tell whether the agent helps, and answers all, when everything starts at once."""
    if "agent" not in bursts[0]:
        return Row("runc: 100 creates at once", "none slower than without", NOT_MEASURED, None)
    wall, slowest, slower = _compared(bursts)
    all_answered = set(decided) == {"agent"}
    figure = (
        f"wall {quotient(wall)}, slowest {quotient(slowest)} times without; "
        f"{slower:.0%} of the ranks slower; decided by {dict(decided)}"
    )
    met = wall.median <= 1 and slowest.median <= 1 and all_answered
    return Row("runc: 100 creates at once, agent", "none slower than without, all", figure, met)


def _compared(bursts: list[dict[str, Any]]) -> tuple[numbers.Summary, numbers.Summary, float]:
    """Return wall time and the slowest, agent / cold; and how many ranks are slower in median."""
    wall = [one["agent"]["wall"] / one["cold"]["wall"] for one in bursts]
    slowest = [one["agent"]["each"][-1] / one["cold"]["each"][-1] for one in bursts]
    ranks = range(len(bursts[0]["cold"]["each"]))
    by_rank = [
        numbers.summary([b["agent"]["each"][rank] / b["cold"]["each"][rank] for b in bursts])
        for rank in ranks
    ]
    slower = sum(one.median > 1 for one in by_rank) / len(by_rank)
    return numbers.summary(wall), numbers.summary(slowest), slower


def growth(way: str, sizes: dict[int, Rounds]) -> Row:
    """Tell what a larger config.json costs more than it costs the bare runtime."""
    name = f"runc: create, {way}: added for 3 KB, 300 KB, 3 MB"
    if any(way not in rounds[0] for rounds in sizes.values()):
        return Row(name, "stated, linear", NOT_MEASURED, None)
    added = {
        size: numbers.summary(numbers.differences(rounds, way, "bare")).median * 1e3
        for size, rounds in sizes.items()
    }
    points = [(size / 2**20, one) for size, one in added.items()]
    r = numbers.correlation(points)
    each = ", ".join(f"{one:+.2f}" for one in added.values())
    figure = f"{each} ms; {numbers.slope(points):.1f} ms per MB, r = {r:.4f}"
    return Row(name, "stated, linear", figure, r > LINEAR)


def at_rest(found: AtRest | None) -> Row:
    """Tell what the agent takes when nothing is asked of it."""
    must = f"under {RESIDENT:.0f} MB, no CPU"
    if found is None:
        return Row("agent at rest", must, NOT_MEASURED, None)
    figure = (
        f"{found.resident:.1f} MB in {found.processes} processes (VmRSS summed: "
        f"{found.summed:.1f}); {found.cpu:.2f} s of CPU in {found.seconds:.0f} s"
    )
    return Row("agent at rest", must, figure, found.resident < RESIDENT and found.cpu == 0)

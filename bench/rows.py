"""The figures that were promised (issue 4), each with what was measured.

The verdict is on the median, by its 95 % confidence interval: if the interval contains the bound,
the row is undecided.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness.measure import numbers

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bench.evidence import Found
    from bench.fleet import Merged
    from harness.measure.agents import AtRest
    from harness.measure.numbers import Rounds

ADDED = 0.6  # ms
PASSED_ON, ALONE = 0.25, {"agent": 0.7, "cold": 9.0}  # ms, before a runtime that does nothing
CREATE_ADDED = 1.5  # ms
COLD_RATIO = 1.3
RESIDENT = 30.0  # MB
ARCHIVE = 15.0  # MB, packed
FLEET_RESIDENT = 1000.0  # MB
# Two copies of one release differ by up to 2 % where nothing else does: by where the kernel has put
# the pages of their files.
COPIES = 1.02
# How much two slopes may differ, of 1.5 to 3 MB and of 300 KB to 1.5 MB: 1.1 times for n log n, 2.5
# for n squared. What 3 KB to 300 KB add is too little to have a slope above a create's own noise.
STEEPER = 1.8
UNTOUCHED = ("state", "exec")
MET, NOT_MET, UNDECIDED, UNMEASURED = "met", "NOT met", "undecided", "not measured"
STATED = "stated"
FAILED = (NOT_MET, UNMEASURED)
NOT_MEASURED = "this release has no agent"


@dataclass(frozen=True)
class Row:
    """One line of the table, its verdict one of the words above."""

    measure: str
    must: str
    figure: str
    verdict: str


def below(found: numbers.Summary, bound: float) -> str:
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


@dataclass(frozen=True)
class Measured:
    """All results of a run of the bench, as bench.measures returns them."""

    commands: dict[str, dict[str, Rounds]]
    alone: Rounds
    passed_on: Rounds
    archived: Rounds
    archive_size: int  # bytes
    back_to_back: Rounds
    one_abi: Rounds | None
    sizes: dict[int, Rounds]
    bursts: list[dict[str, Any]]
    decided: dict[str, int]
    cache: dict[str, dict[str, Any]]
    rest: AtRest | None
    news: dict[str, float] | None
    evidence: Found | None
    fleet: dict[str, Merged]


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
        *alone(measured.alone),
        passed_on(measured.passed_on),
        archived(measured.archived),
        archive_size(measured.archive_size),
        *stated("crun: create", measured.commands["crun"]["create"]),
        *stated("runc: create, back to back", measured.back_to_back),
        one_abi(measured.one_abi),
        *(cached(way, found) for way, found in measured.cache.items()),
        at_once(measured.bursts, measured.decided),
        *(growth(way, measured.sizes) for way in ("cold", "agent")),
        at_rest(measured.rest),
        *fleet(measured.fleet),
        news(measured.news),
        *evidence(measured.evidence),
    ]


def milliseconds(found: numbers.Summary) -> str:
    """Return the median of a sample of seconds, and its interval."""
    return f"{found.median * 1e3:+.2f} ms [{found.low * 1e3:+.2f} {found.high * 1e3:+.2f}]"


def quotient(found: numbers.Summary) -> str:
    """Return the median of a sample of ratios, and its interval."""
    return f"{found.median:.3f} [{found.low:.3f} {found.high:.3f}]"


def untouched(runtime: str, way: str, commands: dict[str, Rounds]) -> Row:
    """Return the row for a command that is none of create, run, restore."""
    found = {
        command: numbers.sure(numbers.differences(commands[command], way, "bare"))
        for command in UNTOUCHED
    }
    figure = "; ".join(f"{command} {milliseconds(one)}" for command, one in found.items())
    verdict = all_of(below(one, ADDED / 1e3) for one in found.values())
    return Row(f"{runtime}: state, exec: added", f"under {ADDED} ms", figure, verdict)


def create_added(create: Rounds) -> Row:
    """Return the row for what the wrapper adds to a create if its agent runs."""
    name = "runc: create, agent running: added"
    must = f"under {CREATE_ADDED} ms"
    if "agent" not in create[0]:
        return Row(name, must, NOT_MEASURED, UNMEASURED)
    found = numbers.sure(numbers.differences(create, "agent", "bare"))
    return Row(name, must, milliseconds(found), below(found, CREATE_ADDED / 1e3))


def create_cold(create: Rounds) -> Row:
    """Return the row for how much longer a create takes if no agent runs."""
    found = numbers.sure(numbers.ratios(create, "cold", "bare"))
    must = f"under {COLD_RATIO} times bare"
    return Row("runc: create, no agent", must, quotient(found), below(found, COLD_RATIO))


def alone(rounds: Rounds) -> list[Row]:
    """Return the rows for a runtime that does nothing: another answer to `create_added`."""
    found = {
        way: numbers.sure(numbers.differences(rounds, way, "bare"))
        for way in ALONE
        if way in rounds[0]
    }
    return [
        Row(
            f"create, {way}, before a runtime that does nothing: added",
            f"under {ALONE[way]:g} ms",
            milliseconds(one),
            below(one, ALONE[way] / 1e3),
        )
        for way, one in found.items()
    ]


def passed_on(rounds: Rounds) -> Row:
    """Return the row for the launcher's time for a command that is passed on."""
    found = numbers.sure(numbers.differences(rounds, "cold", "bare"))
    name = "state, passed on to a runtime that does nothing: added"
    return Row(name, f"under {PASSED_ON} ms", milliseconds(found), below(found, PASSED_ON / 1e3))


def archived(rounds: Rounds) -> Row:
    """Return the row for the archive's interpreter against the node's, at a cold create.

    The archive is there several times, installed one after another: all its creates count.
    """
    copies = [name for name in rounds[0] if name != "node"]
    found = numbers.sure([one for name in copies for one in numbers.ratios(rounds, name, "node")])
    again = numbers.sure(numbers.ratios(rounds, copies[0], copies[1]))
    figure = f"{quotient(found)} times as long; one copy of it against another {quotient(again)}"
    name = "create, cold, the archive's interpreter against Debian's"
    return Row(name, f"no slower (copies differ: {COPIES})", figure, below(found, COPIES))


def archive_size(size: int) -> Row:
    """Return the row for the packed archive of this kind of machine."""
    met = exactly(size < ARCHIVE * 1e6)
    return Row("the release archive, packed", f"under {ARCHIVE:g} MB", f"{size / 1e6:.1f} MB", met)


def stated(measure: str, rounds: Rounds) -> list[Row]:
    """Return the rows without a bound: they are printed without a verdict."""
    found = []
    for way in (way for way in ("cold", "agent") if way in rounds[0]):
        added = numbers.sure(numbers.differences(rounds, way, "bare"))
        ratio = numbers.sure(numbers.ratios(rounds, way, "bare"))
        figure = f"{milliseconds(added)}; {quotient(ratio)} times bare"
        found.append(Row(f"{measure}, {way}: added", "stated", figure, STATED))
    return found


def one_abi(rounds: Rounds | None) -> Row:
    """Return the row for whether omitting ABIs that the kernel lacks makes up for the wrapper."""
    name = 'runc: create with abis = "kernel", agent running'
    must = "faster than bare with the engine's profile"
    if rounds is None:
        return Row(name, must, NOT_MEASURED, UNMEASURED)
    found = numbers.sure(numbers.ratios(rounds, "kernel", "bare"))
    return Row(name, must, f"{quotient(found)} times bare", below(found, 1))


def cached(way: str, found: dict[str, Any]) -> Row:
    """Return the row for whether crun compiles the same profile once."""
    first, second = found["inodes"]
    figure = f"filter files' inodes {first} and {second}"
    return Row(
        f"crun, {way}: second container's filter", "from its cache", figure, exactly(found["hit"])
    )


def at_once(bursts: list[dict[str, Any]], decided: dict[str, int]) -> Row:
    """Return the row for whether the agent helps, and answers all, if everything starts at once."""
    if "agent" not in bursts[0]:
        return Row(
            "runc: 100 creates at once", "none slower than without", NOT_MEASURED, UNMEASURED
        )
    wall, slowest, ranks = _compared(bursts)
    slower = sum(one.median > 1 for one in ranks) / len(ranks)
    all_answered = set(decided) == {"agent"}
    figure = (
        f"wall {quotient(wall)}, slowest {quotient(slowest)} times without; "
        f"{slower:.0%} of the ranks slower; decided by {dict(decided)}"
    )
    none_slower = exactly(all_answered and not slower)
    verdict = all_of([below(wall, 1), below(slowest, 1), none_slower])
    return Row("runc: 100 creates at once, agent", "none slower than without, all", figure, verdict)


def _compared(
    bursts: list[dict[str, Any]],
) -> tuple[numbers.Summary, numbers.Summary, list[numbers.Summary]]:
    """Return the wall time, the slowest, and the n-th to be done for each n: agent / cold."""
    wall = [one["agent"]["wall"] / one["cold"]["wall"] for one in bursts]
    slowest = [one["agent"]["each"][-1] / one["cold"]["each"][-1] for one in bursts]
    ranks = range(len(bursts[0]["cold"]["each"]))
    by_rank = [
        numbers.sure([b["agent"]["each"][rank] / b["cold"]["each"][rank] for b in bursts])
        for rank in ranks
    ]
    return numbers.sure(wall), numbers.sure(slowest), by_rank


def growth(way: str, sizes: dict[int, Rounds]) -> Row:
    """Return the row for what a larger config.json costs beyond its cost for the bare runtime.

    It compares slopes, because n squared also has a correlation of 0.99.
    """
    name = f"runc: create, {way}: added for 3 KB, 300 KB, 1.5 MB, 3 MB"
    name += " (over 1 MB the agent leaves it to the cold path)" if way == "agent" else ""
    if any(way not in rounds[0] for rounds in sizes.values()):
        return Row(name, "stated, linear", NOT_MEASURED, UNMEASURED)
    samples = {
        size: numbers.sure([one * 1e3 for one in numbers.differences(rounds, way, "bare")])
        for size, rounds in sizes.items()
    }
    points = [(size / 2**20, one.median) for size, one in samples.items()]
    steeper = numbers.steepening(points)[-1]
    each = ", ".join(f"{one:+.2f}" for _, one in points)
    figure = (
        f"{each} ms; {numbers.slope(points):.1f} ms per MB, from 1.5 MB on {steeper:.2f} times as "
        "steep as before"
    )
    if way == "agent":  # two ways in one line: a bend between them has no meaning
        return Row(name, "stated", figure, STATED)
    return Row(name, "stated, linear", figure, _linear(samples))


def _linear(samples: dict[int, numbers.Summary]) -> str:
    """Return the verdict on the growth: the least and most steepening within the intervals."""
    first, middle, last = [*samples][-3:]
    found = []
    for low, high in (("low", "high"), ("high", "low")):  # of the middle; the others the other way
        ends = {first: high, middle: low, last: high}
        points = [(size, getattr(samples[size], end)) for size, end in ends.items()]
        found += numbers.steepening(points)
    least, most = sorted(found)
    if least > 1 / STEEPER and most < STEEPER:
        return MET
    return NOT_MET if least >= STEEPER or most <= 1 / STEEPER else UNDECIDED


def at_rest(found: AtRest | None) -> Row:
    """Return the row for what the idle agent takes."""
    must = f"under {RESIDENT:.0f} MB, no CPU"
    if found is None:
        return Row("agent at rest", must, NOT_MEASURED, UNMEASURED)
    figure = (
        f"{found.resident:.1f} MB in {found.processes} processes (VmRSS summed: "
        f"{found.summed:.1f}), {found.worked:.1f} MB after {found.creates} creates more; "
        f"{found.cpu:.2f} s of CPU in {found.seconds:.0f} s"
    )
    return Row(
        "agent at rest",
        must,
        figure,
        exactly(max(found.resident, found.worked) < RESIDENT and found.cpu == 0),
    )


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


def evidence(found: Found | None) -> list[Row]:
    """Return the rows for what collecting adds to others, and for a denied call in each mode."""
    if found is None:
        return [Row("evidence", STATED, NOT_MEASURED, UNMEASURED)]
    collected = [
        Row(f"evidence: added to {name}: {state}", STATED, _microseconds(rounds, state), STATED)
        for name, rounds in (("a program's start", found.starts), ("a create", found.creates))
        for state in sorted(rounds[0])
        if state != "nothing"
    ]
    calls = [
        Row(f"a denied call: {asked}", STATED, _both(found, asked), STATED)
        for asked in sorted(found.loop[0])
    ]
    return [*collected, *calls]


def _microseconds(rounds: Rounds, state: str) -> str:
    one = numbers.sure(numbers.differences(rounds, state, "nothing"))
    return f"{one.median * 1e6:+.0f} µs [{one.low * 1e6:+.0f} {one.high * 1e6:+.0f}]"


def _both(found: Found, asked: str) -> str:
    loop, paused = (_plain(numbers.column(rounds, asked)) for rounds in (found.loop, found.paused))
    return f"in a loop {loop}, now and then {paused}"


def _plain(seconds: list[float]) -> str:
    one = numbers.sure(seconds)
    return f"{one.median * 1e6:.2f} µs [{one.low * 1e6:.2f} {one.high * 1e6:.2f}]"


def news(found: dict[str, float] | None) -> Row:
    """Return the row for what the agent takes for programs outside containers."""
    name = "agent: CPU for each program that starts on the node"
    if found is None:
        return Row(name, STATED, NOT_MEASURED, UNMEASURED)
    quiet, logged = (round(found[mode] * 1e6) for mode in ("enforce", "audit"))
    return Row(name, STATED, f"{quiet} µs; while a container is in audit {logged} µs", STATED)

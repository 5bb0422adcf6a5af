"""Many workloads at once, short-lived processes, and floods of records."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from harness.kernel import kernel_log
from harness.node.requirements import program
from runc_wrap.evidence.store import evidence_reader
from runc_wrap.profiles import syscall_names
from tests.corpus.conftest import LONG
from tests.corpus.nodes import AUDIT, OBSERVE, Node, Program, named, native, reported

pytestmark = LONG  # a hundred thousand forks take their time
CHILDREN = 10
# Each pair of neighbours shares one call, so that a wrongly attributed record is noticed.
CALLS = """
unshare mount keyctl add_key request_key bpf perf_event_open userfaultfd setns syslog umount2
swapon swapoff kcmp fanotify_init pidfd_getfd personality get_mempolicy mbind move_pages
""".split()
FLOOD = 100_000


def _script(*names: str, times: int) -> list[str]:
    """Return the words that make each call in separate children of less than a millisecond."""
    numbers = syscall_names.numbers(syscall_names.native())
    each = [f"/work/short {times} {numbers[name]} 99999999" for name in names]
    return ["sh", "-c", "; ".join(each)]


def _crowd(short: Path) -> dict[str, tuple[Program, set[tuple[str, str]]]]:
    files = {"short": short.read_bytes()}
    pairs = zip(CALLS, [*CALLS[1:], CALLS[0]], strict=True)
    return {
        f"crowd-{one}": (
            Program(f"crowd-{one}", _script(one, other, times=CHILDREN), files),
            native(f"{one} {other}"),
        )
        for one, other in pairs
    }


@pytest.mark.parametrize("kind", ["crun", "runc"])
def test_twenty_simultaneous_workloads_are_distinguished_to_the_last_short_lived_child(
    kind: str, request: pytest.FixtureRequest, built: Callable[[str], Path]
) -> None:
    node: Node = request.getfixturevalue(kind)
    crowd = _crowd(built("short"))
    assert len(crowd) == 20
    bundles = {
        (mode, name): node.bundle(mode, one)
        for mode in (AUDIT, OBSERVE)
        for name, (one, _) in crowd.items()
    }
    with kernel_log.told() as told, ThreadPoolExecutor(20) as pool:
        done = list(pool.map(lambda one: one.call(node.installed.wrapper, "run"), bundles.values()))
    assert [one.returncode for one in done] == [0] * 40, [one.stdout for one in done]
    report = node.report()
    for (mode, name), bundle in bundles.items():
        expected = crowd[name][1]
        if mode == AUDIT:
            assert named(told.calls(bundle.auid, kernel_log.LOGGED)) == expected
            assert len(told.of(bundle.auid, kernel_log.LOGGED)) == 2 * CHILDREN
        assert reported(report[mode, name]) == expected, (mode, name)
        counts = {call["count"] for call in report[mode, name]["calls"]}
        assert counts == {CHILDREN}, (mode, name)


def test_none_of_a_hundred_thousand_records_is_lost_unreported(
    crun: Node, built: Callable[[str], Path]
) -> None:
    one = Program("flood", _script("keyctl", times=FLOOD), {"short": built("short").read_bytes()})
    bundle = crun.bundle(AUDIT, one)
    with kernel_log.told() as told:
        try:
            done = bundle.call(crun.installed.wrapper, "run", seconds=300)
        finally:
            bundle.delete(program(crun.kind))
    assert done.returncode == 0, done.stdout
    assert len(told.of(bundle.auid, kernel_log.LOGGED)) == FLOOD or told.overruns
    found = crun.report()[AUDIT, "flood"]
    counted = sum(call["count"] for call in found["calls"])
    assert reported(found) == native("keyctl")
    assert counted <= FLOOD
    told_of = counted + _strays(crun) + found["lost"]
    assert told_of >= FLOOD or found["lost_at_least"], (counted, found["lost"])


def _strays(node: Node) -> int:
    """Return how many of these calls the store has as unattributed, which are shown too."""
    number = syscall_names.numbers(syscall_names.native())["keyctl"]
    calls = evidence_reader.load(node.installed.prefix / "var/evidence").unattributed.calls
    return sum(tally.count for call, tally in calls.items() if call.number == number)

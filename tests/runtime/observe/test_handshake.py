"""The service takes a container's listener even if it dies at any step."""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING

from harness.containers import logged_calls
from harness.host.processes import traced, wait_until
from harness.node import agent as agents
from harness.node import install
from harness.node.requirements import requires
from runc_wrap.evidence.store import evidence_memory
from tests.runtime.conftest import BOTH

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from harness.node.agent import Agent
    from runc_wrap.evidence.store.call_counts import Tallies
    from tests.runtime.conftest import Lab

KEYCTL, AS_USUAL = "x86_64:250:99", "errno 95"
NOTIFY = 0x7FC00000
TAKING = "recvmsg getsockopt sendmsg socket connect close openat write rename fcntl ioctl epoll_ctl"
WRITTEN = 12  # each so many steps, what was taken is waited for on disk


def recorded(node: install.Installed) -> tuple[Counter[str], int, int]:
    """Return the calls of each container by its id, those of nobody, and those said to be lost."""
    found = node.evidence
    number = logged_calls.number(KEYCTL)[1]

    def count(tallies: Tallies) -> int:
        wanted = (number, NOTIFY)
        calls = tallies.calls.items()
        return sum(one.count for call, one in calls if (call.number, call.code) == wanted)

    whose = Counter({key[1]: count(tallies) for key, tallies in found.containers.items()})
    lost = [
        evidence_memory.lost_records(told)
        for (source, _), told in found.lost.items()
        if source == "observe"
    ]
    return +whose, count(found.unattributed), sum(lost)


def _steps(agent: Agent, log: Path, run: Callable[[], object]) -> list[str]:
    """Return which of the service's system calls take a listener, as strace selects them.

    Without the one that gives a connection to systemd: nothing comes between it and accept4, and a
    service killed at that instant loses the connection (docs/agent.md).
    """
    with traced(agent.observe, log, f"-etrace=accept4,{','.join(TAKING.split())}"):
        run()
        time.sleep(0.3)
    lines = [line for line in log.read_text().splitlines() if "EAGAIN" not in line]
    names = [line.partition("(")[0] for line in lines]
    stores = [at for at, line in enumerate(lines) if "FDSTORE=1" in line and "arriving" in line]
    assert stores
    assert {names[at - 1] for at in stores} == {"accept4"}
    return [
        f"{name}:when={Counter(names[: at + 1])[name]}"
        for at, name in enumerate(names)
        if name in TAKING.split() and at not in stores
    ]


def _at_once(unit: str) -> str:
    """Start it again at once, as often as it is killed; without the watchdog's messages."""
    for before, after in (("=100ms", "=0"), ("Burst=60", "Burst=9999"), ("WatchdogSec=15", "")):
        unit = unit.replace(before, after)
    return unit


@BOTH
def test_a_service_killed_while_it_takes_a_listener_loses_none_but_between_accept4_and_the_store(
    lab: Lab, tmp_path: Path
) -> None:
    requires("strace", root=True)
    made: list[str] = []

    def run() -> str:
        bundle = lab.bundle()
        made.append(bundle.name)
        return lab.calls(KEYCTL, bundle=bundle)[KEYCTL]

    with agents.supervised(lab.node, _at_once) as agent:
        steps = _steps(agent, tmp_path / "log", run)
        assert len(steps) > 30
        steps = steps[lab.kind == "runc" :: 4]  # the runtimes do the same: each has its own steps
        killed = 0
        for at, step in enumerate(steps):
            name, _, when = step.partition(":")
            wait_until(lambda: agent.observe != 0, "the service")
            before = agent.observe
            kill = f"--inject={name}:signal=KILL:{when}"
            with traced(before, tmp_path / "log", kill):
                assert run() == AS_USUAL, step
            killed += "killed by SIGKILL" in (tmp_path / "log").read_text()
            if at % WRITTEN == 0:
                wait_until(lambda: _all_told(lab.node, made), f"{step}: all calls on disk", 150)
        agent.wait_both()
        for _ in range(3):
            assert run() == AS_USUAL
        wait_until(lambda: _all_told(lab.node, made), "all calls on disk", 150)
    assert killed > len(steps) / 4, "a busy machine's service may take another way past a step"
    whose, nobodys, _ = recorded(lab.node)
    assert nobodys == 0
    assert set(whose) <= set(made)
    assert set(whose.values()) == {1}
    assert set(made[-3:]) <= set(whose), "nobody killed who counted these"
    assert [line["mode"] for line in lab.node.ledger()] == ["observe"] * len(made)


def _all_told(node: install.Installed, made: list[str]) -> bool:
    whose, nobodys, lost = recorded(node)
    return whose.total() + nobodys + lost >= len(made)

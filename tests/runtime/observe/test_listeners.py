"""The service takes a container's listener even if it dies at any step; lost ones are reported."""

import contextlib
import json
import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from harness.containers import logged_calls
from harness.containers.bundles import Bundle
from harness.host.processes import traced, wait_until
from harness.node import agent as agents
from harness.node.agent import Agent
from harness.node.install import Installed, totals
from harness.node.requirements import requires
from runc_wrap.evidence.store.call_counts import Tallies
from runc_wrap.node.container_state import lost_listeners
from tests.runtime.conftest import BOTH, Lab

KEYCTL, AS_USUAL = "x86_64:250:99", "errno 95"
NOTIFY = 0x7FC00000
TAKING = "recvmsg getsockopt sendmsg socket connect close openat write rename fcntl ioctl epoll_ctl"
WRITTEN = 12  # each so many steps, what was taken is waited for on disk


def recorded(node: Installed) -> tuple[Counter[str], int, int]:
    """Return the calls of each container by its id, those of nobody, and those said to be lost."""
    found = node.evidence
    number = logged_calls.number(KEYCTL)[1]

    def count(tallies: Tallies) -> int:
        return totals(tallies.calls, lambda call: (call.number, call.code))[number, NOTIFY]

    whose = Counter({key[1]: count(tallies) for key, tallies in found.containers.items()})
    return +whose, count(found.unattributed), node.lost_by_observe()


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


def _all_told(node: Installed, made: list[str]) -> bool:
    whose, nobodys, lost = recorded(node)
    return whose.total() + nobodys + lost >= len(made)


def lose(node: Installed) -> None:
    """Kill the service, which nobody starts again, like the end of its pod."""
    agents.end_all(node.prefix)
    wait_until(lambda: not any(agents.processes(node.prefix, role) for role in agents.ROLES), "it")


def found(node: Installed) -> dict[str, list[Any]]:
    """Return the containers whose listener verify and status report lost."""
    told = node.control("verify", "--json", ok=False)
    lost = [one for one in json.loads(told.stdout)["disagreeing"] if "listener" in one["found"]]
    assert told.returncode == bool(lost)
    rows = json.loads(node.control("status", "--json").stdout)
    return {
        "verify": [(one["id"], one["pid"]) for one in lost],
        "status": [(row["id"], one["pid"]) for row in rows for one in row["unheard"]],
    }


def doctors(node: Installed) -> list[str]:
    """Return what doctor says of lost listeners, which takes it longer."""
    findings = json.loads(node.control("doctor", "--json", ok=False).stdout)["findings"]
    return [one["sentence"] for one in findings if one["check"] == "listeners"]


NOTHING: dict[str, list[Any]] = {"verify": [], "status": []}


def brought(node: Installed, bundle: Bundle) -> int:
    """Start another process in the container, as `kubectl exec` does; return its pid."""
    before = {*sleeping(bundle)}
    done = bundle.call(node.wrapper, "exec", "--detach", after=("/bin/sleep", "999"))
    assert done.returncode == 0, done.stdout
    wait_until(lambda: {*sleeping(bundle)} != before, "its command line, which comes late")
    (pid,) = {*sleeping(bundle)} - before
    return pid


def sleeping(bundle: Bundle) -> Iterator[int]:
    """Yield the processes that were brought in."""
    for pid in filter(str.isdecimal, os.listdir("/proc")):  # noqa: PTH208 - names
        if words(pid) == b"/bin/sleep\x00999\x00" and is_in(pid, bundle):
            yield int(pid)


def words(pid: str) -> bytes:
    with contextlib.suppress(OSError), open(f"/proc/{pid}/cmdline", "rb") as file:  # noqa: PTH123
        return file.read()
    return b""


def is_in(pid: str, bundle: Bundle) -> bool:
    with contextlib.suppress(OSError), open(f"/proc/{pid}/cgroup") as file:  # noqa: PTH123
        return bundle.name in file.read()
    return False


def test_only_lost_listeners_are_found(lab: Lab) -> None:
    lost, audited = (lab.bundle() for _ in range(2))
    with agents.running(lab.node):
        first = lost.create(lab.wrapper)
        assert (found(lab.node), doctors(lab.node)) == (NOTHING, [])
        second = brought(lab.node, lost)
        assert found(lab.node) == NOTHING
        lose(lab.node)
        audited.create(lab.wrapper)  # without an agent its mode is audit
        told = found(lab.node)
        assert sorted(told["verify"]) == sorted([(lost.name, first), (lost.name, second)])
        assert sorted(told["status"]) == sorted(told["verify"])
        assert [lost.name in sentence for sentence in doctors(lab.node)] == [True]
        said = lab.node.control("verify", ok=False).stdout
        assert "fails with ENOSYS; restart the container" in said
        assert "fails with ENOSYS; restart the container" in lab.node.control("status").stdout


def test_another_agent_does_not_have_them(lab: Lab) -> None:
    lost = lab.bundle()
    with agents.running(lab.node) as agent:
        os.kill(agent.observe, signal.SIGSTOP)  # a busy one, which dies before it takes it in
        first = lost.create(lab.wrapper)
        lose(lab.node)
    good = lab.bundle()
    with agents.running(lab.node):
        good.create(lab.wrapper)
        brought(lab.node, lost)  # this one has its listener
        time.sleep(lost_listeners._ARRIVING)  # noqa: SLF001 - none is accused before
        assert [pid for _, pid in found(lab.node)["verify"]] == [first]
        judged = lab.workload(lost)
        assert judged["verdict"] is None
        assert "records may have been lost while its containers ran" in judged["reason"]


def test_no_listener_is_reported_lost_while_the_service_is_replaced(lab: Lab) -> None:
    bundle = lab.bundle()
    with agents.supervised(lab.node) as agent:
        bundle.create(lab.wrapper)
        brought(lab.node, bundle)
        os.kill(agent.observe, signal.SIGKILL)
        assert found(lab.node) == NOTHING
        agent.wait_both()
        agent.control("restart", "runc-wrap-observe")
        assert found(lab.node) == NOTHING

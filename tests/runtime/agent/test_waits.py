"""A create waits at most 100 ms in all for a hanging agent; then the cold path decides.

The launcher's own waits are read from its system calls, so that a loaded machine's other delays do
not count.
"""

import contextlib
import os
import re
import shutil
import signal
import socket
import threading
import time
from collections.abc import Callable
from math import inf
from pathlib import Path

import pytest

from harness.containers import bundles
from harness.containers.bundles import Bundle
from harness.host.processes import attempt, limited, run, stopped, traced, wait_until
from harness.node import agent as agents
from harness.node import install, launchers
from harness.node.agent import Agent
from harness.node.launchers import VERSION, message
from harness.node.requirements import program, requires
from runc_wrap.ledger import whole_ledger

BOUND = 0.1  # seconds, the issue's
_TIMED = re.compile(r"^(?:connect|sendto|recvfrom|poll|ppoll)\(.*<([0-9.]+)>$", re.MULTILINE)


@pytest.fixture
def idle(node: install.Installed) -> install.Installed:
    """An installation whose runtime is /bin/true: only the path to it matters."""
    requires("strace", root=True)
    install.use_runtime(node, "/bin/true")
    return node


def _waited(installed: install.Installed, bundle: Bundle) -> float:
    """Return for how many seconds the launcher waited in one create."""
    trace = bundle.path / "trace"
    run([program("strace"), "-T", "-o", trace, *bundle.argv(installed.wrapper, "create")])
    text = trace.read_text()
    before_python = text[: text.index("execve(", text.index("execve(") + 1)]
    return sum(map(float, _TIMED.findall(before_python)))


def _least(installed: install.Installed, place: Path) -> float:
    """Return the least wait of several creates, each of which must have been decided cold."""
    least = inf
    for number in range(5):
        bundle = bundles.make(place / f"b{time.monotonic_ns()}", "runc")
        least = min(least, _waited(installed, bundle))
        assert _confined(bundle)
        assert [line["via"] for line in installed.ledger(bundle.name)] == ["cold"], number
    return least


def _confined(bundle: Bundle) -> bool:
    text = bundle.config.read_text()
    block = bundle.read()["linux"]["seccomp"]
    return block["defaultAction"] == "SCMP_ACT_ERRNO" and text.count('"seccomp":') == 1


def _stopped(agent: Agent) -> contextlib.AbstractContextManager[None]:
    """Both services are stopped, and nobody replaces them."""
    return stopped(*agent.both)


def _without_memory(agent: Agent) -> contextlib.AbstractContextManager[None]:
    """The next page that it touches never arrives, as from a hanging swap device."""
    limits = {"memory.limit_in_bytes": "0", "memory.oom_control": "1"}
    return limited(agent.decide, "memory", limits)


@pytest.mark.parametrize("hung", [_stopped, _without_memory], ids=["stopped", "without memory"])
def test_a_hanging_agent_delays_a_create_by_at_most_a_tenth_of_a_second(
    idle: install.Installed,
    tmp_path: Path,
    hung: Callable[[Agent], contextlib.AbstractContextManager[None]],
) -> None:
    with agents.running(idle) as agent, hung(agent):
        assert 0.02 < _least(idle, tmp_path) <= BOUND


def test_an_agent_without_cpu_delays_a_create_by_at_most_a_tenth_of_a_second(
    idle: install.Installed, tmp_path: Path
) -> None:
    """Some creates are answered meanwhile: only the wait counts, and that all are confined once."""
    several = [bundles.make(tmp_path / f"b{number}", "runc") for number in range(12)]
    quota = {"cpu.cfs_period_us": "1000000", "cpu.cfs_quota_us": "1000"}  # less than its turns take
    with agents.running(idle) as agent, limited(agent.decide, "cpu", quota):
        waits = [_waited(idle, bundle) for bundle in several]
    assert all(_confined(bundle) for bundle in several)
    assert all(idle.ledger(bundle.name) for bundle in several)
    assert sorted(waits)[len(waits) // 2] <= BOUND
    assert max(waits) > 0.02, "it was not starved"


ANSWERS = [[], [message(VERSION, "rename", "/x")[:-1]], [b""]]  # none, half of one, an empty one


@pytest.mark.parametrize("answer", ANSWERS)
def test_a_stuck_agent_delays_a_create_by_at_most_a_tenth_of_a_second(
    idle: install.Installed, tmp_path: Path, answer: list[bytes]
) -> None:
    with launchers.agent(idle, lambda _: answer, hold=True):
        assert _least(idle, tmp_path) <= BOUND


@pytest.mark.parametrize("accepts_after", [None, 0.05])
def test_connection_and_answer_have_one_deadline(
    idle: install.Installed, tmp_path: Path, accepts_after: float | None
) -> None:
    """The queue is full; then there is room, but no answer."""
    waits = []
    for number in range(3):
        with (
            launchers.listening(idle, backlog=0) as listener,
            socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as first,
        ):
            first.connect(str(idle.prefix / "var" / "agent" / "decide.sock"))
            taken: list[socket.socket] = []
            later = threading.Timer(0.3 + (accepts_after or 0), _accept, (listener, taken))
            bundle = bundles.make(tmp_path / f"b{number}", "runc")
            if accepts_after is not None:
                later.start()
                time.sleep(0.3)
            waits.append(_waited(idle, bundle))
            later.cancel()
            if later.ident:
                later.join()
            for each in taken:
                each.close()
        assert _confined(bundle)
        shutil.rmtree(idle.prefix / "var" / "agent")
    assert 0.02 < min(waits) <= BOUND


def _accept(listener: socket.socket, taken: list[socket.socket]) -> None:
    taken.append(listener.accept()[0])


@pytest.mark.parametrize("name", ["openat", "write", "recvfrom"])
def test_a_late_answer_changes_nothing(idle: install.Installed, tmp_path: Path, name: str) -> None:
    """The service stops at each call in turn, the cold path decides, the service continues."""
    seen = set()
    with agents.running(idle) as agent:
        for when in range(1, 20):
            bundle = bundles.make(tmp_path / f"{name}{when}", "runc")
            stop = f"--inject={name}:signal=STOP:when={when}"
            with traced(agent.decide, tmp_path / "log", stop):
                done = attempt(bundle.argv(idle.wrapper, "create"))
                wait_until(lambda: _continues(agent), "an answer")
            assert done.returncode == 0, done.stderr
            assert _confined(bundle)
            wait_until(lambda bundle=bundle: not [*bundle.path.glob(".config*")], "what was left")  # type: ignore[misc]  # bound now
            ways = [line["via"] for line in idle.ledger(bundle.name)]
            seen.add(tuple(ways))
            assert _counting(idle, bundle) == ("cold" if "cold" in ways else "agent"), ways
            if ways == ["agent"]:  # it has no call more of this name
                break
    assert seen > {("agent",)}
    if name == "openat":  # the ledger is opened when it is known that the launcher still waits
        assert ("cold", "agent") in seen


def _continues(agent: Agent) -> bool:
    """Continue it; this request may itself make the call at which it is stopped."""
    os.kill(agent.decide, signal.SIGCONT)
    return bool(agents.ask(agent.prefix, "nonsense", "", seconds=1))


def _counting(installed: install.Installed, bundle: Bundle) -> str | None:
    """Return who decided, as a reader of the ledger sees it."""
    records = whole_ledger.read(installed.prefix / "var" / "ledger").records
    (via,) = [one.via for (_, name), one in records.items() if name == bundle.name]
    return via

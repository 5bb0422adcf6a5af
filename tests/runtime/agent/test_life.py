"""The life of the two services without a supervisor: sockets, cost at rest, ends."""

import os
import signal
import socket
import time
from pathlib import Path

import pytest

from harness.containers import bundles
from harness.host.processes import attempt, wait_until
from harness.measurement import resident, switches
from harness.node import agent as agents
from harness.node import install
from harness.node.agent import Agent

RESIDENT = 25.0  # MB
REST = 5.0  # seconds


def test_only_root_reaches_the_sockets(agent: Agent, node: install.Installed) -> None:
    directory = node.prefix / "var" / "agent"
    assert directory.stat().st_mode & 0o777 == 0o700
    assert agents.sockets(node.prefix) == agents.SOCKETS
    assert {path.stat().st_mode & 0o777 for path in directory.glob("*.sock")} == {0o600}
    assert agent.never_ended


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_a_service_in_order(node: install.Installed, number: int) -> None:
    with agents.running(node) as agent:
        for pid in agent.both:
            os.kill(pid, number)
        wait_until(lambda: not any(agent.both), "their end")
        assert agents.ask(node.prefix, "runc", "create") == []
        assert agent.said("Traceback") == 0
    with agents.running(node) as agent:  # the former's sockets are in the way of nobody
        assert agents.sockets(node.prefix) == agents.SOCKETS
        assert agent.never_ended


@pytest.mark.parametrize("role", agents.ROLES)
def test_a_second_service_is_refused_and_the_first_stays(
    agent: Agent, node: install.Installed, role: str
) -> None:
    second = attempt([node.ctl, "agent", role])
    assert second.returncode == 2
    assert f"runc-wrap {role}: another one runs here: " in second.stderr
    agent.wait_answering()
    assert agent.never_ended


def test_another_programs_socket_is_not_replaced(node: install.Installed) -> None:
    path = agents.socket_of(node.prefix)
    path.parent.mkdir()
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as other:
        other.bind(str(path))
        other.listen()
        refused = attempt([node.ctl, "agent", "decide"])
        assert (refused.returncode, "another program listens" in refused.stderr) == (2, True)
        assert path.exists()
    with agents.running(node) as agent:  # nobody listens there any more
        assert agent.decide


def _switches_at_rest(pid: int) -> int:
    """Return how often it has slept once it sleeps: the last answer's connection is closed late."""
    seen = [-1]

    def is_steady() -> bool:
        seen.append(switches(pid))
        time.sleep(0.5)
        return switches(pid) == seen[-1]

    wait_until(is_steady, "the service to rest", 30)
    return seen[-1]


def test_at_rest_they_take_little_memory_and_decide_no_cpu(agent: Agent, tmp_path: Path) -> None:
    """Observe gets an event for every program that starts on the machine."""
    agent.wait_answering()
    before = _switches_at_rest(agent.decide)
    time.sleep(REST)
    assert switches(agent.decide) == before
    agent.wait_answering()
    wait_until(lambda: switches(agent.decide) > before, "the control: it is counted", 10)
    assert resident(agent.both) < RESIDENT
    bundle = bundles.make(tmp_path / "bundle", "runc")
    for _ in range(1000):
        assert agents.ask(agent.prefix, "runc", *bundle.argv("", "create")[1:])[1] == b"rename"
    assert resident(agent.both) < RESIDENT


def test_under_systemd_decide_wakes_for_the_watchdog_only(node: install.Installed) -> None:
    with agents.supervised(node) as agent:
        time.sleep(0.5)
        before = switches(agent.decide)
        time.sleep(REST)  # half of WatchdogSec
        assert 0 < switches(agent.decide) - before <= 2

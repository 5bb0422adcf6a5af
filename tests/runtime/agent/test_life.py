"""The agent's life cycle: sockets, cost at rest, deaths."""

from __future__ import annotations

import functools
import os
import shutil
import signal
import socket
import time
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from harness.containers import bundles
from harness.host.processes import attempt, wait_until
from harness.measure.agents import resident
from harness.node import agent as agents
from harness.node import install
from runc_wrap.agent import stall_detection, systemd_protocol

if TYPE_CHECKING:
    from harness.node.agent import Agent

RESIDENT = 30.0  # MB


def test_only_root_reaches_the_sockets(agent: Agent, node: install.Installed) -> None:
    directory = node.prefix / "var" / "agent"
    assert directory.stat().st_mode & 0o777 == 0o700
    assert agents.sockets(node.prefix) == agents.SOCKETS
    assert {path.stat().st_mode & 0o777 for path in directory.glob("*.sock")} == {0o600}
    assert agent.keeper


def test_the_agent_ends_at_sigterm_and_removes_its_sockets(
    agent: Agent, node: install.Installed
) -> None:
    pids = agent.three
    os.kill(agent.keeper, signal.SIGTERM)
    assert agent.daemon.process.wait(10) == 0
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)
    assert agents.sockets(node.prefix) == []
    assert agents.ask(node.prefix, "runc", "create") == []


def test_a_second_agent_is_refused_and_the_first_stays(
    agent: Agent, node: install.Installed
) -> None:
    second = attempt([node.ctl, "agent"])
    assert second.returncode == 2
    assert "another agent runs here" in second.stderr
    agent.wait_answering()


def test_an_agent_whose_directory_was_replaced_keeps_its_successors_sockets(
    agent: Agent, node: install.Installed
) -> None:
    """Neither when it switches to another release nor when it ends."""
    keeper, _, evidence = agent.three
    directory = node.prefix / "var" / "agent"
    wait_until((directory / "listeners").exists, "the last of what it makes there")
    shutil.rmtree(directory)
    with agents.running(node) as second:

        def workers() -> list[int]:
            return agents.processes(node.prefix, "evidence")

        before = {path.name: path.stat().st_ino for path in directory.glob("*.sock")}
        os.kill(keeper, signal.SIGHUP)
        wait_until(lambda: evidence not in workers() and len(workers()) > 1, "its new worker")
        os.kill(keeper, signal.SIGTERM)
        assert agent.daemon.process.wait(10) == 0
        assert {path.name: path.stat().st_ino for path in directory.glob("*.sock")} == before
        second.wait_answering()
    assert agents.sockets(node.prefix) == []


def test_another_programs_socket_is_not_replaced(node: install.Installed) -> None:
    path = agents.socket_of(node.prefix)
    path.parent.mkdir()
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as other:
        other.bind(str(path))
        other.listen()
        refused = attempt([node.ctl, "agent"])
        assert (refused.returncode, "another program listens" in refused.stderr) == (2, True)
        assert path.exists()
    with agents.running(node) as agent:  # nobody listens there any more
        assert agent.decisions


def test_a_path_too_long_for_a_socket_is_reported(
    installed: install.Installed, tmp_path: Path
) -> None:
    node = install.copy_of(installed, tmp_path / ("x" * 80) / "p")
    refused = attempt([node.ctl, "agent"])
    assert refused.returncode == 2
    assert "107 bytes" in refused.stderr


def test_at_rest_the_agent_takes_little_memory_and_no_cpu(agent: Agent) -> None:
    """In five seconds the keeper checks the evidence worker once; the other worker does nothing.

    The evidence worker gets an event for every program that starts on the machine.
    """
    time.sleep(4)  # the keeper looks once more, two seconds after a connection

    def switches(pid: int) -> int:
        status = Path(f"/proc/{pid}/status").read_text()
        return int(status.partition("\nvoluntary_ctxt_switches:")[2].split()[0])

    keeper, decisions = switches(agent.keeper), switches(agent.decisions)
    time.sleep(stall_detection.TICK_AT_REST)
    assert switches(agent.decisions) == decisions
    assert switches(agent.keeper) <= keeper + 1
    agent.wait_answering()
    wait_until(lambda: switches(agent.decisions) > decisions, "the control: it is counted", 10)
    assert resident(agent.three) < RESIDENT


@pytest.mark.parametrize(("size", "answer"), [(15, b"cold"), (0.9, b"rename")])
def test_a_config_of_15_mb_is_left_to_the_cold_path_and_takes_no_memory(
    agent: Agent, tmp_path: Path, size: float, answer: bytes
) -> None:
    """The second is the control: it is read, and raises the worker's peak memory."""
    bundle = bundles.make(tmp_path / "bundle", "runc")
    entries = int(size * 2**20 / 16)
    padded = f'{{"padding":[{",".join(["[[],{}]"] * (2 * entries))}],'
    bundle.config.write_text(bundle.config.read_text().replace("{", padded, 1))
    before = _peak(agent.decisions)
    assert agents.ask(agent.prefix, "runc", *bundle.argv("", "create")[1:])[1] == answer
    grown = _peak(agent.decisions) - before
    assert grown < 1 if answer == b"cold" else grown > 5


def _peak(pid: int) -> float:
    """Return a process' peak memory, in MB."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


@pytest.mark.parametrize("role", ["decisions", "evidence", "keeper"])
def test_after_any_process_is_killed_there_are_three_again(
    agent: Agent, node: install.Installed, role: str
) -> None:
    for _ in range(2):  # also the one that came in its place
        before = agent.three
        victim = getattr(agent, role)
        assert victim
        os.kill(victim, signal.SIGKILL)
        agent.wait_three([victim])
        if role == "keeper":
            assert agent.keeper == before[2]  # the evidence worker, in place
            agent.wait_three(before[:2])
    second = attempt([node.ctl, "agent"])
    assert second.returncode == 2
    assert agents.sockets(node.prefix) == agents.SOCKETS


def test_a_worker_that_keeps_dying_keeps_no_launcher_waiting(agent: Agent) -> None:
    """It restarts with growing delays; meanwhile the keeper closes connections at once."""
    for _ in range(3):
        wait_until(lambda: agent.decisions != 0, "the worker")
        started, victim = time.monotonic(), agent.decisions
        assert victim
        os.kill(victim, signal.SIGKILL)
        wait_until(functools.partial(_is_gone, agent, victim), "its end")
    asked = 0
    hung_up = []
    while agent.decisions == 0:
        before = time.monotonic()
        if agents.ask(agent.prefix, "nonsense", "", seconds=60) == []:
            hung_up.append(time.monotonic() - before)
        asked += 1
    assert asked >= 1
    assert all(seconds < 0.5 for seconds in hung_up)
    assert time.monotonic() - started > 0.1
    agent.wait_answering()


def _is_gone(agent: Agent, victim: int) -> bool:
    return agent.decisions != victim


def test_a_hanging_worker_keeps_launchers_waiting_for_seconds_only(agent: Agent) -> None:
    """Like a worker whose file system hangs: it is replaced, and creates are fast again."""
    before = agent.decisions
    time.sleep(2.5)  # the keeper has seen the first connection, and that it was accepted
    os.kill(before, signal.SIGSTOP)
    started = time.monotonic()
    while agents.ask(agent.prefix, "nonsense", "", seconds=1) == []:
        assert time.monotonic() - started < 60
    assert time.monotonic() - started > 0.9  # the control: it did hang
    assert agent.decisions != before
    assert not Path(f"/proc/{before}").exists()
    assert agent.daemon.log.read_text().count("accepts no connections") == 1


def test_a_busy_worker_is_not_replaced(agent: Agent) -> None:
    before = agent.decisions
    until = time.monotonic() + 5
    while time.monotonic() < until:
        os.kill(before, signal.SIGSTOP)
        time.sleep(0.4)
        os.kill(before, signal.SIGCONT)
        assert agents.ask(agent.prefix, "nonsense", "")
    assert agent.decisions == before


def _watched(seconds: float) -> float:
    """Return the seconds within which a hanging worker is replaced, even on a loaded machine."""
    return 2 * (stall_detection.LOOKS + 1) * (seconds + 0.5) + 10


def test_a_stopped_evidence_worker_is_replaced_even_if_no_call_waits(agent: Agent) -> None:
    """Otherwise audit records would be lost, and metrics unavailable."""
    wait_until(lambda: "ready: pid" in agent.daemon.log.read_text(), "all to be ready")
    before = agent.three
    os.kill(before[2], signal.SIGSTOP)
    wait_until(
        lambda: agent.evidence not in (0, before[2]),
        "another",
        _watched(stall_detection.TICK_AT_REST),
    )
    wait_until(lambda: not Path(f"/proc/{before[2]}").exists(), "the end of the first")
    assert agent.three[:2] == before[:2]
    assert agent.daemon.log.read_text().count("the evidence worker hangs") == 1


def test_systemd_is_notified_while_the_keeper_runs_and_not_when_it_hangs(
    node: install.Installed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taker = systemd_protocol.listen(str(tmp_path / "n"))
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "n"))
    monkeypatch.setenv("WATCHDOG_USEC", "1000000")

    def told(seconds: float) -> int:
        found, until = 0, time.monotonic() + seconds
        while time.monotonic() < until:
            while message := systemd_protocol.receive(taker):
                found += b"WATCHDOG=1" in message.lines
            time.sleep(0.05)
        return found

    with agents.running(node) as agent:
        assert told(3) >= 2
        os.kill(agent.keeper, signal.SIGSTOP)
        told(0.5)
        assert told(3) == 0
        os.kill(agent.keeper, signal.SIGCONT)
        assert told(3) >= 2
    taker.close()


def test_metrics_are_also_served_on_loopback_even_after_the_keeper_was_killed(
    node: install.Installed,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]

    def asked() -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
                return b"runc_wrap_policy_generation" in answer.read()
        except OSError:
            return False

    assert not asked(), "nobody must listen there yet"
    with agents.running(node, flags=["--metrics", f"127.0.0.1:{port}"]) as started:
        wait_until(asked, "an answer")
        before = started.three
        os.kill(before[0], signal.SIGKILL)
        started.wait_three(before[:2])
        wait_until(asked, "an answer of the next keeper's worker")
    done = attempt([node.ctl, "agent", "--metrics", "0.0.0.0:9555"])
    assert (done.returncode, "loopback" in done.stderr) == (2, True)

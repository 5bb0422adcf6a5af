"""The two services under a real systemd: deaths, hangs, sockets, stored descriptors."""

import fcntl
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.containers import bundles
from harness.host.processes import attempt, environment, run, wait_until
from harness.node import agent as agents
from harness.node import install
from harness.node.agent import Supervised
from harness.node.install import Installed

BOUND = 0.5  # seconds for a create that the service does not answer, on a busy machine


@pytest.fixture
def agent(node: Installed) -> Iterator[Supervised]:
    with agents.supervised(node) as started:
        yield started


@pytest.fixture
def impatient(node: Installed) -> Iterator[Supervised]:
    """Units whose watchdog waits for two seconds."""
    with agents.supervised(node, agents.impatient) as started:
        yield started


def _inodes(node: Installed) -> dict[str, int]:
    return {path.name: path.stat().st_ino for path in (node.prefix / "var/agent").glob("*.sock")}


@pytest.mark.parametrize("role", agents.ROLES)
def test_a_killed_service_is_started_again_and_its_sockets_stay(
    agent: Supervised, node: Installed, role: str
) -> None:
    sockets = _inodes(node)
    for _ in range(2):
        before = agent.both
        os.kill(getattr(agent, role), signal.SIGKILL)
        agent.wait_both([getattr(agent, role)] if getattr(agent, role) in before else [])
    assert len(sockets) == len(agents.SOCKETS)
    assert _inodes(node) == sockets


def test_decide_needs_no_more_than_its_unit_leaves_it(
    agent: Supervised, node: Installed, tmp_path: Path
) -> None:
    """A bundle that only its owner may read, and a runtime that keeps its state elsewhere."""
    node.configure('runtime = ["crun"]\n')
    install.use_runtime(node, "/bin/true", "crun")
    bundle = bundles.make(tmp_path / "b", "crun")
    bundle.config.chmod(0o600)
    for path in (bundle.path, bundle.config):
        os.chown(path, 1000, 1000)
    words = [str(node.wrapper), "create", "--bundle", str(bundle.path), bundle.name]
    run(words, env=environment(XDG_RUNTIME_DIR="/own"))
    (decided,) = node.ledger()
    assert (decided["via"], decided["root"]) == ("agent", "/own/crun")
    found = bundle.config.stat()
    assert (found.st_uid, found.st_gid, found.st_mode & 0o777) == (1000, 1000, 0o600)
    assert agent.never_ended


def test_observe_needs_no_more_than_its_unit_leaves_it(agent: Supervised) -> None:
    """The kernel's records and news of processes arrive."""
    state = agent.prefix / "var/evidence/state.json"
    wait_until(lambda: state.exists() and agent.said("audit records may not come") == 0, "it", 30)
    time.sleep(2)  # the first check of the sources takes half a second
    assert agent.said("receives none") + agent.said("receives no news") == 0, agent.log.read_text()
    assert agent.never_ended


def test_a_killed_decide_keeps_no_create_waiting(agent: Supervised, tmp_path: Path) -> None:
    """A create in its socket also makes systemd start it, without the pause."""
    install.use_runtime(Installed(agent.prefix), "/bin/true")
    took = []
    for number in range(6):
        bundle = bundles.make(tmp_path / f"b{number}", "runc")
        os.kill(agent.decide, signal.SIGKILL)
        begun = time.monotonic()
        done = attempt(bundle.argv(agent.prefix / "bin/runc-wrap", "create"))
        took.append(time.monotonic() - begun)
        assert done.returncode == 0, done.stderr
        assert "seccomp" in bundle.read()["linux"]
        wait_until(lambda: agent.decide != 0, "the next one")
    assert sorted(took)[len(took) // 2] < BOUND


def test_a_busy_decide_is_not_replaced(impatient: Supervised) -> None:
    before = impatient.decide
    until = time.monotonic() + 4
    while time.monotonic() < until:
        os.kill(before, signal.SIGSTOP)
        time.sleep(0.4)
        os.kill(before, signal.SIGCONT)
        assert agents.ask(impatient.prefix, "nonsense", "")
    assert impatient.decide == before


def test_what_counts_calls_is_stored_before_any_and_outlives_a_stop(
    agent: Supervised,
) -> None:
    unit = "runc-wrap-observe.service"

    def stored() -> str:
        return agent.systemd.property(unit, "NFileDescriptorStore")

    found = [stored()]
    agent.control("restart", unit)
    found.append(stored())
    agent.control("stop", unit)
    assert agent.observe == 0
    found.append(stored())
    agent.control("start", unit)
    found.append(stored())
    assert found == ["1"] * 4


def test_one_that_cannot_be_killed_does_not_keep_the_next_from_starting(node: Installed) -> None:
    """It would hold the lock. Without systemd, which sees to that, one more is refused."""
    with agents.supervised(node) as agent:
        with (node.prefix / "var/agent/observe.lock").open() as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            before = agent.observe
            os.kill(before, signal.SIGKILL)
            agent.wait_both([before])
        refused = attempt([node.ctl, "agent", "observe"])
        assert (refused.returncode, "another program listens" in refused.stderr) == (2, True)


def test_stopped_sockets_leave_nothing_behind(node: Installed) -> None:
    """So a create that finds none does not wait, and one in observe gets audit."""
    with agents.supervised(node) as agent:
        agent.control("stop", *(f"runc-wrap-{role}.socket" for role in agents.ROLES))
        wait_until(lambda: not any(agent.both), "the end of both")
        assert agents.sockets(node.prefix) == []

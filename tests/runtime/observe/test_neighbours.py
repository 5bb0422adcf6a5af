"""observe beside a container with unreadable memory, and with a disk that does not answer."""

import os
import re
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from harness.containers.bundles import Bundle
from harness.host.hung_files import deaf_file, frozen, own_disk
from harness.host.processes import wait_until
from harness.node import agent as agents
from harness.node import install
from harness.node.install import totals
from runc_wrap.agent.observe import container_limits
from runc_wrap.agent.record.recorder import WRITE_AFTER
from tests.runtime.conftest import Lab

KEYCTL, CLONE3 = 250, 435
SAID = "reading callers in "
JAMMING = 3  # calls of the container's own
# What it may take is containers.PATIENCE and the start of another reader; it was 11 to 13 s before.
BOUND = 1.0
RESTART = 1.5  # seconds more until the service is back, on a busy machine
assert BOUND > 10 * container_limits.PATIENCE


def _calls(node: install.Installed, bundle: Bundle) -> dict[tuple[int, bool], int]:
    """Return how many calls there are in the store, by number and whether arguments are known."""
    return totals(node.calls(bundle.key), lambda call: (call.number, call.args is not None))


def _slowest(bundle: Bundle) -> float:
    """Return the seconds of the slowest call that a container made."""
    found = re.search(r"\d+ calls, the slowest ([\d.]+) ms", (bundle.path / "output").read_text())
    assert found
    return float(found[1]) / 1e3


def test_a_call_with_unreadable_memory_delays_others_briefly_and_once(lab: Lab) -> None:
    """It is not read again, whichever process joins its container or is restarted."""
    victims = [lab.running("slowest", 4) for _ in "12"]
    with (
        agents.supervised(lab.node) as agent,
        deaf_file(lab.node.prefix.parent / "deaf") as deaf,
        ThreadPoolExecutor(1) as background,
    ):
        jamming = lab.running("jam", JAMMING, "/deaf", mounts=(deaf,))

        def join() -> None:
            words = ("/jam", str(JAMMING), "/deaf")
            joined = jamming.call(lab.wrapper, "exec", "--detach", after=words)
            assert joined.returncode == 0, joined.stdout

        def answered() -> bool:
            return _calls(lab.node, jamming) == {(CLONE3, False): made}

        agent.wait_both()
        first, made, listeners = agent.observe, JAMMING, lab.node.prefix / "var/agent/listeners"
        for victim in victims:
            running = background.submit(victim.call, lab.wrapper, "run")
            if victim is victims[0]:
                wait_until(lambda: len([*listeners.glob("*.json")]) == 1, "the victim")
                jamming.create(lab.wrapper)
            else:
                os.kill(first, signal.SIGKILL)  # its successor must know, too
                agent.wait_both([first])
            for _ in range(2):
                join()
                made += JAMMING
            assert running.result().returncode == 0
            assert _slowest(victim) < BOUND + (RESTART if victim is victims[1] else 0)
            wait_until(answered, "all calls in the store")
        assert agent.log.read_text().count(SAID) == 1
        assert set(_calls(lab.node, victims[1])) == {(KEYCTL, True)}
        jamming.delete(lab.bare)
    wait_until(lambda: not agents.processes(lab.node.prefix, "inspector"), "the end of all readers")


def test_callers_of_another_container_are_known_while_a_reader_hangs(lab: Lab) -> None:
    other = lab.running("short", 20, KEYCTL)
    with agents.running(lab.node), deaf_file(lab.node.prefix.parent / "deaf") as deaf:
        jamming = lab.running("jam", 1, "/deaf", mounts=(deaf,))
        jamming.create(lab.wrapper)
        assert other.call(lab.wrapper, "run").returncode == 0
        wait_until(lambda: _calls(lab.node, other) == {(KEYCTL, True): 20}, "all in the store")
        assert {call.exe for call in lab.node.evidence.containers[other.key].calls} == {"/short"}
        jamming.delete(lab.bare)


def test_a_container_created_while_the_service_is_stopped_does_not_hang(lab: Lab) -> None:
    """systemd's watchdog notices, although no listener is held yet."""
    bundle = lab.running("short", 20, KEYCTL)
    with agents.supervised(lab.node, agents.impatient) as agent:
        stopped = agent.observe
        os.kill(stopped, signal.SIGSTOP)
        assert bundle.call(lab.wrapper, "run", seconds=60).returncode == 0
        assert stopped not in agents.processes(lab.node.prefix, "observe")
        wait_until(lambda: _calls(lab.node, bundle) == {(KEYCTL, True): 20}, "all in the store")


def _writes(service: int) -> bool:
    """Tell whether there is a thread beside the one that answers."""
    return len([*Path(f"/proc/{service}/task").iterdir()]) > 1


def test_calls_are_answered_while_the_store_cannot_be_written(lab: Lab) -> None:
    """If the answering thread wrote it, the container would wait for another service."""
    evidence = lab.node.prefix / "var" / "evidence"
    with own_disk(evidence, lab.node.prefix.parent / "image"), lab.agent() as agent:
        service = agent.observe
        with frozen(evidence):
            first = lab.run("slowest", WRITE_AFTER + 2)
            wait_until(lambda: _writes(service), "the writing that does not end", 30)
            second = lab.run("slowest", 1)
            assert _writes(service)
            assert agent.observe == service
        both = {first.key, second.key}
        wait_until(lambda: both <= lab.node.evidence.containers.keys(), "both on disk", 30)

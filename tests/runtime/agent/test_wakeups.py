"""How often process events wake the agent: at each only while the kernel logs some container.

And that this is early enough for a process that joins a new container.
"""

import shutil
import subprocess
import time
from pathlib import Path

from harness.host.processes import wait_until
from harness.measurement import switches
from harness.node import agent as agents
from runc_wrap.agent.observe.container_limits import WAKE_EVERY
from runc_wrap.evidence.store import evidence_reader
from tests.runtime.conftest import Lab

PROCESSES, APART = 60, 0.03  # seconds
ROUNDS, UNSHARE = 8, 272


def _woken(pid: int) -> tuple[int, float]:
    """Return how often it woke while processes came and went, and the seconds that this took."""
    before, begun = switches(pid), time.monotonic()
    for _ in range(PROCESSES):
        subprocess.run(["/bin/true"], check=True)
        time.sleep(APART)
    return switches(pid) - before, time.monotonic() - begun


def _is_left_alone(pid: int) -> bool:
    times, seconds = _woken(pid)
    return times < seconds / WAKE_EVERY + PROCESSES / 4  # the machine's own processes


def test_processes_wake_the_agent_seldom_unless_a_container_is_logged(
    lab: Lab,
) -> None:
    lab.configure()
    quiet, logged = lab.bundle(), lab.bundle()
    with agents.running(lab.node) as agent:
        quiet.create(lab.wrapper)
        written = lab.node.prefix / "var" / "evidence" / "state.json"
        wait_until(written.exists, "it to write that it watches")
        wait_until(lambda: _is_left_alone(agent.observe), "it to be left alone", 60)
        lab.mode("audit")
        logged.create(lab.wrapper)
        wait_until(lambda: _woken(agent.observe)[0] >= PROCESSES, "it to wake for each", 60)
        logged.delete(lab.bare)
        wait_until(lambda: _is_left_alone(agent.observe), "it to be left alone again", 60)


def test_a_short_lived_exec_is_attributed_although_the_agent_slept_at_the_create(lab: Lab) -> None:
    """At each create no container is logged, so process events wait."""

    def joined(runtime: Path | str) -> str:
        bundle = lab.bundle()
        shutil.copy(lab.built("short"), bundle.path / "rootfs" / "short")
        bundle.create(runtime)
        assert bundle.call(runtime, "exec", after=("/short", "1", str(UNSHARE))).returncode == 0
        bundle.delete(lab.bare)
        time.sleep(1.5 * WAKE_EVERY)
        return bundle.name

    def calls() -> dict[str, int]:
        found = evidence_reader.load(lab.node.prefix / "var" / "evidence").containers
        return {
            key[1]: sum(tally.count for tally in seen.calls.values()) for key, seen in found.items()
        }

    lab.mode("audit")
    with agents.running(lab.node):
        bare = joined(lab.bare)
        names = [joined(lab.wrapper) for _ in range(ROUNDS)]
        wait_until(lambda: len(calls().keys() & names) >= ROUNDS - 1, "them in the store", 60)
        found = calls()
    assert bare not in found
    counts = sorted(found.get(name, 0) for name in names)
    assert counts[1:] == [1] * (ROUNDS - 1)
    assert counts[0] in (0, 1)  # one may be nobody's by chance; without any care 30 to 50 % are

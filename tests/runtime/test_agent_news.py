"""How often news of processes wake the agent: at each only while the kernel logs some container."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

from runc_wrap.agent import resting
from tests.support import agent as agents
from tests.support.processes import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.runtime.conftest import Pair
    from tests.support.bundles import Bundle
    from tests.support.install import Installed

PROCESSES, APART = 60, 0.03  # seconds


def _waits(pid: int) -> int:
    """Return how often a process has waited for something and was woken."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("\nvoluntary_ctxt_switches:")[2].split()[0])


def _woken(pid: int) -> tuple[int, float]:
    """Return how often it woke while processes came and went, and the seconds that this took."""
    before, begun = _waits(pid), time.monotonic()
    for _ in range(PROCESSES):
        subprocess.run(["/bin/true"], check=True)
        time.sleep(APART)
    return _waits(pid) - before, time.monotonic() - begun


def test_processes_wake_the_agent_a_few_times_a_second_unless_a_container_is_logged(
    pair: Pair, node: Installed, make_bundle: Callable[..., Bundle]
) -> None:
    node.configure(f'runtime = ["{pair.kind}"]\n')
    quiet, logged = make_bundle(pair.kind), make_bundle(pair.kind)
    with agents.running(node) as agent:
        quiet.create(node.wrapper)
        written = node.prefix / "var" / "evidence" / "state.json"
        wait_until(written.exists, "it to write that it watches")
        times, seconds = _woken(agent.evidence)
        assert times < seconds / resting.SECONDS + 5
        node.configure(f'runtime = ["{pair.kind}"]\n[default]\nmode = "audit"\n')
        logged.create(node.wrapper)
        assert _woken(agent.evidence)[0] > 2 * times
        logged.delete(pair.bare)
        wait_until(lambda: _woken(agent.evidence)[0] < PROCESSES / 2, "it to be left alone again")

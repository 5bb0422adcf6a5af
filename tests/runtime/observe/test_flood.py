"""observe beside a container that makes denied calls in a loop: only that one is slowed."""

import os
import re
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

from harness.containers.bundles import Bundle
from harness.host.processes import Daemon, wait_until
from harness.node import agent as agents
from harness.node import install
from runc_wrap.agent.observe.container_limits import BURST, RATE
from tests.runtime.conftest import Lab

SECONDS = 5  # of flooding beyond the burst
LISTENERS = 3  # the container's own, and of processes that join it
EACH = (BURST + SECONDS * RATE) // LISTENERS
BOUND = 1.0  # seconds that a victim's call may take: on a machine that is loaded, too
SHARE = 0.5  # of a CPU, in the agent: it was all of one before


def _cpu(pids: list[int]) -> float:
    """Return the seconds of CPU that processes have used (sched-stats, nanoseconds)."""
    spent = [Path(f"/proc/{pid}/schedstat").read_text().split()[0] for pid in pids]
    return sum(map(int, spent)) / 1e9


def _counted(node: install.Installed, bundle: Bundle) -> int:
    return sum(tally.count for tally in node.calls(bundle.key).values())


def test_a_flood_is_answered_at_a_bounded_rate_and_other_containers_do_not_wait(
    lab: Lab, tmp_path: Path
) -> None:
    flooding = lab.bundle()
    shutil.copy(lab.built("repeat"), flooding.path / "rootfs")
    victim = lab.running("slowest", SECONDS)
    exec_ = flooding.argv(lab.wrapper, "exec")[:-1]
    words = [*exec_, flooding.name, "/repeat", str(EACH), "1"]
    with agents.running(lab.node) as agent, ThreadPoolExecutor(1) as background:
        flooding.create(lab.wrapper)
        running = background.submit(victim.call, lab.wrapper, "run")
        before, begun = _cpu([agent.observe]), time.monotonic()
        with ExitStack() as stack:
            daemons = (Daemon(words, tmp_path / str(each)) for each in range(LISTENERS))
            joined = [stack.enter_context(one) for one in daemons]
            for one in joined:
                one.process.wait(60)
            took = time.monotonic() - begun
        told = [one.log.read_text() for one in joined]
        spent = _cpu([agent.observe, *agents.processes(lab.node.prefix, "inspector")])
        share = (spent - before) / took
        assert told == [f"{EACH} of {EACH} failed with 95\n"] * LISTENERS
        assert took > 0.9 * SECONDS
        assert share < SHARE
        slowest = re.search(r"the slowest ([\d.]+) ms", running.result().stdout)
        assert slowest
        assert float(slowest[1]) < BOUND * 1e3
        wait_until(lambda: _counted(lab.node, flooding) == LISTENERS * EACH, "all in the store")
        flooding.delete(lab.bare)


def test_evidence_runs_at_no_raised_priority_whatever_the_agent_was_started_with(lab: Lab) -> None:
    bundle = lab.bundle()
    with agents.running(lab.node, ["nice", "-n", "-5"]) as agent:
        bundle.create(lab.wrapper)  # there is a listener now, so somebody who reads
        wait_until(lambda: bool(agents.processes(lab.node.prefix, "inspector")), "the reader")
        for pid in (agent.observe, *agents.processes(lab.node.prefix, "inspector")):
            assert os.getpriority(os.PRIO_PROCESS, pid) >= 0
        assert os.getpriority(os.PRIO_PROCESS, agent.decide) < 0  # the control
        bundle.delete(lab.bare)

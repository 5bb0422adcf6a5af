"""A report includes all earlier calls; it does not wait long for an agent."""

from __future__ import annotations

import json
import os
import re
import signal
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from harness.node import agent as agents

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from harness.containers.bundles import Bundle
    from harness.node.agent import Agent
    from harness.node.install import Installed
    from tests.runtime.conftest import Pair

TIMES, UNSHARE, GETPID = 8, 272, 39
PATIENCE = 60  # seconds: whoever waits for the agent waits for ever


@dataclass(frozen=True)
class Asking:
    """Runs containers that make one call, and reports at once."""

    node: Installed
    kind: str
    make_bundle: Callable[..., Bundle]
    short: Path

    def run(self, number: int) -> Bundle:
        bundle = self.make_bundle(self.kind).running(self.short, 1, number)
        done = bundle.call(self.node.wrapper, "run")
        assert done.returncode == 0, done.stdout
        return bundle

    def report(self, bundle: Bundle) -> tuple[dict[str, Any], str]:
        """Return the container's workload, and the notes beside the report."""
        done = self.node.control("report", "--json", ok=False)
        (found,) = [one for one in json.loads(done.stdout) if bundle.name in one["ids"]]
        return dict(found), done.stderr


@pytest.fixture(params=["audit", "observe"])
def asking(
    request: pytest.FixtureRequest,
    pair: Pair,
    node: Installed,
    make_bundle: Callable[..., Bundle],
    built: Callable[[str], Path],
) -> Asking:
    node.configure(f'runtime = ["{pair.kind}"]\n[default]\nmode = "{request.param}"\n')
    return Asking(node, pair.kind, make_bundle, built("short"))


@pytest.fixture
def ready(asking: Asking, agent: Agent) -> Agent:  # noqa: ARG001 - the policy is in force before
    agent.wait_ready()
    return agent


@pytest.mark.usefixtures("ready")
def test_a_call_that_was_just_made_is_in_the_report_each_time(asking: Asking) -> None:
    found = []
    for _ in range(TIMES):
        told, said = asking.report(asking.run(UNSHARE))
        found.append((told["verdict"], [call["count"] for call in told["calls"]], said))
    assert found == [("denied", [1], "")] * TIMES


@pytest.mark.usefixtures("ready")
def test_suggest_and_metrics_also_have_it(asking: Asking) -> None:
    bundle = asking.run(UNSHARE)
    suggested = json.loads(asking.node.control("suggest", "--json", bundle.name).stdout)
    assert suggested["added"] or suggested["withheld"]
    asking.run(UNSHARE)
    assert _denied(asking.node.control("metrics").stdout) == 2


def _denied(text: str) -> float:
    counter = r"^runc_wrap_denied_calls_total\{.*syscall=\"unshare\".*\} (\S+)$"
    return sum(map(float, re.findall(counter, text, re.MULTILINE)))


def test_a_report_does_not_wait_for_a_stopped_agent_and_says_how_recent_it_is(
    asking: Asking, ready: Agent
) -> None:
    bundle = asking.run(GETPID)
    assert asking.report(bundle)[1] == ""
    os.kill(ready.observe, signal.SIGSTOP)
    begin = time.monotonic()
    _, said = asking.report(bundle)
    took = time.monotonic() - begin
    os.kill(ready.observe, signal.SIGCONT)
    assert re.search(r"as of 20\S+Z: the agent did not answer within 2 seconds", said)
    assert took < PATIENCE


def test_a_report_says_that_no_agent_runs(asking: Asking) -> None:
    with agents.running(asking.node) as agent:
        agent.wait_ready()
        bundle = asking.run(GETPID)
        assert asking.report(bundle)[1] == ""
    assert re.search(r"as of 20\S+Z: no agent runs", asking.report(bundle)[1])


# What the ring of the kernel lost while none watched is said as well, as is what one took along
_MAY_BE_SAID = re.compile(
    r"note: (as of 20\S+Z: .+|\d+ records were lost \((not printed by the kernel \(rate limit of "
    r"printk\)|the service observe was killed before it had written them|; )+\): .+)"
)


def test_a_report_waits_until_a_killed_service_is_back_or_says_so(asking: Asking) -> None:
    bundle = asking.run(GETPID)
    with agents.supervised(asking.node) as agent:
        for _ in range(3):
            killed = agent.observe
            os.kill(killed, signal.SIGKILL)
            _, said = asking.report(bundle)
            assert all(_MAY_BE_SAID.fullmatch(line) for line in said.splitlines()), said
            agent.wait_both([killed])

"""Reports include all earlier calls, also if the agent is killed; so do suggest and metrics."""

from __future__ import annotations

import json
import os
import re
import signal
from typing import TYPE_CHECKING, Any

import pytest

from harness.node import agent as agents

if TYPE_CHECKING:
    from harness.containers.bundles import Bundle
    from tests.runtime.conftest import Lab

TIMES, UNSHARE, GETPID = 8, 272, 39


def _reported(lab: Lab, bundle: Bundle) -> tuple[dict[str, Any], str]:
    """Return the container's workload, and the notes beside the report."""
    done = lab.node.control("report", "--json", ok=False)
    (found,) = [one for one in json.loads(done.stdout) if bundle.name in one["ids"]]
    return dict(found), done.stderr


def _denied(text: str) -> float:
    """Return the containers' calls: those of nobody, perhaps another test's, have no outcome."""
    counter = r"^runc_wrap_denied_calls_total\{.*outcome=\"denied\",syscall=\"unshare\".*\} (\S+)$"
    return sum(map(float, re.findall(counter, text, re.MULTILINE)))


@pytest.mark.parametrize("mode", ["audit", "observe"])
def test_a_call_that_was_just_made_is_in_the_report_each_time(lab: Lab, mode: str) -> None:
    lab.mode(mode)
    found = []
    with lab.agent():
        for _ in range(TIMES):
            told, said = _reported(lab, lab.run("short", 1, UNSHARE))
            found.append((told["verdict"], [call["count"] for call in told["calls"]], said))
    assert found == [("denied", [1], "")] * TIMES


def test_suggest_and_metrics_also_have_it(lab: Lab) -> None:
    lab.mode("audit")
    with lab.agent():
        bundle = lab.run("short", 1, UNSHARE)
        suggested = json.loads(lab.node.control("suggest", "--json", bundle.name).stdout)
        assert suggested["added"] or suggested["withheld"]
        lab.run("short", 1, UNSHARE)
        assert _denied(lab.node.control("metrics").stdout) == 2


# What the ring of the kernel lost while none watched is said as well, as is what one took along
_MAY_BE_SAID = re.compile(
    r"note: (as of 20\S+Z: .+|\d+ records were lost \((not printed by the kernel \(rate limit of "
    r"printk\)|the service observe was killed before it had written them|; )+\): .+)"
)


def test_a_report_waits_until_a_killed_service_is_back_or_says_so(lab: Lab) -> None:
    """tests/unit/agent/record/test_client_sockets.py has an agent that is absent or hangs."""
    lab.mode("audit")
    bundle = lab.run("short", 1, GETPID)
    with agents.supervised(lab.node) as agent:
        for _ in range(3):
            killed = agent.observe
            os.kill(killed, signal.SIGKILL)
            _, said = _reported(lab, bundle)
            assert all(_MAY_BE_SAID.fullmatch(line) for line in said.splitlines()), said
            agent.wait_both([killed])
    assert re.search(r"as of 20\S+Z: no agent runs", _reported(lab, bundle)[1])

"""Records that the kernel drops: the report says so; workloads that ran then are not safe."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time
from typing import TYPE_CHECKING, Any

from harness.host.processes import run, wait_until
from harness.node import agent as agents
from harness.node.requirements import program

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.containers.bundles import Bundle
    from tests.runtime.conftest import Lab

UNSHARE, GETPID, MANY = 272, 39, 300
RECORDS = 150_000  # more than the kernel queues: 64 MiB of some 830 bytes each
PROCESSES = 9_000  # more than the process connector queues: 8 MiB, two messages for each


@contextlib.contextmanager
def _rate_limit(messages: int) -> Iterator[None]:
    """Limit the kernel to so many records a second."""
    run([program("auditctl"), "-r", str(messages)])
    try:
        yield
    finally:
        run([program("auditctl"), "-r", "0"])


def test_records_suppressed_by_a_rate_limit_are_reported_lost_and_lower_the_confidence(
    lab: Lab,
) -> None:
    def reported(bundle: Bundle) -> dict[str, Any]:
        told = lab.node.control("report", "--json", ok=False).stdout
        found = [one for one in json.loads(told) if bundle.name in one["ids"]]
        return dict(found[0]) if found else {}

    lab.mode("audit")
    with agents.running(lab.node):
        before = lab.run("short", 3, UNSHARE)
        wait_until(lambda: bool(reported(before).get("calls")), "its calls in the report")
        assert reported(before)["lost"] == 0
        with _rate_limit(1):
            flooding = lab.run("short", MANY, UNSHARE)
            wait_until(lambda: reported(flooding).get("lost", 0) > 0, "the loss in the report")
    found = reported(flooding)
    counted = sum(call["count"] for call in found["calls"])
    assert counted < MANY <= counted + found["lost"]
    assert f"meanwhile at most {found['lost']} records lost" in found["confidence"]


@contextlib.contextmanager
def _stopped(pid: int) -> Iterator[None]:
    """Keep a process from reading meanwhile, like one without CPU."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def test_a_workload_that_ran_in_a_gap_is_unknown_and_one_beside_it_is_not(lab: Lab) -> None:
    """The kernel's whole queue is full; it drops later records until the queue is read."""
    lab.mode("audit")
    with lab.agent() as agent:
        before = lab.run("short", 1, GETPID)
        assert lab.workload(before)["verdict"] == "safe"
        time.sleep(2.5)  # a hole begins a second early, and ends are known within a second
        with _stopped(agent.observe):
            flood = lab.run("repeat", RECORDS, 1, seconds=300)
            harmless = lab.run("short", 1, GETPID)
            denied = lab.run("short", 3, UNSHARE)
        found = [lab.workload(one) for one in (flood, harmless, denied, before)]
        time.sleep(2.5)
        after = lab.run("short", 1, GETPID)
        later = lab.workload(after)
    counted = sum(call["count"] for call in found[0]["calls"])
    assert 0 < counted < RECORDS <= counted + found[0]["lost"]
    assert [one["verdict"] for one in found] == ["denied", None, None, "safe"]
    for one in found[1:3]:
        assert one["calls"] == [], "its records were dropped"
        assert "records were lost while its containers ran (between 2" in one["reason"]
    assert (later["verdict"], later["lost"]) == ("safe", 0)


def test_while_process_events_were_lost_nothing_is_safe(lab: Lab) -> None:
    lab.mode("audit")
    with lab.agent() as agent:
        with _stopped(agent.observe):
            lab.run("short", PROCESSES, GETPID, seconds=300)
            within = lab.run("short", 1, GETPID)
        found = lab.workload(within)
        time.sleep(2.5)
        later = lab.workload(lab.run("short", 1, GETPID))
    assert found["verdict"] is None
    assert "lost while its containers ran" in found["reason"]
    assert (later["verdict"], later["lost"]) == ("safe", 0)

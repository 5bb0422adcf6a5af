"""Records that the kernel drops: the report says so; workloads that ran then are not safe."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from harness.host.processes import run, wait_until
from harness.node import agent as agents
from harness.node.requirements import program

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from harness.containers.bundles import Bundle
    from harness.node.install import Installed
    from tests.runtime.conftest import Pair

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
    runc: Pair,
    node: Installed,
    make_bundle: Callable[..., Bundle],
    built: Callable[[str], Path],
) -> None:
    def called(times: int) -> Bundle:
        bundle = make_bundle(runc.kind).running(built("short"), times, UNSHARE)
        assert bundle.call(node.wrapper, "run").returncode == 0
        return bundle

    def reported(bundle: Bundle) -> dict[str, Any]:
        told = node.control("report", "--json", ok=False).stdout
        found = [one for one in json.loads(told) if bundle.name in one["ids"]]
        return dict(found[0]) if found else {}

    node.configure('runtime = ["runc"]\n[default]\nmode = "audit"\n')
    with agents.running(node):
        before = called(3)
        wait_until(lambda: bool(reported(before).get("calls")), "its calls in the report")
        assert reported(before)["lost"] == 0
        with _rate_limit(1):
            flooding = called(MANY)
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


@dataclass(frozen=True)
class Running:
    """Runs containers of one program each, and returns the report."""

    node: Installed
    kind: str
    make_bundle: Callable[..., Bundle]
    built: Callable[[str], Path]

    def run(self, name: str, *words: object) -> Bundle:
        bundle = self.make_bundle(self.kind).running(self.built(name), *words)
        done = bundle.call(self.node.wrapper, "run", seconds=300)
        assert done.returncode == 0, done.stdout
        return bundle

    def reported(self, bundle: Bundle) -> dict[str, Any]:
        return self.node.workload(bundle.name)


@pytest.fixture
def containers(
    pair: Pair,
    node: Installed,
    make_bundle: Callable[..., Bundle],
    built: Callable[[str], Path],
) -> Running:
    node.configure(f'runtime = ["{pair.kind}"]\n[default]\nmode = "audit"\n')
    return Running(node, pair.kind, make_bundle, built)


def test_a_workload_that_ran_in_a_gap_is_unknown_and_one_beside_it_is_not(
    containers: Running, node: Installed
) -> None:
    """The kernel's whole queue is full; it drops later records until the queue is read."""
    with agents.running(node) as agent:
        agent.wait_ready()
        before = containers.run("short", 1, GETPID)
        assert containers.reported(before)["verdict"] == "safe"
        time.sleep(2.5)  # a hole begins a second early, and ends are known within a second
        with _stopped(agent.observe):
            flood = containers.run("repeat", RECORDS, 1)
            harmless = containers.run("short", 1, GETPID)
            denied = containers.run("short", 3, UNSHARE)
        found = [containers.reported(one) for one in (flood, harmless, denied, before)]
        time.sleep(2.5)
        after = containers.run("short", 1, GETPID)
        later = containers.reported(after)
    counted = sum(call["count"] for call in found[0]["calls"])
    assert 0 < counted < RECORDS <= counted + found[0]["lost"]
    assert [one["verdict"] for one in found] == ["denied", None, None, "safe"]
    for one in found[1:3]:
        assert one["calls"] == [], "its records were dropped"
        assert "records were lost while its containers ran (between 2" in one["reason"]
    assert (later["verdict"], later["lost"]) == ("safe", 0)


def test_while_process_events_were_lost_nothing_is_safe(
    containers: Running, node: Installed
) -> None:
    with agents.running(node) as agent:
        agent.wait_ready()
        with _stopped(agent.observe):
            containers.run("short", PROCESSES, GETPID)
            within = containers.run("short", 1, GETPID)
        found = containers.reported(within)
        time.sleep(2.5)
        later = containers.reported(containers.run("short", 1, GETPID))
    assert found["verdict"] is None
    assert "lost while its containers ran" in found["reason"]
    assert (later["verdict"], later["lost"]) == ("safe", 0)

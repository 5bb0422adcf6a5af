"""Records that the kernel drops, and calls while no agent runs or while it receives none.

The report says so; workloads that ran then are not safe. The kernel's ring buffer has the calls of
processes that still run. Audit's multicast and the process connector serve only the first network
namespace; elsewhere joining them works or fails silently.
"""

import contextlib
import time
from collections.abc import Iterator
from typing import Any

import pytest

from harness.containers.bundles import Bundle
from harness.host.processes import run, stopped, wait_until
from harness.node import agent as agents
from harness.node.install import Installed
from harness.node.requirements import program
from runc_wrap.evidence.attribution.proc_connector import SOURCE as PROCESSES
from runc_wrap.evidence.sightings import AUDIT
from runc_wrap.evidence.sources import log_files, source_status
from runc_wrap.evidence.store.call_counts import ELSEWHERE
from tests.runtime.conftest import Lab

UNSHARE, GETPID, GETPRIORITY, MANY = 272, 39, 140, 300
LONG = 60  # seconds, on a busy machine
RECORDS = 150_000  # more than the kernel queues: 64 MiB of some 830 bytes each
STARTED = 9_000  # more than the process connector queues: 8 MiB, two messages for each


@contextlib.contextmanager
def _rate_limit(messages: int) -> Iterator[None]:
    """Limit the kernel to so many records a second."""
    run([program("auditctl"), "-r", str(messages)])
    try:
        yield
    finally:
        run([program("auditctl"), "-r", "0"])


def test_records_suppressed_by_a_rate_limit_are_lost_and_lower_the_confidence(
    lab: Lab,
) -> None:
    def reported(bundle: Bundle) -> dict[str, Any]:
        found = [one for one in lab.node.shown("report") if bundle.name in one["ids"]]
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


def test_a_workload_that_ran_in_a_gap_is_unknown_and_one_beside_it_is_not(lab: Lab) -> None:
    """The kernel's whole queue is full; it drops later records until the queue is read."""
    lab.mode("audit")
    with lab.agent() as agent:
        before = lab.run("short", 1, GETPID)
        assert lab.workload(before)["verdict"] == "safe"
        time.sleep(2.5)  # a hole begins a second early, and ends are known within a second
        with stopped(agent.observe):
            flood = lab.run("repeat", RECORDS, 1, seconds=300)
            harmless = lab.run("short", 1, GETPID)
            denied = lab.run("short", 3, UNSHARE)
        found = [lab.workload(one) for one in (flood, harmless, denied, before)]
        time.sleep(2.5)
        later = lab.workload(lab.run("short", 1, GETPID))
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
        with stopped(agent.observe):
            lab.run("short", STARTED, GETPID, seconds=300)
            within = lab.run("short", 1, GETPID)
        found = lab.workload(within)
        time.sleep(2.5)
        later = lab.workload(lab.run("short", 1, GETPID))
    assert found["verdict"] is None
    assert "lost while its containers ran" in found["reason"]
    assert (later["verdict"], later["lost"]) == ("safe", 0)


IN_RING = pytest.mark.skipif(
    log_files.AUDIT_LOG.exists(),
    reason="auditd runs: the kernel then prints no record into its ring",
)


def _running(lab: Lab, script: str) -> Bundle:
    """Start a container whose script has /short, which makes calls."""
    bundle = lab.running("short").executing("/bin/sh", "-c", script)
    bundle.create(lab.wrapper)
    return bundle


@IN_RING
def test_a_call_after_the_agents_stop_is_found_in_the_ring_buffer(lab: Lab) -> None:
    lab.mode("audit")
    # One a second, which stay: the kernel prints a few records in five seconds, of all that are
    calls = "while :; do /bin/unshare -U /bin/sleep 1000 & /bin/sleep 1; done"
    script = f"while [ ! -e /go ]; do /bin/sleep 0.2; done; {calls}"
    with lab.agent():
        bundle = _running(lab, script)
    assert lab.workload(bundle)["verdict"] in ("safe", None)
    (bundle.path / "rootfs" / "go").touch()
    wait_until(lambda: lab.workload(bundle)["verdict"] == "denied", "its call in the report", LONG)


@IN_RING
@pytest.mark.parametrize("with_agent_before", [True, False])
def test_calls_of_ended_processes_remove_safe_from_workloads_that_ran_then(
    lab: Lab, with_agent_before: bool
) -> None:
    lab.mode("audit")
    if with_agent_before:
        with lab.agent():
            pass
    script = f"while :; do /short 1 {UNSHARE}; /bin/sleep 0.5; done"
    bundle = _running(lab, script)
    why = "may have been its own"
    wait_until(lambda: why in str(lab.workload(bundle)["reason"]), "its calls as nobody's", LONG)
    assert lab.workload(bundle)["verdict"] is None


def _sight(node: Installed) -> dict[str, str]:
    return source_status.read(node.prefix / "var" / "evidence")


def test_an_agent_that_receives_no_records_says_so_and_has_watched_nothing(lab: Lab) -> None:
    lab.mode("audit")
    script = f"while :; do /short 1 {UNSHARE}; /bin/sleep 1; done"
    bundle = lab.running("short").executing("/bin/sh", "-c", script)
    with agents.running(lab.node, inside=(program("unshare"), "--net")) as agent:
        agent.wait_ready()
        bundle.create(lab.wrapper)
        bundle.call(lab.bare, "start")
        wait_until(lambda: bool(_sight(lab.node).get(AUDIT)), "it to know of its deafness", LONG)
        assert "the first network namespace" in _sight(lab.node)[AUDIT]
        told = {each: lab.node.control(each, ok=False) for each in ("doctor", "status", "report")}
        assert "hostNetwork: true" in told["doctor"].stdout
        said = [told["doctor"].stdout, told["status"].stderr, told["report"].stderr]
        for text in (*said, agent.log.read_text()):
            assert "receives none of the audit records" in text
        gauge = 'runc_wrap_evidence_sources_seeing{source="audit"} 0.0'
        assert gauge in lab.node.control("metrics").stdout
    assert AUDIT not in lab.node.evidence.watched
    found = lab.node.workload(bundle.name, "--audit-log", "/dev/null")
    assert found["verdict"] is None, found["confidence"]


def test_an_agent_that_receives_records_says_so_and_does_not_count_its_own(lab: Lab) -> None:
    lab.mode("audit")
    bundle = lab.bundle()
    with lab.agent():
        bundle.create(lab.wrapper)
        wait_until(lambda: _sight(lab.node) == {AUDIT: "", PROCESSES: ""}, "it to see", LONG)
        gauge = 'runc_wrap_evidence_sources_seeing{source="audit"} 1.0'
        assert gauge in lab.node.control("metrics").stdout
        assert "receives none" not in lab.node.control("doctor", ok=False).stdout
    assert _sight(lab.node) == {}
    found = lab.node.evidence
    assert AUDIT in found.watched
    assert PROCESSES in found.watched
    both = (found.unattributed, found.unattributed.part(ELSEWHERE))
    assert not [call for one in both for call in one.calls if call.number == GETPRIORITY]
    assert lab.node.workload(bundle.name, "--audit-log", "/dev/null")["verdict"] == "safe"
    assert lab.kind == bundle.kind

"""An agent that receives no records detects it: only the first network namespace gets any.

Audit's multicast and the process connector serve only the first network namespace; elsewhere
joining them works or fails silently. What such an agent did not receive never counts as safe.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.host.processes import wait_until
from harness.node import agent as agents
from harness.node.requirements import program
from runc_wrap.evidence.attribution.proc_connector import SOURCE as PROCESSES
from runc_wrap.evidence.sightings import AUDIT
from runc_wrap.evidence.sources import source_status

if TYPE_CHECKING:
    from pathlib import Path

    from harness.containers.bundles import Bundle
    from harness.node.install import Installed
    from tests.runtime.conftest import Lab

UNSHARE, GETPRIORITY = 272, 140
LONG = 30  # seconds, on a busy machine


def _sight(node: Installed) -> dict[str, str]:
    return source_status.read(node.prefix / "var" / "evidence")


def _calling(bundle: Bundle, built: Path, number: int) -> Bundle:
    script = f"while :; do /short 1 {number}; /bin/sleep 1; done"
    bundle.running(built).executing("/bin/sh", "-c", script)
    return bundle


def test_an_agent_that_receives_no_records_says_so_and_has_watched_nothing(lab: Lab) -> None:
    lab.mode("audit")
    bundle = _calling(lab.bundle(), lab.built("short"), UNSHARE)
    with agents.running(lab.node, inside=(program("unshare"), "--net")) as agent:
        agent.wait_ready()
        bundle.create(lab.wrapper)
        bundle.call(lab.bare, "start")
        wait_until(
            lambda: bool(_sight(lab.node).get(AUDIT)), "it to know that it hears nothing", LONG
        )
        assert "the first network namespace" in _sight(lab.node)[AUDIT]
        doctor = lab.node.control("doctor", ok=False).stdout
        assert "receives none of the audit records" in doctor
        assert "hostNetwork: true" in doctor
        assert "receives none of the audit records" in lab.node.control("status", ok=False).stderr
        gauge = 'runc_wrap_evidence_sources_seeing{source="audit"} 0.0'
        assert gauge in lab.node.control("metrics").stdout
        assert "receives none of the audit records" in agent.log.read_text()
        assert "receives none of the audit records" in lab.node.control("report", ok=False).stderr
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
    both = (found.unattributed, found.unattributed.elsewhere)
    assert not [call for one in both for call in one.calls if call.number == GETPRIORITY]
    assert lab.node.workload(bundle.name, "--audit-log", "/dev/null")["verdict"] == "safe"
    assert lab.kind == bundle.kind

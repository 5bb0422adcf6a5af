"""Calls while no agent runs: the kernel's ring buffer has those of processes that still run.

Calls of ended processes may be any container's: they remove `safe` from all that ran meanwhile.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from harness.host.processes import wait_until
from runc_wrap.evidence.sources import log_files

if TYPE_CHECKING:
    from harness.containers.bundles import Bundle
    from tests.runtime.conftest import Lab

UNSHARE, LONG = 272, 60

pytestmark = pytest.mark.skipif(
    log_files.AUDIT_LOG.exists(),
    reason="auditd runs: the kernel then prints no record into its ring",
)


def _running(lab: Lab, script: str) -> Bundle:
    """Start a container whose script has /short, which makes calls."""
    bundle = lab.running("short").executing("/bin/sh", "-c", script)
    bundle.create(lab.wrapper)
    return bundle


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
    wait_until(
        lambda: "may have been its own" in str(lab.workload(bundle)["reason"]),
        "its calls as nobody's",
        LONG,
    )
    assert lab.workload(bundle)["verdict"] is None

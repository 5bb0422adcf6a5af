"""Calls while no agent runs: the kernel's ring buffer has those of processes that still run.

Calls of ended processes may be any container's: they remove `safe` from all that ran meanwhile.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from harness.host.processes import wait_until
from harness.node import agent as agents
from runc_wrap.evidence.sources import log_files

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from harness.containers.bundles import Bundle
    from harness.node.install import Installed
    from tests.runtime.conftest import Pair

UNSHARE, LONG = 272, 60

pytestmark = pytest.mark.skipif(
    log_files.AUDIT_LOG.exists(),
    reason="auditd runs: the kernel then prints no record into its ring",
)


def _running(bundle: Bundle, built: Path, script: str, node: Installed, pair: Pair) -> Bundle:
    """Run a container whose script has /short, which makes calls, and ends when /stop is there."""
    with bundle.running(built).edited() as config:
        config["process"]["args"] = ["/bin/sh", "-c", script]
    bundle.create(node.wrapper)
    bundle.call(pair.bare, "start")
    return bundle


def test_a_call_after_the_agents_stop_is_found_in_the_ring_buffer(
    runc: Pair,
    node: Installed,
    make_bundle: Callable[..., Bundle],
    built: Callable[[str], Path],
) -> None:
    node.configure('runtime = ["runc"]\n[default]\nmode = "audit"\n')
    # One a second, which stay: the kernel prints a few records in five seconds, of all that are
    calls = "while :; do /bin/unshare -U /bin/sleep 1000 & /bin/sleep 1; done"
    script = f"while [ ! -e /go ]; do /bin/sleep 0.2; done; {calls}"
    bundle = make_bundle("runc")
    with agents.running(node) as agent:
        agent.wait_ready()
        _running(bundle, built("short"), script, node, runc)
    assert node.workload(bundle.name)["verdict"] in ("safe", None)
    (bundle.path / "rootfs" / "go").touch()
    wait_until(
        lambda: node.workload(bundle.name)["verdict"] == "denied", "its call in the report", LONG
    )


@pytest.mark.parametrize("with_agent_before", [True, False])
def test_calls_of_ended_processes_remove_safe_from_workloads_that_ran_then(
    runc: Pair,
    node: Installed,
    make_bundle: Callable[..., Bundle],
    built: Callable[[str], Path],
    with_agent_before: bool,
) -> None:
    node.configure('runtime = ["runc"]\n[default]\nmode = "audit"\n')
    if with_agent_before:
        with agents.running(node) as agent:
            agent.wait_ready()
    script = f"while :; do /short 1 {UNSHARE}; /bin/sleep 0.5; done"
    bundle = _running(make_bundle("runc"), built("short"), script, node, runc)
    wait_until(
        lambda: "may have been its own" in str(node.workload(bundle.name)["reason"]),
        "its calls as nobody's",
        LONG,
    )
    assert node.workload(bundle.name)["verdict"] is None

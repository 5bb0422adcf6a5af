"""Whoever else takes the kernel's audit records (auditd, rsyslog, journald): one report.

With `observe`, which takes them from the kernel, and without it, from what the other one wrote.
"""

from collections.abc import Iterator
from typing import Any

import pytest

from harness.node.guest import IMAGE, UNITS, Node, wait

RUN = "docker run -d --network none --security-opt seccomp=unconfined --runtime runc-wrap"
# auditd refuses to be stopped by systemd, but not to be ended
_STOP_AUDITD = """
systemctl kill auditd 2>/dev/null || :
timeout 30 sh -c 'while systemctl is-active --quiet auditd; do sleep 0.2; done'
"""
TAKERS = {
    "auditd": "systemctl start auditd rsyslog",
    "rsyslog": f"{_STOP_AUDITD} systemctl start rsyslog",
    "journald": f"{_STOP_AUDITD} systemctl stop rsyslog.service syslog.socket",
}
RUNNING = {  # auditd, rsyslog
    "auditd": "active active",
    "rsyslog": "inactive active",
    "journald": "inactive inactive",
}


WRITTEN = {  # what `report` must be told, unless it looks there by itself
    "auditd": (),
    "rsyslog": ("--audit-log", "/var/log/kern.log"),
    "journald": ("--journal",),
}


@pytest.fixture(scope="module", autouse=True)
def looked_at(node: Node) -> Iterator[None]:
    node.configure('[default]\nmode = "audit"\n')
    yield
    node.machine.sh(TAKERS["auditd"])


@pytest.mark.parametrize("taker", TAKERS)
def test_the_report_is_the_same(node: Node, taker: str) -> None:
    assert _lost(node, taker, "sleep 2; /repeat 7 1; sleep 100000") == 0


@pytest.mark.parametrize("taker", TAKERS)
def test_and_without_observe_from_what_that_one_wrote(node: Node, taker: str) -> None:
    """Of processes that still run: only observe knows in time whose the others were.

    The kernel prints ten records in five seconds, of which the report says how many it left out.
    """
    node.machine.sh(f"systemctl stop {' '.join(UNITS)}")
    try:
        # Those of the container's start come first.
        lost = _lost(node, taker, "sleep 6; exec /repeat 7 1 100000", *WRITTEN[taker])
        assert lost == 0 or taker != "auditd"
    finally:
        node.machine.sh(f"systemctl start {' '.join(UNITS)}")


def _lost(node: Node, taker: str, work: str, *options: str) -> Any:
    """Run a container that makes a call seven times; insist on that in the report.

    Return how many records it says were lost meanwhile.
    """
    node.machine.sh(TAKERS[taker])
    running = node.machine.attempt("systemctl is-active auditd rsyslog").stdout.split()
    assert running == RUNNING[taker].split()
    name = node.machine.sh(f'{RUN} {IMAGE} sh -c "$1"', work).strip()

    def reported() -> dict[str, Any]:
        return next(row for row in node.shown("report", "--all", *options) if name in row["ids"])

    try:
        wait(lambda: bool(reported()["calls"]), "the call")
        found = reported()
    finally:
        node.machine.sh('docker rm -f "$1" >/dev/null', name)
    assert found["verdict"] == "denied"
    assert [(call["syscall"], call["count"]) for call in found["calls"]] == [("keyctl", 7)]
    return found["lost"]

"""What would break, before anything is enforced: real containers, real records, one report."""

import json
import os
import re
import signal
import socket
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from harness.containers.bundles import Bundle
from harness.host.processes import repeating, wait_until
from harness.kernel import kernel_log
from harness.node import agent as agents
from harness.node.install import Installed
from runc_wrap.evidence.attribution.ledger_containers import Known
from runc_wrap.evidence.attribution.process_tree import ProcessTree
from tests.runtime.conftest import Lab
from tests.runtime.evidence.conftest import IN_AUDIT

pytestmark = IN_AUDIT

Json = dict[str, Any]
UNSHARE, MOUNT, KEYCTL, CLONE, GETPID = 272, 165, 250, 56, 39
NEWUSER, NEWNET = 0x10000000, 0x40000000
TIMES = 8


def _report(installed: Installed, *words: str) -> dict[str, Json]:
    """Return the workloads by their container's name; the exit status is looked at elsewhere."""
    return {one["container"]: one for one in installed.shown("report", *words)}


def _syscalls(workload: Json) -> dict[str, int]:
    return {call["syscall"]: call["count"] for call in workload["calls"]}


def test_short_lived_children_are_attributed_to_their_workloads(lab: Lab) -> None:
    short = lab.built("short")
    calls = {"unshare": UNSHARE, "mount": MOUNT, "keyctl": KEYCTL}
    made = {name: lab.bundle().running(short, 50, number) for name, number in calls.items()}
    quiet = lab.bundle().running(short, 50, GETPID)
    with lab.agent(), ThreadPoolExecutor(4) as pool:
        done = list(pool.map(lambda one: one.call(lab.wrapper, "run"), [*made.values(), quiet]))
        assert [one.returncode for one in done] == [0, 0, 0, 0], [one.stdout for one in done]
        found = _report(lab.node)
    for name, bundle in made.items():
        assert _syscalls(found[bundle.name]) == {name: 50}
        assert found[bundle.name]["verdict"] == "denied"
    assert found[quiet.name]["verdict"] == "safe"
    assert found[made["unshare"].name]["calls"][0]["programs"] == ["/short"]
    assert found[made["unshare"].name]["calls"][0]["errno"] == "EPERM"


def test_running_processes_records_in_an_audit_log_count_once(lab: Lab, tmp_path: Path) -> None:
    bundle = lab.bundle()
    pid = bundle.create(lab.wrapper)
    line = (
        "type=SECCOMP msg=audit({}.000:{}): auid=4294967295 uid=0 gid=0 ses=4294967295 pid={} "
        'comm="sleep" exe="/bin/busybox" sig=0 arch=c000003e syscall={} compat=0 ip=0x1 '
        "code=0x7ffc0000\n"
    )
    now = int(time.time())
    log = tmp_path / "audit.log"
    log.write_text(
        line.format(now + 1, 7, pid, UNSHARE)
        + line.format(now + 1, 7, pid, UNSHARE)  # a copy
        + line.format(now + 2, 8, pid, UNSHARE)
        + line.format(now - 5000, 2, pid, MOUNT)  # before this process began
        + line.format(now + 2, 9, 2**22 + 1, KEYCTL)  # of nobody that is there
    )
    (found,) = lab.node.shown("report", "--audit-log", log)
    assert _syscalls(found) == {"unshare": 2}
    shown = lab.node.control("report", "--audit-log", log, ok=False).stdout
    assert "2 calls of no known container (" in shown


def test_a_pid_reused_at_once_never_names_the_wrong_container(lab: Lab) -> None:
    calls = {"unshare": UNSHARE, "mount": MOUNT}
    made = {name: lab.running("short", 1500, number) for name, number in calls.items()}
    last = Path("/proc/sys/kernel/ns_last_pid")  # the kernel assigns the free pids from here on
    with (
        lab.agent(),
        kernel_log.told() as told,
        ThreadPoolExecutor(2) as pool,
        repeating(lambda: last.write_text("20000"), pause=lambda: 0.06),
    ):
        list(pool.map(lambda one: one.call(lab.wrapper, "run"), made.values()))
    pids = [{one.pid for one in told.records if one.number == each} for each in calls.values()]
    assert len(pids[0] & pids[1]) >= 3  # pids that both had
    report = _report(lab.node)
    for name in calls:
        assert set(_syscalls(report[made[name].name])) == {name}
    counted = sum(sum(_syscalls(report[bundle.name]).values()) for bundle in made.values())
    assert counted >= 0.75 * 3000  # where the clock cannot tell, it is nobody's


def _set_buffer(descriptor: int, size: int) -> None:
    with socket.fromfd(descriptor, socket.AF_NETLINK, socket.SOCK_DGRAM) as shared:
        shared.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, size)


def test_an_overrun_of_process_events_is_a_known_loss_and_running_processes_are_found_again(
    lab: Lab,
) -> None:
    tree = ProcessTree(Known(lab.node.prefix / "var" / "ledger"))
    try:
        _set_buffer(tree.news.fileno(), 4096)
        bundle = lab.bundle()
        pid = bundle.create(lab.wrapper)
        for _ in range(100):
            subprocess.run(["true"], check=True)
        (lost, *_) = tree.read()
        _set_buffer(tree.news.fileno(), 1 << 20)  # others start processes here, too
        assert (lost.source, lost.records) == ("processes", 1)
        assert tree.container_of(pid, time.time()) == bundle.key
        assert tree.read() == []
    finally:
        tree.news.close()


CLONES = [
    ([hex(NEWUSER | NEWNET)], ("denied", {NEWUSER | NEWNET})),
    (["thread"], ("degrades", {None})),  # the connector tells of processes
    (["0"], ("degrades", {0})),
    (["0", "unshare"], ("degrades", {0, None})),  # as it is looked at before or after that
]


@pytest.mark.parametrize(("words", "expected"), CLONES)
def test_a_clone3_that_created_namespaces_is_denied_and_others_are_not(
    lab: Lab, words: list[str], expected: tuple[str, set[int | None]]
) -> None:
    """The records of clone3 in audit lack flags: the processes that it started show them."""
    with lab.agent():
        bundle = lab.run("clones", *words)
        wait_until(lambda: bool(lab.workload(bundle)["calls"]), "the calls on disk", 30)
        found = lab.workload(bundle)
    (clone3,) = [one for one in found["calls"] if one["syscall"] == "clone3"]
    flags = clone3["args"][0][0] if clone3["args"] else None
    assert clone3["verdict"] == expected[0]
    assert flags in expected[1]
    if len(found["calls"]) == 1:  # else unshare decides
        denied = expected[0] == "denied"
        assert (found["verdict"] == "denied") is denied  # safe, or unknown beside strangers


def _reported(lab: Lab, bundle: Bundle) -> tuple[dict[str, Any], str]:
    """Return the container's workload, and the notes beside the report."""
    done = lab.node.control("report", "--json", ok=False)
    (found,) = [one for one in json.loads(done.stdout) if bundle.name in one["ids"]]
    return dict(found), done.stderr


@pytest.mark.parametrize("mode", ["audit", "observe"])
def test_a_call_that_was_just_made_is_in_the_report_each_time(lab: Lab, mode: str) -> None:
    lab.mode(mode)
    found = []
    with lab.agent():
        for _ in range(TIMES):
            told, said = _reported(lab, lab.run("short", 1, UNSHARE))
            found.append((told["verdict"], [call["count"] for call in told["calls"]], said))
    assert found == [("denied", [1], "")] * TIMES


# What the ring of the kernel lost while none watched is said as well, as is what one took along
_MAY_BE_SAID = re.compile(
    r"note: (as of 20\S+Z: .+|\d+ records were lost \((not printed by the kernel \(rate limit of "
    r"printk\)|at most so many: the service observe was killed before it had written all of them|"
    r"; )+\): .+)"
)


def test_a_report_waits_until_a_killed_service_is_back_or_says_so(lab: Lab) -> None:
    """tests/unit/agent/record/test_flush_answers.py has an agent that is absent or hangs."""
    bundle = lab.run("short", 1, GETPID)
    with agents.supervised(lab.node) as agent:
        for _ in range(3):
            killed = agent.observe
            os.kill(killed, signal.SIGKILL)
            _, said = _reported(lab, bundle)
            assert all(_MAY_BE_SAID.fullmatch(line) for line in said.splitlines()), said
            agent.wait_both([killed])
    assert re.search(r"as of 20\S+Z: no agent runs", _reported(lab, bundle)[1])

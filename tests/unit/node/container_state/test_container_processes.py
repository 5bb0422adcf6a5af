"""Which process is in which container: a table of simulated processes."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import psutil
import pytest

from runc_wrap.host.container_discovery import RuntimeContainer
from runc_wrap.node.container_state import container_processes
from runc_wrap.node.container_state.container_processes import ContainerMembers, Process

HOST = "pid:[1]"
HANDLE = psutil.Process()


def process(pid: int, parent: int = 1, **changes: Any) -> Process:
    made: dict[str, Any] = {
        "name": "x",
        "user": 0,
        "seccomp": 0,
        "filters": 0,
        "first": False,
        "namespace": HOST,
        "cgroups": frozenset(),
        "handle": HANDLE,
        **changes,
    }
    if isinstance(made["cgroups"], str):
        made["cgroups"] = frozenset({f"0:{made['cgroups']}"})
    return Process(pid=pid, parent=parent, **made)


def container(pid: int | None, owner: int = 0) -> RuntimeContainer:
    return RuntimeContainer("/r", f"c{pid}", "runc", "running", pid, "/b", owner)


def members(containers: list[RuntimeContainer], *others: Process) -> list[set[int]]:
    """Return the pids in each container; ours is one of the host's processes."""
    known = [process(1, 0), process(os.getpid(), 1, cgroups="/session"), *others]
    found = ContainerMembers(containers, {one.pid: one for one in known})
    return [{one.pid for one in found.of(place)} for place in range(len(containers))]


def test_processes_are_found_by_cgroup_at_any_depth() -> None:
    assert members(
        [container(10)],
        process(10, cgroups="/a"),
        process(11, cgroups="/a"),
        process(12, cgroups="/a/b/c"),
        process(13, cgroups="/ab"),
        process(14, cgroups="/"),
    ) == [{10, 11, 12}]


def test_the_starters_or_our_own_cgroup_is_not_the_containers() -> None:
    assert members(
        [container(10), container(20)],
        process(5, cgroups="/shim"),
        process(10, 5, cgroups="/shim"),
        process(11, cgroups="/shim"),
        process(20, cgroups="/session"),
    ) == [{10}, {20}]


def test_a_cgroup_of_two_containers_identifies_neither() -> None:
    assert members(
        [container(10), container(20)],
        process(10, cgroups="/pod", namespace="pid:[10]"),
        process(20, cgroups="/pod", namespace="pid:[20]"),
        process(11, cgroups="/pod", namespace="pid:[10]"),
    ) == [{10, 11}, {20}]


def test_processes_are_found_by_pid_namespace_unless_it_is_the_hosts() -> None:
    assert members(
        [container(10), container(20)],
        process(10, namespace="pid:[10]"),
        process(11, namespace="pid:[10]"),
        process(20, namespace=HOST),
        process(21, namespace=HOST),
    ) == [{10, 11}, {20}]


def test_processes_are_found_by_descent() -> None:
    assert members(
        [container(10)],
        process(10),
        process(11, 10, namespace="pid:[11]"),
        process(12, 11, namespace="pid:[11]"),
        process(13, 1),
    ) == [{10, 11, 12}]


def test_a_process_found_only_by_a_shared_pid_namespace_is_the_first_containers() -> None:
    assert members(
        [container(20), container(10)],
        process(10, first=True, cgroups="/pause", namespace="pid:[10]"),
        process(20, cgroups="/main", namespace="pid:[10]"),
        process(21, cgroups="/main", namespace="pid:[10]"),
        process(30, cgroups="/elsewhere", namespace="pid:[10]"),
    ) == [{20, 21}, {10, 30}]


def test_a_container_in_a_container_is_in_both() -> None:
    assert members(
        [container(10), container(20)],
        process(10, cgroups="/a", namespace="pid:[10]"),
        process(20, 10, cgroups="/a/b", namespace="pid:[20]"),
    ) == [{10, 20}, {20}]


def test_a_users_own_state_cannot_claim_another_containers_process() -> None:
    forged = [container(10, owner=1000), container(11, owner=1000), container(1, owner=1000)]
    found = members(
        [container(10), *forged],
        process(10, cgroups="/a", namespace="pid:[10]"),
        process(11, user=1000, cgroups="/a", namespace="pid:[10]"),
        process(12, cgroups="/a", namespace="pid:[10]"),
    )
    assert found[0] == {10, 11, 12}
    assert found[1] == found[3] == set()


def test_a_users_state_names_that_users_processes_only() -> None:
    states = [container(10, owner=1000), container(11, owner=1000)]
    assert members(states, process(10, user=1000), process(11, user=1001)) == [{10}, set()]


def test_a_real_processs_kernel_state_is_read() -> None:
    found = container_processes.look(psutil.Process())
    assert found
    assert (found.pid, found.parent, found.user) == (os.getpid(), os.getppid(), os.getuid())
    assert found.namespace == str(Path("/proc/self/ns/pid").readlink())
    assert os.getpid() in container_processes.snapshot()


def test_an_ended_process_is_none() -> None:
    child = subprocess.Popen(["sleep", "60"])
    handle = psutil.Process(child.pid)
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert container_processes.look(handle) is None  # a zombie
    child.wait()
    assert container_processes.look(handle) is None


@pytest.mark.parametrize("hierarchies", [1, 3])
def test_version_1_counts_every_hierarchy(hierarchies: int) -> None:
    own = frozenset({"5:/a", "6:/a", "7:/a"})
    partly = frozenset(sorted(own)[:hierarchies])
    found = members([container(10)], process(10, cgroups=own), process(11, cgroups=partly))
    assert found == [{10, 11}]

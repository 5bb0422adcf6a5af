"""Which processes are in which container; what agrees, as a table; the join on a simulated node."""

import os
import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from runc_wrap.host import container_discovery, procfs, runtime_state
from runc_wrap.host.container_discovery import RuntimeContainer
from runc_wrap.ledger import decision_record as ledger_record
from runc_wrap.node.container_state import container_processes, container_status, users_containers
from runc_wrap.node.container_state.container_processes import ContainerMembers, Process
from runc_wrap.node.container_state.container_status import Entry
from tests.unit.evidence.samples import line, write_ledger
from tests.unit.host.test_container_discovery import runc

HOST = "pid:[1]"
HANDLE = psutil.Process()


def process(pid: int, parent: int = 1, **changes: Any) -> Process:
    usual = {"start_time": 9, "name": "x", "user": 0, "seccomp": 0, "filters": 0, "first": False}
    made = {**usual, "namespace": HOST, "cgroups": frozenset(), "handle": HANDLE, **changes}
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


def test_descendants_of_who_is_in_the_pid_namespace_only_are_found() -> None:
    assert members(
        [container(10)],
        process(10, namespace="pid:[2]"),
        process(11, namespace="pid:[2]"),
        process(12, 11, namespace="pid:[3]"),
    ) == [{10, 11, 12}]


def test_the_starters_or_our_own_cgroup_is_not_the_containers() -> None:
    assert members(
        [container(10), container(20)],
        process(5, cgroups="/shim"),
        process(10, 5, cgroups="/shim"),
        process(11, cgroups="/shim"),
        process(20, cgroups="/session"),
    ) == [{10}, {20}]


def test_a_cgroup_that_others_were_in_before_is_not_the_containers() -> None:
    assert members(
        [container(10), container(20)],
        process(5, cgroups="/session", start_time=8),
        process(10, cgroups="/session/a", namespace="pid:[10]"),
        process(11, 10, cgroups="/session/a", namespace="pid:[10]"),
        process(12, cgroups="/session/a", start_time=8),
        process(13, cgroups="/session/a"),
        process(20, cgroups="/b"),
        process(21, cgroups="/b/c", start_time=8),
    ) == [{10, 11}, {20, 21}]


def test_a_cgroup_of_two_containers_identifies_neither() -> None:
    assert members(
        [container(10), container(20)],
        process(10, cgroups="/pod", namespace="pid:[10]", start_time=1),
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


def test_an_ended_process_is_none() -> None:
    child = subprocess.Popen(["sleep", "60"])
    handle = psutil.Process(child.pid)
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert container_processes.look(handle) is None  # a zombie
    child.wait()
    assert container_processes.look(handle) is None


def test_a_process_needs_its_containers_number_of_filters() -> None:
    for seccomp, filters, needed, had, enough in (
        (2, 1, 1, 0, True),
        (2, 2, 1, 0, True),  # a program may confine itself
        (2, 1, 1, 1, False),  # what it has, it inherited
        (2, 2, 1, 1, True),
        (0, 0, 1, 0, False),
        (1, 0, 1, 0, False),
        (2, None, 1, 0, True),  # a kernel that does not count
        (0, None, 1, 0, False),
        (0, 0, 0, 0, True),
        (2, 3, 0, 0, True),
        (0, 0, 0, 2, True),
    ):
        assert container_status.is_enough(seccomp, filters, needed, had) is enough


def test_inherited_filters_are_searched_above_the_containers_own_processes() -> None:
    """Four generations, below a runtime that has a filter itself."""
    own = [process(pid, pid - 1, seccomp=2, filters=2) for pid in (11, 12, 13, 14)]
    runtime = process(10, 1, seccomp=2, filters=1)
    running = {one.pid: one for one in (runtime, *own)}
    inside = {one.pid for one in own}
    assert [container_processes.inherited(one, inside, running) for one in own] == [1, 1, 1, 1]
    del running[10]  # it has ended, as runtimes do
    assert [container_processes.inherited(one, inside, running) for one in own] == [0, 0, 0, 0]


RECORD = ledger_record.of({"id": "a", "action": "inject"})
ONE = [process(10)]


def test_a_container_agrees_if_its_processes_have_their_filters() -> None:
    rows: list[tuple[Any, ...]] = [
        (container_discovery.RUNNING, RECORD, ONE, [], True),
        (container_discovery.RUNNING, RECORD, ONE, ONE, False),
        (container_discovery.RUNNING, None, ONE, [], None),
        (container_discovery.STOPPED, RECORD, [], [], None),
        (container_discovery.CREATED, RECORD, ONE, ONE, None),
        (container_discovery.CREATED, RECORD, ONE, [], True),
        (container_discovery.RUNNING, RECORD, [], [], None),
    ]
    for state, record, members, deviating, expected in rows:
        entry = Entry(replace(container(10), state=state), record, members, deviating)
        assert entry.agrees is expected


@pytest.fixture
def child() -> Iterator[int]:
    """A process of our own that could be a container's first."""
    with subprocess.Popen(["sleep", "60"]) as started:
        yield started.pid
        started.kill()


@pytest.fixture(autouse=True)
def nothing_else(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """This machine's own containers and users are ignored."""
    monkeypatch.setattr(runtime_state, "KNOWN_ROOTS", ())
    monkeypatch.setattr(users_containers, "RUN_DIRECTORIES", f"{tmp_path}/user/")
    monkeypatch.setattr(container_status, "_PAUSE", 0)


def decided(tmp_path: Path, child: int, root: str | None = None) -> Path:
    """Have this process be a container's first, and the ledger know it; return the ledger."""
    runc(tmp_path / "root", "a", init_process_pid=child, init_process_start=procfs.started(child))
    named = f"{tmp_path}/root" if root is None else root
    return write_ledger(tmp_path / "ledger", line("a", root=named, filters=1))


def test_roots_are_compared_by_their_real_path(tmp_path: Path, child: int) -> None:
    ledger = decided(tmp_path, child, f"{tmp_path}/link/")
    (tmp_path / "link").symlink_to("root")
    (entry,) = container_status.gather(ledger).entries
    assert entry.record


def test_without_a_recorded_root_the_runtimes_default_counts(
    tmp_path: Path, child: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger, root = decided(tmp_path, child, ""), f"{tmp_path}/root"
    monkeypatch.setattr(runtime_state, "KNOWN_ROOTS", (root[1:],))
    assert container_status.gather(ledger).entries[0].record is None
    monkeypatch.setattr(runtime_state, "DEFAULT_ROOTS", (os.path.realpath(root),))
    assert container_status.gather(ledger).entries[0].record


def test_a_process_confined_at_the_second_look_does_not_deviate(tmp_path: Path, child: int) -> None:
    (entry,) = container_status.gather(decided(tmp_path, child)).entries
    assert [one.pid for one in entry.deviating] == [child]
    assert (entry.agrees, entry.needed) == (False, 1)
    os.kill(child, 9)
    os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
    (settled,) = container_status.settled([entry], {})
    assert (settled.deviating, settled.members, settled.agrees) == ([], [], None)


LATE = [
    ("/usr/bin/crun", True),
    ("/memfd:runc_cloned:/proc/self/exe (deleted)", True),
    ("/usr/bin/docker-runc", True),
    ("/usr/bin/truncate", False),
    (None, False),
]


@pytest.mark.parametrize(("program", "is_late"), LATE)
def test_a_process_that_executes_the_runtime_gets_more_time(
    tmp_path: Path, child: int, monkeypatch: pytest.MonkeyPatch, program: str, *, is_late: bool
) -> None:
    (entry,) = container_status.gather(decided(tmp_path, child)).entries
    looks: list[float] = []
    monkeypatch.setattr(time, "sleep", looks.append)
    monkeypatch.setattr(container_status, "_again", lambda one, _: one)
    monkeypatch.setattr(procfs, "program", lambda _: program)
    container_status.settled([entry], {})
    assert (len(looks) > 10) == is_late


@pytest.mark.parametrize("hierarchies", [1, 3])
def test_version_1_counts_every_hierarchy(hierarchies: int) -> None:
    own = frozenset({"5:/a", "6:/a", "7:/a"})
    partly = frozenset(sorted(own)[:hierarchies])
    found = members([container(10)], process(10, cgroups=own), process(11, cgroups=partly))
    assert found == [{10, 11}]

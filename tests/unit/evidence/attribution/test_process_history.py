from __future__ import annotations

import errno
import os
import struct
import time
from typing import TYPE_CHECKING

import pytest

from runc_wrap.evidence.attribution import (
    container_starts,
    live_process_lookup,
    proc_connector,
    process_history,
    process_lifetimes,
    runtime_programs,
)
from runc_wrap.evidence.attribution.container_index import Known
from runc_wrap.evidence.attribution.live_process_lookup import Present
from runc_wrap.evidence.attribution.membership import Membership
from runc_wrap.evidence.attribution.process_history import ProcessTree
from runc_wrap.evidence.attribution.process_lifetimes import ALWAYS
from runc_wrap.evidence.store import call_counts
from runc_wrap.host import procfs, runtime_state
from runc_wrap.time_text import rfc3339
from tests.unit.evidence.samples import line, sighting, write_ledger

if TYPE_CHECKING:
    from pathlib import Path

    from runc_wrap.hotpath.ledger_file import Key

KEY, OTHER = ("/run/test", "c1"), ("/run/test", "c2")
INIT, CHILD, RUNTIME, SHIM = 2**22 + 1, 2**22 + 2, 2**22 + 3, 2**22 + 4  # above pid_max
FORK, EXEC, EXIT = 1, 2, 0x80000000


def _is_runtimes(tree: ProcessTree, pid: int, when: float) -> bool:
    return tree.made_by(sighting(pid=pid, time=when)) == call_counts.RUNTIME


class Kernel:
    """Sends a tree the kernel's events, at chosen times."""

    def __init__(self, tree: ProcessTree) -> None:
        self.tree = tree
        self.now = time.time() - 50

    def _tell(self, what: int, *words: int) -> None:
        ticks = int(self.now * 1e9)
        body = struct.pack("=IIQ", what, 0, ticks) + struct.pack(
            "=6i", *words, *[0] * (6 - len(words))
        )
        self.tree.take(bytes(36) + body)

    def fork(self, parent: int, child: int, after: float = 1.0) -> float:
        self.now += after
        self._tell(FORK, parent, parent, child, child)
        return self.now

    def thread(self, process: int, thread: int) -> None:
        self._tell(FORK, process, process, thread, process)

    def execs(self, pid: int) -> None:
        self._tell(EXEC, pid, pid)

    def exit(self, pid: int, after: float = 1.0) -> float:
        self.now += after
        self._tell(EXIT, pid, pid)
        return self.now


def refused() -> None:
    raise proc_connector.NoConnector(errno.EPERM, "not for a test")


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ProcessTree:
    monkeypatch.setattr(process_history, "connector", refused)
    monkeypatch.setattr(process_history, "_offset", lambda: 0.0)  # a machine's clock may be younger
    monkeypatch.setattr(runtime_programs, "_filters", lambda _pid: 0)
    monkeypatch.setattr(runtime_programs, "_file", lambda _pid: (1, 2))
    monkeypatch.setattr(runtime_programs, "_now", lambda: 0.0)  # each look is in time
    return ProcessTree(Known(write_ledger(tmp_path, line("c1"), line("c2"))))


@pytest.fixture
def kernel(tree: ProcessTree) -> Kernel:
    return Kernel(tree)


def test_a_short_lived_child_belongs_to_its_parents_container(
    tree: ProcessTree, kernel: Kernel
) -> None:
    tree.lives.begin(INIT, kernel.now, KEY)
    born = kernel.fork(INIT, CHILD)
    gone = kernel.exit(CHILD, after=0.001)
    kernel.fork(CHILD, RUNTIME)  # of a process that has ended: nobody's
    assert [tree.container_of(CHILD, when) for when in (born, gone)] == [KEY, KEY]
    assert tree.container_of(RUNTIME, kernel.now) is None


def test_a_reused_pid_is_distinguished_by_time(tree: ProcessTree, kernel: Kernel) -> None:
    tree.lives.begin(INIT, kernel.now, KEY)
    tree.lives.begin(RUNTIME, kernel.now, OTHER)
    first = kernel.fork(INIT, CHILD)
    kernel.exit(CHILD)
    between = kernel.now + 0.5
    second = kernel.fork(RUNTIME, CHILD)
    kernel.exit(CHILD)
    after = kernel.now + 0.5
    found = [tree.container_of(CHILD, when) for when in (first, between, second, after)]
    assert found == [KEY, None, OTHER, None]


def test_a_pid_reused_at_once_is_unattributed_if_the_clock_cannot_distinguish(
    tree: ProcessTree, kernel: Kernel
) -> None:
    tree.lives.begin(INIT, kernel.now, KEY)
    tree.lives.begin(RUNTIME, kernel.now, OTHER)
    kernel.fork(INIT, CHILD)
    gone = kernel.exit(CHILD)
    kernel.fork(RUNTIME, CHILD, after=0.004)
    assert tree.container_of(CHILD, gone) is None
    assert tree.container_of(CHILD, gone - 0.5) == KEY
    assert tree.container_of(CHILD, gone + 0.5) == OTHER


def test_a_container_begins_with_the_runtime_that_the_ledger_names(
    tree: ProcessTree, kernel: Kernel, tmp_path: Path
) -> None:
    kernel.fork(SHIM, RUNTIME)
    write_ledger(tmp_path, line("new", pid=RUNTIME, time=rfc3339(kernel.now)))
    born = kernel.fork(RUNTIME, INIT, after=0.01)
    kernel.exit(INIT, after=0.002)
    kernel.exit(RUNTIME)
    assert tree.container_of(INIT, born) == ("/run/test", "new")  # read when all were gone
    ((key, end),) = tree.ended()
    assert key == ("/run/test", "new")
    assert end == pytest.approx(kernel.now, abs=0.001)


def test_a_runtime_that_starts_as_a_second_begins_may_have_the_second_before_in_the_ledger(
    tree: ProcessTree, kernel: Kernel, tmp_path: Path
) -> None:
    """The ledger's clock is the kernel's coarse one, which is up to a few ticks behind."""
    second = float(int(kernel.now) + 1)
    kernel.now = second
    kernel.fork(SHIM, RUNTIME, after=0.001)
    write_ledger(tmp_path, line("new", pid=RUNTIME, time=rfc3339(second - 1)))
    kernel.execs(SHIM)  # this reads the ledger
    born = kernel.fork(RUNTIME, INIT, after=0.01)
    assert _is_runtimes(tree, INIT, born)
    assert tree.container_of(INIT, born) == ("/run/test", "new")


def test_a_container_being_created_at_our_start_is_found_when_it_starts(
    tree: ProcessTree, kernel: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The ledger has it, but the runtime has not yet recorded its first process."""
    there = procfs.born(os.getpid())
    assert there is not None
    first = {KEY: (os.getpid(), there[0])}
    monkeypatch.setattr(runtime_state, "first_process", first.get)
    kernel.now = time.time()
    kernel.execs(INIT)
    assert tree.container_of(os.getpid(), time.time()) == KEY
    assert tree.lives.running == {KEY: 1}


@pytest.mark.parametrize(("later", "key"), [(0.1, ("/run/test", "new")), (5, None)])
def test_a_containers_ledger_line_may_precede_the_event_of_its_creator(
    tree: ProcessTree, kernel: Kernel, tmp_path: Path, later: float, key: Key | None
) -> None:
    """Not a process that gets the pid long afterwards."""
    kernel.now = float(int(kernel.now))
    write_ledger(tmp_path, line("new", pid=RUNTIME, time=rfc3339(kernel.now)))
    assert tree.container_of(SHIM, kernel.now) is None  # this reads the ledger
    kernel.fork(SHIM, RUNTIME, after=later)
    born = kernel.fork(RUNTIME, INIT, after=0.01)
    kernel.exit(INIT, after=0.002)
    kernel.exit(RUNTIME, after=0.002)
    assert tree.container_of(INIT, born) == key


def test_a_runtime_that_ran_before_our_start_creates_its_container(
    tree: ProcessTree, kernel: Kernel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not a process that began after the ledger's line, or long before: that is another one."""
    kernel.now = float(int(time.time()))
    boot = live_process_lookup.began(time.CLOCK_BOOTTIME)
    per_second = os.sysconf("SC_CLK_TCK")
    ages = {RUNTIME: 1, SHIM: 100, CHILD: -5}
    born = {pid: (int((kernel.now - age - boot) * per_second), 1) for pid, age in ages.items()}
    monkeypatch.setattr(procfs, "born", born.get)
    lines = (line(f"c{pid}", pid=pid, time=rfc3339(kernel.now)) for pid in ages)
    write_ledger(tmp_path, *lines)
    tree.refresh()
    found = []
    for pid in ages:
        when = kernel.fork(pid, pid + 10, after=0.01)
        found.append((tree.lives.of(pid + 10, when), _is_runtimes(tree, pid + 10, when)))
    assert found == [({("/run/test", f"c{RUNTIME}")}, True), (set(), False), (set(), False)]


def test_a_reused_runtime_pid_creates_nothing(
    tree: ProcessTree, kernel: Kernel, tmp_path: Path
) -> None:
    kernel.fork(SHIM, RUNTIME)
    write_ledger(tmp_path, line("new", pid=RUNTIME, time=rfc3339(kernel.now)))
    kernel.exit(RUNTIME, after=0.01)
    kernel.fork(SHIM, RUNTIME, after=5)
    born = kernel.fork(RUNTIME, INIT)
    assert tree.container_of(INIT, born) is None


def test_a_container_ends_with_its_last_process(tree: ProcessTree, kernel: Kernel) -> None:
    tree.lives.begin(INIT, kernel.now, KEY)
    kernel.fork(INIT, CHILD)
    kernel.exit(INIT)
    assert tree.ended() == []
    end = kernel.exit(CHILD)
    ((key, told),) = tree.ended()
    assert key == KEY
    assert told == pytest.approx(end, abs=0.001)
    assert tree.ended() == []


def test_threads_are_not_processes(tree: ProcessTree, kernel: Kernel) -> None:
    tree.lives.begin(INIT, kernel.now, KEY)
    kernel.thread(INIT, CHILD)
    assert tree.container_of(CHILD, kernel.now) is None


def test_ended_processes_are_forgotten_in_time(
    tree: ProcessTree, kernel: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process_lifetimes, "MOST_ENDED", 100)
    tree.lives.begin(INIT, kernel.now, KEY)
    for number in range(1000):
        kernel.fork(INIT, CHILD + number, after=0.0001)
        kernel.exit(CHILD + number, after=0.0001)
    assert tree.remembered <= 101
    assert tree.container_of(CHILD + 999, kernel.now) == KEY


def test_without_the_connector_the_tree_says_so_and_reads_proc(
    tree: ProcessTree, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (tree.fileno(), tree.problem, tree.read()) == (-1, "not for a test", [])
    monkeypatch.setattr(Membership, "of", lambda *_: KEY)
    assert tree.container_of(os.getpid(), time.time()) == KEY


def test_a_process_that_began_after_the_record_did_not_make_it(
    tree: ProcessTree, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Membership, "of", lambda *_: KEY)
    there = procfs.born(os.getpid())
    assert there is not None
    begun = live_process_lookup.epoch(there[0])
    assert tree.container_of(os.getpid(), begun - 1) is None
    present = Present(tree.known)
    assert present.container_of(os.getpid(), time.time()) == KEY
    assert present.container_of(os.getpid(), begun - 1) is None


def test_a_process_outside_of_its_containers_cgroup_is_found_by_its_ancestor(
    tree: ProcessTree, monkeypatch: pytest.MonkeyPatch
) -> None:
    parent = os.getppid()
    monkeypatch.setattr(Membership, "of", lambda _, pid: OTHER if pid == parent else None)
    assert tree.container_of(os.getpid(), time.time()) == OTHER


def test_processes_whose_first_thread_ended_are_read_once_a_second(
    tree: ProcessTree, kernel: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []

    def threads(pid: int) -> list[str]:
        asked.append(pid)
        return ["one", "another"]

    monkeypatch.setattr(procfs, "threads", threads)
    tree.lives.begin(INIT, kernel.now, KEY)
    kernel.exit(INIT)
    asked.clear()
    for _ in range(5):
        assert tree.ended() == []
    assert (asked, tree.due is None) == ([INIT], False)


def test_a_process_whose_end_was_not_reported_ends_when_its_pid_is_reused(
    tree: ProcessTree, kernel: Kernel
) -> None:
    tree.lives.begin(INIT, kernel.now, KEY)
    kernel.fork(INIT, CHILD)
    born = kernel.fork(SHIM, CHILD)
    kernel.fork(CHILD, RUNTIME)
    assert tree.container_of(CHILD, born + 0.5) is None
    assert tree.container_of(RUNTIME, kernel.now) is None
    assert tree.container_of(CHILD, born - 0.5) == KEY


def test_a_late_start_event_of_a_known_process_ends_nothing(
    tree: ProcessTree, kernel: Kernel
) -> None:
    """As after a scan, which found the child of a process outside."""
    tree.lives.begin(INIT, kernel.now + 1.005, KEY)
    born = kernel.fork(SHIM, INIT)
    assert tree.container_of(INIT, born + 0.5) == KEY
    assert tree.ended() == []


def test_a_scan_ends_processes_whose_pid_was_reused(tree: ProcessTree) -> None:
    started = {}
    for pid in (os.getpid(), os.getppid()):
        there = procfs.born(pid)
        assert there is not None
        started[pid] = live_process_lookup.epoch(there[0])
    tree.lives.begin(os.getpid(), started[os.getpid()] - 100, KEY)
    tree.lives.begin(os.getppid(), started[os.getppid()] - 0.1, OTHER)
    tree.scan()
    assert [key for key, _ in tree.ended()] == [KEY]


class Overrun:
    """A connector's socket that lost events before the queued ones."""

    def __init__(self, queued: int) -> None:
        self.queued = queued
        self.is_told = False

    def recv(self, _: int) -> bytes:
        if not self.is_told:
            self.is_told = True
            raise OSError(errno.ENOBUFS, "full")
        if not self.queued:
            raise BlockingIOError
        self.queued -= 1
        return bytes(60)


def test_after_a_gap_proc_is_read_once_the_queue_is_empty(
    tree: ProcessTree, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel sends no more events until then."""
    scans: list[int] = []
    monkeypatch.setattr(tree, "_socket", Overrun(100))
    monkeypatch.setattr(tree, "scan", lambda: scans.append(tree.taken))
    (first,) = tree.read(64)
    assert (scans, tree.is_dry) == ([], False)
    (hole,) = tree.read(64)  # it lasts until then
    assert (scans, tree.is_dry) == ([100], True)
    assert (hole.records, hole.begin) == (0, first.begin)
    assert first.begin is not None
    assert first.begin < first.time <= hole.time


def test_events_may_wait_unless_the_kernel_logs_a_running_container(
    tree: ProcessTree, kernel: Kernel, tmp_path: Path
) -> None:
    write_ledger(tmp_path, line("quiet", mode="enforce"), line("loud"))
    for _ in range(2):
        kernel.now += 100
        kernel.execs(SHIM)  # all have been awaited in vain
    tree.lives.begin(INIT, kernel.now, ("/run/test", "quiet"))
    found = [tree.may_wait]
    tree.lives.begin(CHILD, kernel.now, ("/run/test", "loud"))
    found.append(tree.may_wait)
    kernel.exit(CHILD)
    found.append(tree.may_wait)
    tree.is_dry = False  # there is more to read
    found.append(tree.may_wait)
    assert found == [True, False, True, False]


@pytest.mark.parametrize("mode", ["observe", "enforce"])
def test_events_may_not_wait_while_a_runtime_starts_a_process_in_observe(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    monkeypatch.setattr(process_history, "connector", refused)
    key = ("/run/test", "asked")
    write_ledger(tmp_path, line("asked", mode=mode, pid=SHIM, time=rfc3339(time.time() - 3600)))
    tree = ProcessTree(Known(tmp_path))
    tree.refresh()
    tree.lives.begin(INIT, time.time() - 3600, key)
    found = [tree.may_wait]
    tree.lives.begin(RUNTIME, time.time(), key, ALWAYS)
    tree.lives.begin(CHILD, time.time(), key, None)
    tree.lives.end(RUNTIME, time.time())
    found.append(tree.may_wait)
    tree.lives.executed(CHILD, time.time())
    found.append(tree.may_wait)
    tree.lives.begin(RUNTIME, time.time() - 10, key, ALWAYS)  # as of `runc run`
    found.append(tree.may_wait)
    assert found == [True, mode != "observe", True, True]


@pytest.mark.parametrize(
    ("mode", "ago", "may_wait"),
    [
        ("audit", 0, False),
        ("audit", 3600, True),
        ("observe", 0, False),
        ("enforce", 0, True),
    ],
)
def test_events_may_not_wait_after_the_ledger_line_of_a_logged_container(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str, ago: int, *, may_wait: bool
) -> None:
    monkeypatch.setattr(process_history, "connector", refused)
    tree = ProcessTree(Known(tmp_path))
    found = [tree.may_wait]
    when = rfc3339(time.time() - ago)
    write_ledger(tmp_path, line("c1", mode=mode, pid=RUNTIME, time=when))
    tree.refresh()
    assert [*found, tree.may_wait] == [True, may_wait]


def test_a_process_of_the_host_is_known_as_such_only_as_far_as_the_news_are_read(
    tree: ProcessTree, kernel: Kernel
) -> None:
    """A container that makes more news than are read may have its pid by then."""
    kernel.now = time.time()
    kernel.execs(os.getpid())
    found = [tree.is_elsewhere(os.getpid(), kernel.now + 1)]
    tree.is_dry = False
    found += [tree.is_elsewhere(os.getpid(), kernel.now + after) for after in (1, -1)]
    kernel.now += 2
    kernel.execs(os.getpid())
    assert [*found, tree.is_elsewhere(os.getpid(), kernel.now - 1)] == [True, False, False, True]


def test_a_pid_is_a_containers_only_as_far_as_the_news_are_read(
    tree: ProcessTree, kernel: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a storm of forks another container may have it by then: /proc tells, or nobody."""
    tree.lives.begin(INIT, kernel.now, KEY)
    kernel.fork(INIT, CHILD)
    tree.is_dry = False
    early, later = kernel.now - 0.5, kernel.now + 0.5
    found = [tree.container_of(INIT, when) for when in (early, later)]
    monkeypatch.setattr(Present, "of", lambda *_: (0.0, OTHER))
    found += [tree.container_of(INIT, when) for when in (early, later)]
    tree.is_dry = True
    assert [*found, tree.container_of(INIT, later)] == [KEY, None, KEY, OTHER, KEY]


class Quiet:
    """A connector's socket with nothing to read: all events were read already."""

    def recv(self, _: int) -> bytes:
        raise BlockingIOError


@pytest.fixture
def heard(tree: ProcessTree, monkeypatch: pytest.MonkeyPatch) -> ProcessTree:
    monkeypatch.setattr(tree, "_socket", Quiet())
    return tree


def test_a_process_started_by_the_runtimes_exec_is_the_containers(
    heard: ProcessTree, kernel: Kernel
) -> None:
    """It ended before its cgroup could be read."""
    kernel.fork(1, RUNTIME)
    kernel.execs(RUNTIME)
    heard.join(KEY, RUNTIME, kernel.now + 0.001)
    early = kernel.fork(RUNTIME, INIT, after=0.002)
    kernel.exit(INIT, after=0.001)
    heard.read()
    late = kernel.fork(RUNTIME, CHILD)
    assert heard.container_of(INIT, early) == KEY
    assert heard.container_of(CHILD, late) == KEY


def test_children_of_a_shell_that_later_became_the_runtime_do_not_join(
    heard: ProcessTree, kernel: Kernel
) -> None:
    kernel.fork(1, RUNTIME)
    before = kernel.fork(RUNTIME, CHILD)
    kernel.now += 1
    kernel.execs(RUNTIME)
    heard.join(KEY, RUNTIME, kernel.now + 0.001)
    after = kernel.fork(RUNTIME, INIT, after=0.002)
    heard.read()
    assert heard.container_of(CHILD, before) is None
    assert heard.container_of(CHILD, after) is None
    assert heard.container_of(INIT, after) == KEY


def test_a_pid_that_was_reused_joins_nothing(heard: ProcessTree, kernel: Kernel) -> None:
    kernel.fork(1, RUNTIME)
    told = kernel.now + 0.1
    kernel.exit(RUNTIME)
    kernel.fork(1, RUNTIME, after=0.5)
    born = kernel.fork(RUNTIME, CHILD)
    heard.join(KEY, RUNTIME, told - 5)  # before either
    heard.read()
    assert heard.container_of(CHILD, born) is None
    heard.join(KEY, RUNTIME, told)
    heard.read()
    assert heard.container_of(RUNTIME, told) == KEY
    assert heard.container_of(CHILD, born) is None


def test_a_process_older_than_our_start_joins_if_it_still_runs(
    heard: ProcessTree, kernel: Kernel
) -> None:
    kernel.now = time.time()
    heard.join(KEY, os.getpid(), kernel.now)
    heard.join(OTHER, os.getppid(), 1000.0)  # it was another's pid then
    born = kernel.fork(os.getpid(), CHILD, after=0.01)
    elsewhere = kernel.fork(os.getppid(), INIT, after=0.01)
    heard.read()
    assert heard.container_of(CHILD, born) == KEY
    assert heard.container_of(INIT, elsewhere) is None


def test_joins_wait_for_their_events_and_their_number_is_bounded(
    heard: ProcessTree, kernel: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(container_starts, "_MOST_JOINING", 2)
    for pid in (SHIM, RUNTIME, INIT):
        kernel.fork(1, pid, after=0.0001)
    for pid in (SHIM, RUNTIME, INIT):
        heard.join(KEY, pid, kernel.now + 0.0005)
    born = {kernel.fork(pid, CHILD + 10 + pid, after=0.001) for pid in (SHIM, RUNTIME, INIT)}
    pids = [CHILD + 10 + pid for pid in (SHIM, RUNTIME, INIT)]
    heard.read(0)  # there may be more to read
    assert [heard.container_of(pid, max(born)) for pid in pids] == [None, None, None]
    heard.read()
    assert [heard.container_of(pid, max(born)) for pid in pids] == [None, KEY, KEY]


def test_until_it_execs_a_child_of_the_runtime_is_the_runtime(
    heard: ProcessTree, kernel: Kernel
) -> None:
    kernel.fork(1, RUNTIME)
    heard.join(KEY, RUNTIME, kernel.now + 0.001)
    heard.read()
    begun = kernel.fork(RUNTIME, INIT, after=0.01)
    kernel.now += 1
    kernel.execs(INIT)
    program = kernel.now + 1
    born = kernel.fork(INIT, CHILD)
    assert _is_runtimes(heard, RUNTIME, begun)
    assert _is_runtimes(heard, RUNTIME, program)
    assert _is_runtimes(heard, INIT, begun)
    assert not _is_runtimes(heard, INIT, program)
    assert not _is_runtimes(heard, CHILD, born)


def test_a_process_read_before_its_events_is_what_the_events_say(
    tree: ProcessTree, kernel: Kernel, tmp_path: Path
) -> None:
    """The first process is in the runtime's state before its start event is read."""
    kernel.now = float(int(kernel.now))
    write_ledger(tmp_path, line("new", pid=RUNTIME, time=rfc3339(kernel.now)))
    tree.refresh()
    tree.lives.begin(INIT, kernel.now + 0.2, ("/run/test", "new"))
    kernel.fork(SHIM, RUNTIME, after=0.1)
    begun = kernel.fork(RUNTIME, INIT, after=0.1)
    assert _is_runtimes(tree, INIT, begun + 0.05)
    kernel.now += 1
    kernel.execs(INIT)
    assert not _is_runtimes(tree, INIT, kernel.now + 0.1)


def test_what_a_runtime_made_that_is_read_after_its_end_stays_open(
    tree: ProcessTree, kernel: Kernel, tmp_path: Path
) -> None:
    kernel.fork(SHIM, RUNTIME)
    write_ledger(tmp_path, line("new", pid=RUNTIME, time=rfc3339(kernel.now)))
    begun = kernel.fork(RUNTIME, INIT, after=0.01)
    kernel.now += 1
    kernel.execs(INIT)
    born = kernel.fork(INIT, CHILD)
    for pid in (CHILD, INIT, RUNTIME):
        kernel.exit(pid)
    found = [tree.made_by(sighting(pid=INIT, time=when)) for when in (begun, born)]
    assert found == [call_counts.EITHER, call_counts.PROGRAM]
    assert tree.container_of(INIT, begun) == ("/run/test", "new")
    assert not _is_runtimes(tree, CHILD, born)


def test_expectations_that_never_come_true_are_bounded_and_expire(
    tree: ProcessTree, kernel: Kernel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runc_wrap.evidence.attribution.unplaced_processes._MOST_EXPECTED", 1)
    kernel.now = float(int(kernel.now))
    when = rfc3339(kernel.now)
    write_ledger(tmp_path, line("a", pid=RUNTIME, time=when), line("b", pid=SHIM, time=when))
    assert tree.container_of(CHILD, kernel.now) is None  # this reads the ledger
    born = kernel.fork(1, RUNTIME, after=0.1)
    assert tree.container_of(RUNTIME, born) is None  # "b" took its place
    kernel.now -= 100
    kernel.fork(1, SHIM)  # of another time: the clock was set
    kernel.now += 99
    assert tree.container_of(SHIM, kernel.fork(1, SHIM, after=0.1)) is None


def test_what_ended_before_its_runtimes_join_was_known_does_not_run_for_ever(
    heard: ProcessTree, kernel: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its cgroup was read at its fork; the container never ended."""
    monkeypatch.setattr(Membership, "of", lambda _, pid: KEY if pid == INIT else None)
    kernel.now = time.time()
    kernel.fork(1, RUNTIME, after=0.0)
    told = kernel.now
    kernel.fork(RUNTIME, INIT, after=0.001)
    heard.lives.begin(INIT, kernel.now, KEY, None)
    kernel.exit(INIT, after=0.01)
    heard.join(KEY, RUNTIME, told)
    heard.read()
    kernel.exit(RUNTIME, after=0.01)
    assert heard.lives.running == {}

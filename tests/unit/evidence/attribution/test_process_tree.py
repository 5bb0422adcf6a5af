import errno
import os
import struct
import time
from collections import deque
from pathlib import Path

import pytest

from runc_wrap.evidence.attribution import proc_connector, process_lifetimes
from runc_wrap.evidence.attribution.cgroup_membership import Membership, Present
from runc_wrap.evidence.attribution.ledger_containers import Known
from runc_wrap.evidence.attribution.process_lifetimes import ALWAYS, Life
from runc_wrap.evidence.attribution.process_tree import ProcessTree
from runc_wrap.evidence.store import call_counts
from runc_wrap.host import procfs, runtime_state
from runc_wrap.hotpath.ledger_file import Key
from runc_wrap.time_text import rfc3339
from tests.unit.evidence.samples import line, refused, sighting, write_ledger

KEY, OTHER, MADE = (("/run/test", name) for name in ("c1", "c2", "new"))
INIT, CHILD, RUNTIME, SHIM = 2**22 + 1, 2**22 + 2, 2**22 + 3, 2**22 + 4  # above pid_max
FORK, EXEC, EXIT = 1, 2, 0x80000000


class Kernel:
    """Sends a tree the kernel's events, at chosen times."""

    def __init__(self, tree: ProcessTree, ledger: Path) -> None:
        self.tree = tree
        self.ledger = ledger
        self.now = time.time() - 50

    def begin(self, pid: int = INIT, key: Key = KEY) -> None:
        self.tree.lives.begin(pid, Life(self.now, key))

    def created(self, name: str = "new", pid: int = RUNTIME) -> None:
        """Write the ledger's line of a container that this runtime creates now."""
        write_ledger(self.ledger, line(name, pid=pid, time=rfc3339(self.now)))

    def of(self, pid: int, when: float | None = None) -> Key | None:
        return self.tree.container_of(pid, self.now if when is None else when)

    def made_by(self, pid: int, when: float) -> str:
        return self.tree.made_by(sighting(pid=pid, time=when))

    def is_runtimes(self, pid: int, when: float) -> bool:
        return self.made_by(pid, when) == call_counts.RUNTIME

    def _tell(self, what: int, *words: int) -> None:
        six = (*words, *[0] * (6 - len(words)))
        body = struct.pack("=IIQ6i", what, 0, int(self.now * 1e9), *six)
        self.tree.news.take(bytes(36) + body)

    def fork(self, parent: int, child: int, after: float = 1.0) -> float:
        self.now += after
        self._tell(FORK, parent, parent, child, child)
        return self.now

    def execs(self, pid: int) -> None:
        self._tell(EXEC, pid, pid)

    def exit(self, pid: int, after: float = 1.0) -> float:
        self.now += after
        self._tell(EXIT, pid, pid)
        return self.now


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ProcessTree:
    monkeypatch.setattr(proc_connector, "connector", refused)
    monkeypatch.setattr(proc_connector, "_offset", lambda: 0.0)  # a machine's clock may be younger
    monkeypatch.setattr(process_lifetimes, "_filters", lambda _pid: 0)
    monkeypatch.setattr(process_lifetimes, "_file", lambda _pid: (1, 2))
    monkeypatch.setattr(process_lifetimes, "_now", lambda: 0.0)  # each look is in time
    return ProcessTree(Known(write_ledger(tmp_path, line("c1"), line("c2"))))


@pytest.fixture
def kernel(tree: ProcessTree, tmp_path: Path) -> Kernel:
    return Kernel(tree, tmp_path)


def test_a_pid_reused_at_once_is_unattributed_if_the_clock_cannot_tell(kernel: Kernel) -> None:
    kernel.begin()
    kernel.begin(RUNTIME, OTHER)
    kernel._tell(FORK, INIT, INIT, CHILD, INIT)  # noqa: SLF001 - a thread, which is no process
    assert kernel.of(CHILD) is None
    kernel.fork(INIT, CHILD)
    gone = kernel.exit(CHILD)
    kernel.fork(RUNTIME, CHILD, after=0.004)
    kernel.exit(CHILD)
    assert kernel.of(CHILD, gone) is None
    assert kernel.of(CHILD, gone - 0.5) == KEY
    assert kernel.of(CHILD, gone + 0.5) == OTHER


BEGINNINGS = [
    (0.5, EXIT, MADE),  # the line is read when all are gone
    (1.001, FORK, MADE),  # the ledger's clock, the kernel's coarse one, is a few ticks behind
    (0.1, 0, MADE),  # the line may precede the event
    (5, 0, None),  # a process that got the pid long afterwards
]


@pytest.mark.parametrize(("began", "last", "key"), BEGINNINGS)
def test_a_container_begins_with_the_runtime_that_the_ledger_names(
    kernel: Kernel, began: float, last: int, key: Key | None
) -> None:
    """`last`: the last event of the runtime before the ledger is read."""
    kernel.now = float(int(kernel.now))
    kernel.created()
    if not last:
        assert kernel.of(SHIM) is None  # this reads the ledger
    kernel.fork(SHIM, RUNTIME, after=began)
    if last == FORK:
        kernel.execs(SHIM)  # as above
    born = kernel.fork(RUNTIME, INIT, after=0.01)
    kernel.exit(INIT, after=0.002)
    kernel.exit(RUNTIME, after=0.002)
    assert kernel.of(INIT, born) == key
    assert kernel.is_runtimes(INIT, born) is (key is not None and last != EXIT)
    ended = kernel.tree.ended()
    assert [one for one, _ in ended] == ([key] if key else [])
    assert all(end == pytest.approx(kernel.now, abs=0.001) for _, end in ended)


def test_a_container_being_created_at_our_start_is_found_when_it_starts(
    kernel: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The ledger has it, but the runtime has not yet recorded its first process."""
    there = procfs.born(os.getpid())
    assert there is not None
    first = {KEY: (os.getpid(), there[0])}
    monkeypatch.setattr(runtime_state, "first_process", first.get)
    kernel.now = time.time()
    kernel.execs(INIT)
    assert kernel.of(os.getpid(), time.time()) == KEY
    assert kernel.tree.lives.running == {KEY: 1}


def test_a_runtime_that_ran_before_our_start_creates_its_container(
    kernel: Kernel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not a process that began after the ledger's line, or long before: that is another one."""
    kernel.now = float(int(time.time()))
    boot = procfs.began(time.CLOCK_BOOTTIME)
    per_second = os.sysconf("SC_CLK_TCK")
    ages = {RUNTIME: 1, SHIM: 100, CHILD: -5}
    born = {pid: (int((kernel.now - age - boot) * per_second), 1) for pid, age in ages.items()}
    monkeypatch.setattr(procfs, "born", born.get)
    write_ledger(tmp_path, *(line(f"c{pid}", pid=pid, time=rfc3339(kernel.now)) for pid in ages))
    kernel.tree.refresh()
    found = []
    for pid in ages:
        when = kernel.fork(pid, pid + 10, after=0.01)
        found.append((kernel.tree.lives.of(pid + 10, when), kernel.is_runtimes(pid + 10, when)))
    assert found == [({("/run/test", f"c{RUNTIME}")}, True), (set(), False), (set(), False)]


def test_a_reused_runtime_pid_creates_nothing(kernel: Kernel) -> None:
    kernel.fork(SHIM, RUNTIME)
    kernel.created()
    kernel.exit(RUNTIME, after=0.01)
    kernel.fork(SHIM, RUNTIME, after=5)
    born = kernel.fork(RUNTIME, INIT)
    assert kernel.of(INIT, born) is None


def test_ended_processes_are_forgotten(kernel: Kernel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process_lifetimes, "MOST_ENDED", 100)
    kernel.begin()
    for number in range(1000):
        kernel.fork(INIT, CHILD + number, after=0.0001)
        kernel.exit(CHILD + number, after=0.0001)
    lives, places = kernel.tree.lives, kernel.tree.places
    running = len(lives.alive) + len(places.hosts._alive)  # noqa: SLF001 - bounds are tested
    ended = len(lives._order) + len(places.hosts._ended)  # noqa: SLF001 - likewise
    assert running + ended + len(places.unplaced._all) <= 101  # noqa: SLF001 - likewise
    assert kernel.of(CHILD + 999, kernel.now) == KEY


def test_a_process_that_began_after_the_record_did_not_make_it(
    tree: ProcessTree, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Membership, "of", lambda *_: KEY)
    there = procfs.born(os.getpid())
    assert there is not None
    begun = procfs.epoch(there[0])
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
    kernel: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []

    def threads(pid: int) -> list[str]:
        asked.append(pid)
        return ["one", "another"]

    monkeypatch.setattr(procfs, "threads", threads)
    kernel.begin()
    kernel.exit(INIT)
    asked.clear()
    for _ in range(5):
        assert kernel.tree.ended() == []
    assert (asked, kernel.tree.due is None) == ([INIT], False)


def test_a_process_whose_end_was_not_reported_ends_when_its_pid_is_reused(kernel: Kernel) -> None:
    kernel.begin()
    kernel.fork(INIT, CHILD)
    born = kernel.fork(SHIM, CHILD)
    kernel.fork(CHILD, RUNTIME)
    assert kernel.of(CHILD, born + 0.5) is None
    assert kernel.of(RUNTIME) is None
    assert kernel.of(CHILD, born - 0.5) == KEY


def test_a_late_start_event_of_a_known_process_ends_nothing(kernel: Kernel) -> None:
    """As after a scan, which found the child of a process outside."""
    kernel.tree.lives.begin(INIT, Life(kernel.now + 1.005, KEY))
    born = kernel.fork(SHIM, INIT)
    assert kernel.of(INIT, born + 0.5) == KEY
    assert kernel.tree.ended() == []


def test_a_scan_ends_processes_whose_pid_was_reused(tree: ProcessTree) -> None:
    for pid, early, key in ((os.getpid(), 100, KEY), (os.getppid(), 0.1, OTHER)):
        there = procfs.born(pid)
        assert there is not None
        tree.lives.begin(pid, Life(procfs.epoch(there[0]) - early, key))
    tree.scan()
    assert [key for key, _ in tree.ended()] == [KEY]


class Silent:
    """A connector's socket with nothing to read: all events were read already."""

    queued = 0

    def recv(self, _: int) -> bytes:
        if not self.queued:
            raise BlockingIOError
        self.queued -= 1
        return bytes(60)


class Overrun(Silent):
    """One that lost events before the queued ones."""

    queued, is_told = 100, False

    def recv(self, _: int) -> bytes:
        if not self.is_told:
            self.is_told = True
            raise OSError(errno.ENOBUFS, "full")
        return super().recv(_)


def test_after_a_gap_proc_is_read_once_the_queue_is_empty(
    tree: ProcessTree, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel sends no more events until then."""
    scans: list[int] = []
    monkeypatch.setattr(tree.news, "_socket", Overrun())
    monkeypatch.setattr(tree.news, "_scan", lambda: scans.append(tree.news.taken))
    (first,) = tree.read(64)
    assert (scans, tree.news.is_dry) == ([], False)
    (hole,) = tree.read(64)  # it lasts until then
    assert (scans, tree.news.is_dry) == ([100], True)
    assert (hole.records, hole.begin) == (0, first.begin)
    assert first.begin
    assert first.begin < first.time <= hole.time


def test_events_may_wait_unless_a_logged_container_runs(kernel: Kernel, tmp_path: Path) -> None:
    write_ledger(tmp_path, line("quiet", mode="enforce"), line("loud"))
    for _ in range(2):
        kernel.now += 100
        kernel.execs(SHIM)  # all have been awaited in vain
    kernel.begin(INIT, ("/run/test", "quiet"))
    found = [kernel.tree.may_wait]
    kernel.begin(CHILD, ("/run/test", "loud"))
    found.append(kernel.tree.may_wait)
    kernel.exit(CHILD)
    found.append(kernel.tree.may_wait)
    kernel.tree.news.is_dry = False  # there is more to read
    found.append(kernel.tree.may_wait)
    assert found == [True, False, True, False]


@pytest.mark.parametrize("mode", ["observe", "enforce"])
def test_events_may_not_wait_while_a_runtime_starts_a_process_in_observe(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    monkeypatch.setattr(proc_connector, "connector", refused)
    before, key = time.time() - 3600, ("/run/test", "asked")
    write_ledger(tmp_path, line("asked", mode=mode, pid=SHIM, time=rfc3339(before)))
    tree = ProcessTree(Known(tmp_path))
    tree.refresh()
    tree.lives.begin(INIT, Life(before, key))
    found = [tree.may_wait]
    tree.lives.begin(RUNTIME, Life(time.time(), key, ALWAYS))
    tree.lives.begin(CHILD, Life(time.time(), key, None))
    tree.lives.end(RUNTIME, time.time())
    found.append(tree.may_wait)
    tree.lives.executed(CHILD, time.time())
    found.append(tree.may_wait)
    tree.lives.begin(RUNTIME, Life(time.time() - 10, key, ALWAYS))  # as of `runc run`
    found.append(tree.may_wait)
    assert found == [True, mode != "observe", True, True]


def test_a_process_of_the_host_is_known_as_such_as_far_as_the_news_are_read(kernel: Kernel) -> None:
    """A container that makes more news than are read may have its pid by then."""
    kernel.now = time.time()
    kernel.execs(os.getpid())
    assert kernel.tree.is_elsewhere(os.getpid(), kernel.now + 1)
    kernel.tree.news.is_dry = False
    for after in (1, -1):
        assert not kernel.tree.is_elsewhere(os.getpid(), kernel.now + after)
    kernel.now += 2
    kernel.execs(os.getpid())
    assert kernel.tree.is_elsewhere(os.getpid(), kernel.now - 1)


def test_a_pid_is_a_containers_only_as_far_as_the_news_are_read(
    kernel: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a storm of forks another container may have it by then: /proc tells, or nobody."""
    kernel.begin()
    kernel.fork(INIT, CHILD)
    kernel.tree.news.is_dry = False
    early, later = kernel.now - 0.5, kernel.now + 0.5
    found = [kernel.of(INIT, when) for when in (early, later)]
    monkeypatch.setattr(Present, "of", lambda *_: (0.0, OTHER))
    found += [kernel.of(INIT, when) for when in (early, later)]
    kernel.tree.news.is_dry = True
    assert [*found, kernel.of(INIT, later)] == [KEY, None, KEY, OTHER, KEY]


@pytest.fixture
def hearing(kernel: Kernel, monkeypatch: pytest.MonkeyPatch) -> Kernel:
    monkeypatch.setattr(kernel.tree.news, "_socket", Silent())
    monkeypatch.setattr(kernel.tree.news, "problem", "")
    return kernel


def test_children_of_a_shell_that_later_became_the_runtime_do_not_join(hearing: Kernel) -> None:
    hearing.fork(1, RUNTIME)
    before = hearing.fork(RUNTIME, CHILD)
    hearing.now += 1
    hearing.execs(RUNTIME)
    hearing.tree.places.join(KEY, RUNTIME, hearing.now + 0.001)
    after = hearing.fork(RUNTIME, INIT, after=0.002)
    hearing.tree.read()
    assert hearing.of(CHILD, before) is None
    assert hearing.of(CHILD, after) is None
    assert hearing.of(INIT, after) == KEY


def test_a_pid_that_was_reused_joins_nothing(hearing: Kernel) -> None:
    hearing.fork(1, RUNTIME)
    told = hearing.now + 0.1
    hearing.exit(RUNTIME)
    hearing.fork(1, RUNTIME, after=0.5)
    born = hearing.fork(RUNTIME, CHILD)
    hearing.tree.places.join(KEY, RUNTIME, told - 5)  # before either
    hearing.tree.read()
    assert hearing.of(CHILD, born) is None
    hearing.tree.places.join(KEY, RUNTIME, told)
    hearing.tree.read()
    assert hearing.of(RUNTIME, told) == KEY
    assert hearing.of(CHILD, born) is None


def test_a_process_older_than_our_start_joins_if_it_still_runs(hearing: Kernel) -> None:
    hearing.now = time.time()
    hearing.tree.places.join(KEY, os.getpid(), hearing.now)
    hearing.tree.places.join(OTHER, os.getppid(), 1000.0)  # it was another's pid then
    born = hearing.fork(os.getpid(), CHILD, after=0.01)
    elsewhere = hearing.fork(os.getppid(), INIT, after=0.01)
    hearing.tree.read()
    assert hearing.of(CHILD, born) == KEY
    assert hearing.of(INIT, elsewhere) is None


def test_joins_wait_for_their_events_and_their_number_is_bounded(hearing: Kernel) -> None:
    hearing.tree.places._joining = deque(maxlen=2)  # noqa: SLF001 - the bound is the test
    for pid in (SHIM, RUNTIME, INIT):
        hearing.fork(1, pid, after=0.0001)
    for pid in (SHIM, RUNTIME, INIT):
        hearing.tree.places.join(KEY, pid, hearing.now + 0.0005)
    born = {hearing.fork(pid, CHILD + 10 + pid, after=0.001) for pid in (SHIM, RUNTIME, INIT)}
    pids = [CHILD + 10 + pid for pid in (SHIM, RUNTIME, INIT)]
    hearing.tree.read(0)  # there may be more to read
    assert [hearing.of(pid, max(born)) for pid in pids] == [None, None, None]
    hearing.tree.read()
    assert [hearing.of(pid, max(born)) for pid in pids] == [None, KEY, KEY]


def test_a_process_read_before_its_events_is_what_the_events_say(kernel: Kernel) -> None:
    """The first process is in the runtime's state before its start event is read."""
    kernel.now = float(int(kernel.now))
    kernel.created()
    kernel.tree.refresh()
    kernel.tree.lives.begin(INIT, Life(kernel.now + 0.2, ("/run/test", "new")))
    kernel.fork(SHIM, RUNTIME, after=0.1)
    begun = kernel.fork(RUNTIME, INIT, after=0.1)
    assert kernel.is_runtimes(INIT, begun + 0.05)
    kernel.now += 1
    kernel.execs(INIT)
    assert not kernel.is_runtimes(INIT, kernel.now + 0.1)


def test_what_a_runtime_made_that_is_read_after_its_end_stays_open(kernel: Kernel) -> None:
    kernel.fork(SHIM, RUNTIME)
    kernel.created()
    begun = kernel.fork(RUNTIME, INIT, after=0.01)
    kernel.now += 1
    kernel.execs(INIT)
    born = kernel.fork(INIT, CHILD)
    for pid in (CHILD, INIT, RUNTIME):
        kernel.exit(pid)
    found = [kernel.made_by(INIT, when) for when in (begun, born)]
    assert found == [call_counts.EITHER, call_counts.PROGRAM]
    assert kernel.of(INIT, begun) == ("/run/test", "new")
    assert not kernel.is_runtimes(CHILD, born)


def test_expectations_that_never_come_true_are_bounded_and_expire(
    kernel: Kernel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runc_wrap.evidence.attribution.outside_processes._MOST_EXPECTED", 1)
    kernel.now = float(int(kernel.now))
    when = rfc3339(kernel.now)
    write_ledger(tmp_path, line("a", pid=RUNTIME, time=when), line("b", pid=SHIM, time=when))
    assert kernel.of(CHILD) is None  # this reads the ledger
    born = kernel.fork(1, RUNTIME, after=0.1)
    assert kernel.of(RUNTIME, born) is None  # "b" took its place
    kernel.now -= 100
    kernel.fork(1, SHIM)  # of another time: the clock was set
    kernel.now += 99
    assert kernel.of(SHIM, kernel.fork(1, SHIM, after=0.1)) is None


def test_what_ended_before_its_runtimes_join_was_known_does_not_run_for_ever(
    hearing: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its cgroup was read at its fork; the container never ended."""
    monkeypatch.setattr(Membership, "of", lambda _, pid: KEY if pid == INIT else None)
    hearing.now = time.time()
    hearing.fork(1, RUNTIME, after=0.0)
    told = hearing.now
    hearing.fork(RUNTIME, INIT, after=0.001)
    hearing.tree.lives.begin(INIT, Life(hearing.now, KEY, None))
    hearing.exit(INIT, after=0.01)
    hearing.tree.places.join(KEY, RUNTIME, told)
    hearing.tree.read()
    hearing.exit(RUNTIME, after=0.01)
    assert hearing.tree.lives.running == {}


@pytest.mark.parametrize(("again", "key"), [((100, 1), KEY), ((200, 1), None)])
def test_a_pid_that_is_reused_while_it_is_looked_up_is_nobodys(
    tree: ProcessTree, monkeypatch: pytest.MonkeyPatch, again: tuple[int, int], key: Key | None
) -> None:
    births = iter([(100, 1), again])  # a process' start in ticks, and its parent
    monkeypatch.setattr(procfs, "born", lambda _: next(births))
    monkeypatch.setattr(Membership, "of", lambda *_: KEY)
    found = Present(tree.known).of(7, time.time())
    assert (found and found[1]) == key

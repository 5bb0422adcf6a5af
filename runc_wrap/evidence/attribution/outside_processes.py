"""Processes that are in no container, as far as is known.

`Hosts` are known to be in none: their calls cast no doubt on any container. Any user may load a
filter that logs and make calls under it. A process found outside all containers is known to be
outside, and so are its children: only a runtime leads into a container with a container's filter. A
program that a non-runtime executes is outside too, even if it ended before it could be read; what
that program executes in turn counts only within FASTEST, too soon for a runtime to have led it into
a container. Everything else is unknown.

Of a child that a container's process made by CLONE_PARENT the kernel names another parent: the
runtime, or an ancestor of the runtime, which gets its children when it ends. So the children of
these are unknown until looked at, also where the engine itself is in a pid namespace of its own.
Any other process in the pid namespace of a container that is not ours stays there, whatever it
executes, and so do its children.

`UnplacedProcesses` are recent ones that are not known to be in a container, with their parents. The
ledger may be read after a runtime has started and ended, with the container that it created: then
its descendants are found here. Or it is read before the news of the runtime's start, which is then
expected. A bounded number of both is kept, the newest.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from runc_wrap.evidence.sightings import COARSE
from runc_wrap.ledger.decision_record import Key

MOST_ALIVE, MOST_ENDED = 131_072, 16_384
FASTEST = 0.001  # seconds; a runtime takes longer from its start to a program in a container
_END_SLACK = 0.001  # seconds, as for containers' processes
# A runtime may run from its own copy, or from a mount of its file only: see process_lifetimes
_LEADING = ("runc", "crun", "youki", "runsc", "kata", "railcar", "nsenter")
_MOST_UNPLACED = 8_192
_MOST_EXPECTED = 64
# The ledger's times are whole seconds of the kernel's coarse clock (time(2)): a process that starts
# just after a second has begun may have the one before
SECOND = 1.0 + COARSE
_EARLY = 0.005  # seconds by which two clocks may differ
_LATE = 60.0  # seconds from a runtime's start to its line in the ledger


class Host(NamedTuple):
    """One process, known `since` then; its program runs since `program`; `is_plain`: no runtime.

    `is_foreign`: it is in the pid namespace of a container that is not ours.
    """

    since: float
    program: float
    is_plain: bool
    is_foreign: bool = False


class Hosts:
    """Remembers processes known to be in no container, and a bounded number of ended ones."""

    def __init__(self) -> None:
        self._alive: dict[int, Host] = {}
        self._ended: dict[int, tuple[float, float]] = {}
        self._order: deque[tuple[int, float]] = deque()
        self._leading = {1}  # the kernel may name them as parents of containers' processes

    def forget_all(self) -> None:
        """Forget all running ones: news were missed."""
        self._alive.clear()

    def looked(self, pid: int, when: float, exe: str, *, is_foreign: bool = False) -> None:
        """Note that a process runs this program, outside of all our containers."""
        before = self._alive.get(pid)
        if before or len(self._alive) < MOST_ALIVE:
            since = before.since if before else when
            self._alive[pid] = Host(since, when, _is_plain(exe), is_foreign)

    def lead(self, pids: Iterable[int]) -> None:
        """Note a runtime's ancestors: the kernel may name them as parents of its container's."""
        self._leading.update(pids)

    def executed(self, pid: int, when: float) -> None:
        """Note that a process executed a program that could not be read."""
        before = self._alive.get(pid)
        if before is None or before.is_foreign:
            return
        if before.is_plain:
            self._alive[pid] = before._replace(program=when, is_plain=False)
        elif when - before.program > FASTEST:
            self.end(pid, when - COARSE)  # a record's time may be so early

    def forked(self, parent: int, child: int, when: float) -> bool:
        """Note a new process in its parent's place; return whether to look where it is."""
        self.exited(child, when)
        found = self._alive.get(parent)
        if found is None:
            return parent in self._leading
        if parent in self._leading or not (found.is_plain or found.is_foreign):
            return True
        if len(self._alive) < MOST_ALIVE:
            self._alive[child] = found._replace(since=when)
        return False

    def exited(self, pid: int, when: float) -> None:
        """Note the end of a process."""
        self.end(pid, when)
        self._leading.discard(pid)

    def had(self, pid: int, when: float) -> bool:
        """Return whether a process of this pid was known to be in no container then."""
        alive = self._alive.get(pid)
        if alive and alive.since - COARSE <= when:
            return True
        since, end = self._ended.get(pid, (when + 1, 0.0))
        return since - COARSE <= when <= end + _END_SLACK

    def end(self, pid: int, when: float) -> None:
        """Note that a process has ended, or is in a container from now on."""
        found = self._alive.pop(pid, None)
        if found is None:
            return
        self._ended[pid] = (found.since, when)
        self._order.append((pid, when))
        if len(self._order) > MOST_ENDED:
            oldest, end = self._order.popleft()
            if self._ended.get(oldest, (0.0, 0.0))[1] == end:
                del self._ended[oldest]


def _is_plain(exe: str) -> bool:
    """Return whether a program is no runtime, by its path; "" is unknown."""
    name = exe.rpartition("/")[2]
    return bool(name) and not (
        exe.startswith("/memfd:")
        or exe.endswith(" (deleted)")
        or any(word in name for word in _LEADING)
    )


class UnplacedProcess:
    """One process, from `start` to `end`, None while it runs.

    `program` is when it first executed a program after its fork, None before.
    """

    __slots__ = ("end", "parent", "pid", "program", "start")

    def __init__(self, pid: int, parent: int, start: float) -> None:
        self.pid = pid
        self.parent = parent
        self.start = start
        self.end: float | None = None
        self.program: float | None = None


class UnplacedProcesses:
    """Remembers processes of no known container, in the order of their start."""

    def __init__(self) -> None:
        self._all: deque[UnplacedProcess] = deque()
        self._last: dict[int, UnplacedProcess] = {}
        self._expected: dict[int, tuple[float, Key]] = {}

    def forked(self, parent: int, pid: int, when: float) -> Key | None:
        """Note a new process; return the container that it is expected to create, or None."""
        self.exited(pid, when)
        second, key = self._expected.pop(pid, (0.0, None))
        if key and -_LATE < when - second < SECOND:
            return key
        one = UnplacedProcess(pid, parent, when)
        self._all.append(one)
        self._last[pid] = one
        if len(self._all) > _MOST_UNPLACED:
            oldest = self._all.popleft()
            if self._last.get(oldest.pid) is oldest:
                del self._last[oldest.pid]
        return None

    def expect(self, key: Key, pid: int, second: float) -> None:
        """Expect news of a process with this pid, within a second: it creates this container."""
        self._expected.pop(pid, None)
        self._expected[pid] = (second, key)
        if len(self._expected) > _MOST_EXPECTED:
            del self._expected[next(iter(self._expected))]

    def exited(self, pid: int, when: float) -> None:
        """Note the end of a process."""
        one = self._last.get(pid)
        if one and one.end is None:
            one.end = when

    def executed(self, pid: int, when: float) -> None:
        """Note that a process executed a program."""
        one = self._last.get(pid)
        if one and one.program is None:
            one.program = when

    def begun(self, pid: int, start: float) -> None:
        """Note a process as started before all others, unless it is known."""
        last = self._last.get(pid)
        if last is None or last.end is not None:
            self._last[pid] = UnplacedProcess(pid, 0, start)
            self._all.appendleft(self._last[pid])

    def created(self, pid: int, when: float, within: float = SECOND) -> Iterator[UnplacedProcess]:
        """Yield the process that had this pid then, and all its descendants from then on.

        Earlier children belong to what it was before, such as a shell that became the runtime.
        """
        family: dict[int, UnplacedProcess] = {}
        for one in list(self._all):
            parent = family.get(one.parent)
            is_child = parent is not None and (parent.end is None or one.start <= parent.end)
            was_there = one.start < when + within and (one.end is None or when <= one.end + _EARLY)
            if (is_child and one.start >= when - _EARLY) or (one.pid == pid and was_there):
                family[one.pid] = one
                yield one

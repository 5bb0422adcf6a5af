"""Finds out whether clone3 made namespaces, by those of the children that it started.

An audit record of clone3 lacks its flags, which lie in memory. But if they make namespaces, the
child is in other namespaces than its caller from the start. The process connector reports which
process started which; if one of them ends before it can be read, or children of that time differ,
nothing is known. Audit records show which processes have made namespaces by another call: a clone
has a record only if it makes some, and its child may be taken for clone3's.
"""

import math
import time
from collections import deque
from collections.abc import Callable
from itertools import takewhile
from typing import Any

from runc_wrap.evidence.sightings import COARSE, Sighting
from runc_wrap.evidence.store import call_counts
from runc_wrap.host import procfs
from runc_wrap.hotpath.ledger_file import Key

# linux:include/uapi/linux/sched.h; the last two have separate links for future children
_FLAGS = {
    "user": (0x10000000, "user"),
    "mnt": (0x00020000, "mnt"),
    "net": (0x40000000, "net"),
    "ipc": (0x08000000, "ipc"),
    "uts": (0x04000000, "uts"),
    "cgroup": (0x02000000, "cgroup"),
    "pid": (0x20000000, "pid_for_children"),
    "time": (0x00000080, "time_for_children"),
}
_CLONE3 = (435, 435 | 1 << 30)  # x32
_OTHERS = ("clone", "unshare", "setns")
_MOST_FORKS = 8192
_EARLY, _LATE = 0.005, 0.1  # seconds from a call's record to the start of its child
_MOST_MOVED = 1024
_MOST_WAITING = 256
_MOST_LOOKS = 200  # a second: some 2 % of a CPU


class Namespaces:
    """Remembers recent parents and children, and processes that make namespaces by other calls."""

    def __init__(self) -> None:
        self._forks: deque[tuple[float, int, int]] = deque(maxlen=_MOST_FORKS)  # by time
        self._moved: deque[int] = deque(maxlen=_MOST_MOVED)
        self.begun: Callable[[int, int, float], object] = lambda *_: None  # called at each fork

    def forked(self, parent: int, child: int, when: float) -> None:
        """Note a new process in what may be a logged container."""
        self._forks.append((when, parent, child))
        self.begun(parent, child, when)

    def note(self, one: Sighting) -> None:
        """Note a process that makes or joins namespaces by another call."""
        if call_counts.name_of(one.arch, one.number) in _OTHERS:
            self._moved.append(one.pid)

    def has_moved(self, pids: list[int]) -> bool:
        """Return whether one of these made or joined namespaces by another call."""
        return any(pid in self._moved for pid in pids)

    def children(self, one: Sighting) -> list[int]:
        """Return the processes that a call may have started; none if some are forgotten."""
        begin, end = one.time - _EARLY, one.time + _LATE
        if len(self._forks) == _MOST_FORKS and self._forks[0][0] >= begin:
            return []
        # CPUs report in nearly the order of time
        recent = takewhile(lambda fork: fork[0] >= begin - _LATE, reversed(self._forks))
        of = (each for each in recent if each[1] == one.pid)
        return [child for when, _, child in of if begin <= when <= end]


class Clones:
    """Counts calls by `count`, each clone3 with the namespaces that its children show.

    Each child is read at the news of its start, but a clone3 waits until all that may be its own
    are known, by `has_told`: one that another call started, before or after, may be in other
    namespaces. One that made namespaces waits until `settle`, when other calls that make some are
    known.
    """

    def __init__(
        self,
        namespaces: Namespaces,
        count: Callable[..., None],
        has_told: Callable[[float], bool] = lambda _: True,
    ) -> None:
        self._namespaces = namespaces
        self._count = count
        self._has_told = has_told
        self._asked: deque[tuple[Key, Sighting, dict[str, Any]]] = deque()
        self._read: dict[int, dict[int, int | None]] = {}  # what each child made, by its parent
        self._made: list[tuple[Key, Sighting, int, list[int], dict[str, Any]]] = []
        self._looks = _Rate()
        self._reads = _Rate()
        namespaces.begun = self._look

    def add(self, key: Key | None, one: Sighting, **counted: Any) -> None:  # noqa: ANN401 - as `count` has it
        """Count a call; `counted` are further arguments of `count`."""
        self._decide(one.time - _LATE)
        is_asked = one.number in _CLONE3 and one.args is None
        has_room = len(self._made) + len(self._asked) < _MOST_WAITING
        if key is None or not (is_asked and self._looks.allows(one.time) and has_room):
            self._count(key, one, **counted)
            return
        self._asked.append((key, one, counted))
        self._read.setdefault(one.pid, {})
        for child in self._namespaces.children(one):
            self._look(one.pid, child, one.time)

    def _look(self, pid: int, child: int, when: float) -> None:
        """Read the namespaces of a child, if a clone3 of its parent waits."""
        self._decide(when - _LATE - COARSE)
        read = self._read.get(pid)
        if read is not None and child not in read:
            read[child] = made_by(pid, child) if self._reads.allows(when) else None

    def _decide(self, until: float) -> None:
        """Count what was called by then; if not all its children are known, nothing is."""
        while self._asked and self._asked[0][1].time < until:
            key, one, counted = self._asked.popleft()
            children = self._namespaces.children(one)
            found = [self._read[one.pid].get(child) for child in children]
            end = one.time + _LATE
            # if they differ, one is another call's
            is_known = end < time.time() and self._has_told(end) and len(set(found)) == 1
            made = found[0] if is_known else None
            if made:
                self._made.append((key, one, made, children, counted))
            else:
                self._count(key, _with(one, made), **counted)
            if all(other.pid != one.pid for _, other, _ in self._asked):
                del self._read[one.pid]

    def settle(self) -> None:
        """Count the calls that wait."""
        self._decide(math.inf)
        waiting, self._made = self._made, []
        for key, one, made, children, counted in waiting:
            is_others = self._namespaces.has_moved([one.pid, *children])
            self._count(key, one if is_others else _with(one, made), **counted)


class _Rate:
    """Bounds how often something is done in a second."""

    def __init__(self) -> None:
        self._second = self._done = 0

    def allows(self, when: float) -> bool:
        if int(when) != self._second:
            self._second, self._done = int(when), 0
        self._done += 1
        return self._done <= _MOST_LOOKS


def _with(one: Sighting, made: int | None) -> Sighting:
    """Return a clone3 with the flags that are known: those for namespaces only."""
    return one if made is None else one._replace(args=(made, None, None, None, None, None))


def made_by(parent: int, child: int) -> int | None:
    """Return the namespaces that a child does not share, as clone's flags; None if unknown."""
    theirs = _links(parent, [name for _, name in _FLAGS.values()])
    own = _links(child, list(_FLAGS)) if theirs else {}
    if not own:
        return None
    pairs = ((flag, own.get(name), theirs.get(of)) for name, (flag, of) in _FLAGS.items())
    return sum(flag for flag, link, other in pairs if link and other and link != other)


def _links(pid: int, names: list[str]) -> dict[str, str]:
    """Return a process' namespaces, {} if it has ended."""
    found = {name: link for name in names if (link := procfs.namespace(pid, name))}
    return found if "user" in found else {}

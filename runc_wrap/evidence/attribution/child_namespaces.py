"""Finds out whether clone3 made namespaces, by those of the children that it started.

An audit record of clone3 lacks its flags, which lie in memory. But if they make namespaces, the
child is in other namespaces than its caller from the start. The process connector reports which
process started which; if one of them ends before it can be read, nothing is known. Audit records
show which processes have made namespaces by another call: a clone has a record only if it makes
some, and its child may be taken for clone3's.
"""

from __future__ import annotations

from collections import deque

from runc_wrap.evidence.store import call_counts
from runc_wrap.host import procfs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from runc_wrap.evidence.model import Sighting
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
_REMEMBERED = 5.0  # seconds
_MOST_CHILDREN = 8  # children of one call that are read
_EARLY, _LATE = 0.005, 0.1  # seconds from a call's record to the start of its child
_MOST_MOVED = 1024
_MOST_WAITING = 256
_MOST_LOOKS = 200  # a second: some 2 % of a CPU


class Namespaces:
    """Remembers recent parents and children, and processes that make namespaces by other calls."""

    def __init__(self) -> None:
        self._forks: dict[int, list[tuple[float, int]]] = {}
        self._count = 0
        self._moved: deque[int] = deque(maxlen=_MOST_MOVED)
        self.begun: Callable[[int], object] | None = None  # called with the pid of each parent

    def forked(self, parent: int, child: int, when: float) -> None:
        """Note a new process in what may be a logged container."""
        self._forks.setdefault(parent, []).append((when, child))
        self._count += 1
        if self._count > _MOST_FORKS:
            self._forget(when - _REMEMBERED)
        if self.begun:
            self.begun(parent)

    def _forget(self, before: float) -> None:
        """Forget children from before; forget all if more than half would be left."""
        recent = {
            parent: [one for one in children if one[0] >= before]
            for parent, children in self._forks.items()
        }
        self._forks = {parent: children for parent, children in recent.items() if children}
        self._count = sum(map(len, self._forks.values()))
        if self._count > _MOST_FORKS // 2:
            self._forks, self._count = {}, 0

    def note(self, one: Sighting) -> None:
        """Note a process that makes or joins namespaces by another call."""
        if call_counts.name_of(one.arch, one.number) in _OTHERS:
            self._moved.append(one.pid)

    def has_moved(self, pids: list[int]) -> bool:
        """Return whether one of these made or joined namespaces by another call."""
        return any(pid in self._moved for pid in pids)

    def children(self, one: Sighting) -> list[int]:
        """Return the processes that a call may have started."""
        begin, end = one.time - _EARLY, one.time + _LATE
        return [child for when, child in self._forks.get(one.pid, ()) if begin <= when <= end]


class Clones:
    """Counts calls by `count`, each clone3 with the namespaces that its children show.

    A clone3 waits for news of its children, at most until `settle`. One that made namespaces always
    waits until then, when other calls that make some are known.
    """

    def __init__(self, namespaces: Namespaces, count: Callable[..., None]) -> None:
        self._namespaces = namespaces
        self._count = count
        self._asked: dict[int, tuple[Key, Sighting, dict[str, Any]]] = {}
        self._made: list[tuple[Key, Sighting, int, list[int], dict[str, Any]]] = []
        self._second = self._looks = 0
        namespaces.begun = self._look

    def add(self, key: Key | None, one: Sighting, **counted: Any) -> None:  # noqa: ANN401 - as `count` has it
        """Count a call; `counted` are further arguments of `count`."""
        is_asked = one.number in _CLONE3 and one.args is None
        if key is None or not is_asked or not self._may_look(int(one.time)):
            self._count(key, one, **counted)
            return
        if one.pid in self._asked:
            self._give_up(one.pid)
        self._asked[one.pid] = key, one, counted
        self._look(one.pid)

    def _look(self, pid: int) -> None:
        """Read the namespaces of a call's children, if any are known."""
        if pid not in self._asked:
            return
        key, one, counted = self._asked[pid]
        children = self._namespaces.children(one)
        if not children:
            return
        del self._asked[pid]
        made = flags(pid, children)
        if made:
            self._made.append((key, one, made, children, counted))
        else:
            self._count(key, _with(one, made), **counted)

    def _give_up(self, pid: int) -> None:
        key, one, counted = self._asked.pop(pid)
        self._count(key, one, **counted)

    def _may_look(self, second: int) -> bool:
        if second != self._second:
            self._second, self._looks = second, 0
        self._looks += 1
        return self._looks <= _MOST_LOOKS and len(self._made) + len(self._asked) < _MOST_WAITING

    def settle(self) -> None:
        """Count the calls that wait."""
        for pid in list(self._asked):
            self._give_up(pid)
        waiting, self._made = self._made, []
        for key, one, made, children, counted in waiting:
            is_others = self._namespaces.has_moved([one.pid, *children])
            self._count(key, one if is_others else _with(one, made), **counted)


def _with(one: Sighting, made: int | None) -> Sighting:
    """Return a clone3 with the flags that are known: those for namespaces only."""
    return one if made is None else one._replace(args=(made, None, None, None, None, None))


def flags(parent: int, children: list[int]) -> int | None:
    """Return the namespaces that a call made, as clone's flags; None if unknown."""
    theirs = _links(parent, [name for _, name in _FLAGS.values()])
    if not theirs or not 0 < len(children) <= _MOST_CHILDREN:
        return None
    found = [_made(theirs, child) for child in children]
    made = 0
    for one in found:
        made |= one or 0
    return made if made or None not in found else None


def _made(theirs: dict[str, str], child: int) -> int | None:
    own = _links(child, list(_FLAGS))
    if not own:
        return None
    pairs = ((flag, own.get(name), theirs.get(of)) for name, (flag, of) in _FLAGS.items())
    return sum(flag for flag, link, other in pairs if link and other and link != other)


def _links(pid: int, names: list[str]) -> dict[str, str]:
    """Return a process' namespaces, {} if it has ended."""
    found = {name: link for name in names if (link := procfs.namespace(pid, name))}
    return found if "user" in found else {}

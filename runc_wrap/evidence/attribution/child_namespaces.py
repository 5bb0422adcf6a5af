"""Whether clone3 made namespaces, told by the processes that it began.

An audit record of clone3 is without its flags: those lie in memory. But if these make namespaces, a
process that it began is in others than its caller from its first moment on. Who began whom is told
by the process connector; where one of them is gone before it can be looked at, nothing is known.
Who has made namespaces by another call since then is told by a record of that.
"""

from __future__ import annotations

from collections import deque

from runc_wrap.host import procfs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from runc_wrap.evidence.attribution.container_index import Key
    from runc_wrap.evidence.model import Sighting

# linux:include/uapi/linux/sched.h; what a child gets is told apart for the last two
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
_OTHERS = frozenset({272, 308, 310, 346, 97, 268})  # unshare and setns: x86_64, x86, generic
_MOST_FORKS = 8192
_REMEMBERED = 5.0  # seconds
_MOST_CHILDREN = 8  # of one call: at most so many are looked at
_EARLY, _LATE = 0.005, 0.1  # seconds between a call's record and the process that it begins
_MOST_MOVED = 1024
_MOST_WAITING = 256
_MOST_LOOKS = 200  # a second: some 2 % of a CPU


class Namespaces:
    """Remembers who began whom a moment ago, and who makes namespaces by another call."""

    def __init__(self) -> None:
        self._forks: dict[int, list[tuple[float, int]]] = {}
        self._count = 0
        self._moved: deque[int] = deque(maxlen=_MOST_MOVED)
        self.begun: Callable[[int], object] | None = None  # called with who has begun another

    def forked(self, parent: int, child: int, when: float) -> None:
        """Note a process that began in what may be a container that is logged."""
        self._forks.setdefault(parent, []).append((when, child))
        self._count += 1
        if self._count > _MOST_FORKS:
            self._forget(when - _REMEMBERED)
        if self.begun:
            self.begun(parent)

    def _forget(self, before: float) -> None:
        """Forget what began before; everything, if that would not be the half of it."""
        recent = {
            parent: [one for one in children if one[0] >= before]
            for parent, children in self._forks.items()
        }
        self._forks = {parent: children for parent, children in recent.items() if children}
        self._count = sum(map(len, self._forks.values()))
        if self._count > _MOST_FORKS // 2:
            self._forks, self._count = {}, 0

    def heard(self, one: Sighting) -> None:
        """Note who makes namespaces, or joins some, by a call that is known for it."""
        if one.number in _OTHERS:
            self._moved.append(one.pid)

    def has_moved(self, pids: list[int]) -> bool:
        """Return whether one of these made namespaces otherwise."""
        return any(pid in self._moved for pid in pids)

    def children(self, one: Sighting) -> list[int]:
        """Return whom a call may have begun."""
        begin, end = one.time - _EARLY, one.time + _LATE
        return [child for when, child in self._forks.get(one.pid, ()) if begin <= when <= end]


class Clones:
    """Counts calls by `count`, each clone3 with the namespaces that it made, if its children tell.

    It waits for news of them, until `settle` at most; and one that made some until then, when it is
    known who makes some by another call.
    """

    def __init__(self, namespaces: Namespaces, count: Callable[..., None]) -> None:
        self._namespaces = namespaces
        self._count = count
        self._asked: dict[int, tuple[Key, Sighting, dict[str, Any]]] = {}
        self._made: list[tuple[Key, Sighting, int, list[int], dict[str, Any]]] = []
        self._second = self._looks = 0
        namespaces.begun = self._look

    def add(self, key: Key | None, one: Sighting, **counted: Any) -> None:  # noqa: ANN401 - as `count` has it
        """Count a call; `counted` are `count`'s own words."""
        is_asked = one.number in _CLONE3 and one.args is None
        if key is None or not is_asked or not self._may_look(int(one.time)):
            self._count(key, one, **counted)
            return
        if one.pid in self._asked:
            self._give_up(one.pid)
        self._asked[one.pid] = key, one, counted
        self._look(one.pid)

    def _look(self, pid: int) -> None:
        """Look at whom a call has begun, if anybody is known."""
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
        """Count those that wait."""
        for pid in list(self._asked):
            self._give_up(pid)
        waiting, self._made = self._made, []
        for key, one, made, children, counted in waiting:
            is_others = self._namespaces.has_moved([one.pid, *children])
            self._count(key, one if is_others else _with(one, made), **counted)


def _with(one: Sighting, made: int | None) -> Sighting:
    """Return a clone3 with what is known of its flags: those of namespaces, and no others."""
    return one if made is None else one._replace(args=(made, 0, 0, 0, 0, 0))


def flags(parent: int, children: list[int]) -> int | None:
    """Return which namespaces a call made, as clone's flags; None if that cannot be known."""
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
    """Return a process' namespaces, {} if it is gone."""
    found = {name: link for name in names if (link := procfs.namespace(pid, name))}
    return found if "user" in found else {}

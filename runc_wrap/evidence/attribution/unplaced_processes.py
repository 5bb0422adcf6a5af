"""Processes that are in no container as far as known yet: who was whose child, for a short while.

The ledger may be read after a runtime has come and gone, with the container that it created: then
its descendants are found here. Or it is read before the news of the runtime's coming, which is then
expected. A bounded number is kept of both, the newest.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runc_wrap.evidence.attribution.container_index import Key

MOST = 8_192
_MOST_EXPECTED = 64
_SECOND = 1.0  # the ledger's times are whole seconds
_EARLY = 0.005  # seconds by which two clocks may differ
_LATE = 60.0  # seconds from a runtime's start to its line there


class Stranger:
    """One process, from when to when; `end` is None while it is there.

    `program` is when it first became another program than who forked it, None before.
    """

    __slots__ = ("end", "parent", "pid", "program", "start")

    def __init__(self, pid: int, parent: int, start: float) -> None:
        self.pid = pid
        self.parent = parent
        self.start = start
        self.end: float | None = None
        self.program: float | None = None


class Strangers:
    """Remembers them, in the order of their beginning."""

    def __init__(self) -> None:
        self._all: deque[Stranger] = deque()
        self._last: dict[int, Stranger] = {}
        self._expected: dict[int, tuple[float, Key]] = {}

    def __len__(self) -> int:
        return len(self._all)

    def forked(self, parent: int, pid: int, when: float) -> Key | None:
        """Note a new process; return the container that it was expected to create."""
        self.exited(pid, when)
        second, key = self._expected.pop(pid, (0.0, None))
        if key and -_LATE < when - second < _SECOND:
            return key
        one = Stranger(pid, parent, when)
        self._all.append(one)
        self._last[pid] = one
        if len(self._all) > MOST:
            oldest = self._all.popleft()
            if self._last.get(oldest.pid) is oldest:
                del self._last[oldest.pid]
        return None

    def expect(self, key: Key, pid: int, second: float) -> None:
        """Expect the news of a process that had this pid within a second: it creates this one."""
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
        """Note that a process is another program now."""
        one = self._last.get(pid)
        if one and one.program is None:
            one.program = when

    def begun(self, pid: int, start: float) -> None:
        """Note a process that began before all others, if it is not known."""
        last = self._last.get(pid)
        if last is None or last.end is not None:
            self._last[pid] = Stranger(pid, 0, start)
            self._all.appendleft(self._last[pid])

    def created(self, pid: int, when: float, within: float = _SECOND) -> Iterator[Stranger]:
        """Yield the process that had this pid then, and all descendants that it had from then on.

        Those from before are of what it was before: a shell that became the runtime, say.
        """
        family: dict[int, Stranger] = {}
        for one in list(self._all):
            parent = family.get(one.parent)
            is_child = parent is not None and (parent.end is None or one.start <= parent.end)
            if (is_child and one.start >= when - _EARLY) or (
                one.pid == pid and _was_there(one, when, within)
            ):
                family[one.pid] = one
                yield one


def _was_there(one: Stranger, when: float, within: float) -> bool:
    return one.start < when + within and (one.end is None or when <= one.end + _EARLY)

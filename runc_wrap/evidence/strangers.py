"""Processes that are in no container as far as known yet: who was whose child, for a short while.

The ledger may be read after a runtime has come and gone, with the container that it created: then
its descendants are found here. A bounded number is kept, the newest. Lean: the agent has it.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

MOST = 8_192
_SECOND = 1.0  # the ledger's times are whole seconds


class Stranger:
    """One process, from when to when; `end` is None while it is there."""

    __slots__ = ("end", "parent", "pid", "start")

    def __init__(self, pid: int, parent: int, start: float) -> None:
        self.pid = pid
        self.parent = parent
        self.start = start
        self.end: float | None = None


class Strangers:
    """Remembers them, in the order of their beginning."""

    def __init__(self) -> None:
        self._all: deque[Stranger] = deque()
        self._last: dict[int, Stranger] = {}

    def __len__(self) -> int:
        return len(self._all)

    def forked(self, parent: int, pid: int, when: float) -> None:
        """Note a new process."""
        self.exited(pid, when)
        one = Stranger(pid, parent, when)
        self._all.append(one)
        self._last[pid] = one
        if len(self._all) > MOST:
            oldest = self._all.popleft()
            if self._last.get(oldest.pid) is oldest:
                del self._last[oldest.pid]

    def exited(self, pid: int, when: float) -> None:
        """Note the end of a process."""
        one = self._last.get(pid)
        if one and one.end is None:
            one.end = when

    def created(self, pid: int, second: float) -> Iterator[Stranger]:
        """Yield the process that had this pid within a second, and all its descendants."""
        family: dict[int, Stranger] = {}
        for one in list(self._all):
            parent = family.get(one.parent)
            is_child = parent is not None and (parent.end is None or one.start <= parent.end)
            if is_child or (one.pid == pid and _was_there(one, second)):
                family[one.pid] = one
                yield one


def _was_there(one: Stranger, second: float) -> bool:
    return one.start < second + _SECOND and (one.end is None or second <= one.end)

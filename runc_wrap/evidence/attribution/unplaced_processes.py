"""Recent processes that are not known to be in a container, with their parents.

The ledger may be read after a runtime has started and ended, with the container that it created:
then its descendants are found here. Or it is read before the news of the runtime's start, which is
then expected. A bounded number of both is kept, the newest.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from runc_wrap.evidence.attribution.clock_precision import COARSE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runc_wrap.hotpath.ledger_file import Key

MOST = 8_192
_MOST_EXPECTED = 64
# The ledger's times are whole seconds of the kernel's coarse clock (time(2)): a process that starts
# just after a second has begun may have the one before
SECOND = 1.0 + COARSE
_EARLY = 0.005  # seconds by which two clocks may differ
_LATE = 60.0  # seconds from a runtime's start to its line in the ledger


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
    """Remembers such processes, in the order of their start."""

    def __init__(self) -> None:
        self._all: deque[UnplacedProcess] = deque()
        self._last: dict[int, UnplacedProcess] = {}
        self._expected: dict[int, tuple[float, Key]] = {}

    def __len__(self) -> int:
        return len(self._all)

    def forked(self, parent: int, pid: int, when: float) -> Key | None:
        """Note a new process; return the container that it is expected to create, or None."""
        self.exited(pid, when)
        second, key = self._expected.pop(pid, (0.0, None))
        if key and -_LATE < when - second < SECOND:
            return key
        one = UnplacedProcess(pid, parent, when)
        self._all.append(one)
        self._last[pid] = one
        if len(self._all) > MOST:
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
            if (is_child and one.start >= when - _EARLY) or (
                one.pid == pid and _was_there(one, when, within)
            ):
                family[one.pid] = one
                yield one


def _was_there(one: UnplacedProcess, when: float, within: float) -> bool:
    return one.start < when + within and (one.end is None or when <= one.end + _EARLY)

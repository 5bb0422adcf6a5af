"""Processes known to be in no container: their calls cast no doubt on any container.

Any user may load a filter that logs and make calls under it. A process found outside all containers
is known to be outside, and so are its children: only a runtime leads into a container with a
container's filter. A program that a non-runtime executes is outside too, even if it ended before it
could be read; what that program executes in turn counts only within FASTEST, too soon for a runtime
to have led it into a container. Everything else is unknown.

Of a child that a container's process made by CLONE_PARENT the kernel names another parent: the
runtime, or an ancestor of the runtime, which gets its children when it ends. So the children of
these are unknown until looked at, also where the engine itself is in a pid namespace of its own.
Any other process in the pid namespace of a container that is not ours stays there, whatever it
executes, and so do its children.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from runc_wrap.evidence.attribution.clock_precision import COARSE

if TYPE_CHECKING:
    from collections.abc import Iterable

MOST_ALIVE, MOST_ENDED = 131_072, 16_384
FASTEST = 0.001  # seconds; a runtime takes longer from its start to a program in a container
_END_SLACK = 0.001  # seconds, as for containers' processes
# A runtime may run from its own copy, or from a mount of its file only: see runtime_programs
_LEADING = ("runc", "crun", "youki", "runsc", "kata", "railcar", "nsenter")
_COPY, _GONE = "/memfd:", " (deleted)"


class Host(NamedTuple):
    """One process, known `since` then; its program runs since `program`; `is_plain`: no runtime.

    `is_foreign`: it is in the pid namespace of a container that is not ours.
    """

    since: float
    program: float
    is_plain: bool
    is_foreign: bool = False


class Hosts:
    """Remembers such processes, and a bounded number of ended ones."""

    def __init__(self) -> None:
        self._alive: dict[int, Host] = {}
        self._ended: dict[int, tuple[float, float]] = {}
        self._order: deque[tuple[int, float]] = deque()
        self._leading = {1}  # the kernel may name them as parents of containers' processes

    def __len__(self) -> int:
        return len(self._alive) + len(self._ended)

    def forget_all(self) -> None:
        """Forget all running ones: news were missed."""
        self._alive.clear()

    def looked(self, pid: int, when: float, exe: str, *, is_foreign: bool = False) -> None:
        """Note that a process runs this program, outside of all our containers."""
        before = self._alive.get(pid)
        if before or len(self._alive) < MOST_ALIVE:
            since = before.since if before else when
            self._alive[pid] = Host(since, when, is_plain(exe), is_foreign)

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
            self._end(pid, when - COARSE)  # a record's time may be so early

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
        self._end(pid, when)
        self._leading.discard(pid)

    def joined(self, pid: int, when: float) -> None:
        """Note that a process is in a container from now on."""
        self._end(pid, when)

    def had(self, pid: int, when: float) -> bool:
        """Return whether a process of this pid was known to be in no container then."""
        alive = self._alive.get(pid)
        if alive and alive.since - COARSE <= when:
            return True
        since, end = self._ended.get(pid, (when + 1, 0.0))
        return since - COARSE <= when <= end + _END_SLACK

    def _end(self, pid: int, when: float) -> None:
        found = self._alive.pop(pid, None)
        if found is None:
            return
        self._ended[pid] = (found.since, when)
        self._order.append((pid, when))
        if len(self._order) > MOST_ENDED:
            oldest, end = self._order.popleft()
            if self._ended.get(oldest, (0.0, 0.0))[1] == end:
                del self._ended[oldest]


def is_plain(exe: str) -> bool:
    """Return whether a program is no runtime, by its path; "" is unknown."""
    name = exe.rpartition("/")[2]
    return bool(name) and not (
        exe.startswith(_COPY) or exe.endswith(_GONE) or any(word in name for word in _LEADING)
    )

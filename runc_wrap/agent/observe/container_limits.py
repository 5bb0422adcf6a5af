"""Limits of what one container may cost the others: calls answered, callers read, time for reading.

Beyond its rate a container's calls wait in the kernel: one that floods slows itself and no other. A
wake-up for each message that is not urgent would cost more than reading the messages.

Of a workload that floods, only samples are read: beyond FULL calls a second, a result for the same
thread from the last second is reused, and most threads without one are not read. Every call is
counted all the same.
"""

import select
import time
from collections.abc import Iterable, Mapping
from typing import NamedTuple  # evidence.sightings has loaded it

Whose = tuple[str, str]

# Calls a second: some 5 % of a CPU, or 20 % with clone3, whose flags are read each time. A loop
# that starts programs makes fewer; threads that only start and end may make five times as many.
RATE = 2000
BURST = 10_000  # calls at once, after some seconds with fewer
REST = 0.05  # seconds: longer would be noticed, shorter wakes the process more often
WAKE_EVERY = 0.25  # that a descriptor rests
MOST = 1000  # messages that may come meanwhile; the connector's buffer holds ten times as many
FULL = 200  # calls a second of one container whose callers are all read
EACH = 16  # beyond those, one caller in so many is read
PATIENCE = 0.05  # seconds in all that reading one container's callers may hold up others
WAITING = 1.0  # seconds in all that its calls may wait for an inspector to start or get a CPU
_UNNOTICED = 0.001  # seconds: a read up to this long is not counted


def whose(state: Mapping[str, object]) -> Whose:
    """Return the id and bundle in a listener's state, by which its container is known.

    Its runtime sends them with every listener; all listeners without them count as one.
    """
    name, bundle = state.get("id"), state.get("bundle")
    return (name if isinstance(name, str) else "", bundle if isinstance(bundle, str) else "")


class Caller(NamedTuple):
    """A process: its id (tgid) in the initial namespace, user, name and program, "" if unknown."""

    pid: int
    uid: int = 0
    comm: str = ""
    exe: str = ""


class ObservedContainer:
    """What all listeners of one container share: each process that joins it brings one more.

    It has ended with its last listener: its first process holds one as long as it lives.

    `patience` is how long reading about its callers may still take; 0: nothing is read. `waiting`
    is how long its calls may still wait for the inspector. It rests `until` then (monotonic clock):
    no more of its calls are answered before. The processes of its `threads` are remembered for a
    second.
    """

    def __init__(self, name: Whose) -> None:
        self.whose = name
        self.patience = PATIENCE
        self.waiting = WAITING
        self.until = 0.0
        self._left, self._at = float(BURST), time.monotonic()
        self._begin, self._seen = 0.0, 0
        self.threads: dict[int, Caller] = {}

    @property
    def may_be_read(self) -> bool:
        """Return whether anything is read about its callers."""
        return self.patience > _UNNOTICED

    def spend(self, seconds: float) -> bool:
        """Subtract the time that a read took, and return whether none is left."""
        if seconds > _UNNOTICED:
            self.patience -= seconds
        return not self.may_be_read

    def answered(self) -> None:
        """Count a call; after the last, the container's listeners are paused as they call."""
        now = time.monotonic()
        self._left = min(self._left + (now - self._at) * RATE, BURST) - 1
        self._at = now
        if self._left < 1:
            self.until = now + REST

    def known(self, tid: int, now: float) -> Caller | None:
        """Return a thread's process; None if it is to be read, and put into `threads`.

        `now` is of a clock that does not go back.
        """
        if now - self._begin >= 1.0:
            self._begin, self._seen = now, 0
            self.threads.clear()
        self._seen += 1
        if self._seen <= FULL:
            return None
        if known := self.threads.get(tid):
            return known
        return Caller(tid) if self._seen % EACH else None


class Resting:
    """Takes descriptors out of `poll` for a while."""

    def __init__(self, poll: select.epoll) -> None:
        self._poll = poll
        self._until: dict[int, float] = {}  # on the monotonic clock
        self._rests: dict[int, tuple[int, float]] = {}  # messages at the last rest, its seconds

    def rest(self, fd: int, taken: int) -> None:
        """Do not wait for it for WAKE_EVERY, or less if over MOST messages came during the last.

        `taken` is how many were ever read. Repeated calls do not prolong the pause.
        """
        if fd in self._until:
            return
        before, seconds = self._rests.get(fd, (taken, WAKE_EVERY))
        seconds = min(seconds * MOST / max(taken - before, 1), WAKE_EVERY)
        self._rests[fd] = (taken, seconds)
        self.rest_until(fd, time.monotonic() + seconds)

    def rest_until(self, fd: int, until: float) -> None:
        """Do not wait for it until then; that it has hung up is reported all the same."""
        self._poll.modify(fd, 0)
        self._until[fd] = until

    def forget(self, fd: int) -> None:
        """Forget a descriptor that is in `poll` no more."""
        self._until.pop(fd, None)

    def wake(self, fds: Iterable[int]) -> None:
        """Wait for these again at once."""
        for fd in fds:
            if fd in self._until:
                self._poll.modify(fd, select.EPOLLIN)
                del self._until[fd]

    def wake_due(self) -> None:
        """Wait again for descriptors whose pause is over."""
        if self._until:
            now = time.monotonic()
            self.wake([fd for fd, until in self._until.items() if until <= now])

    def due(self) -> list[float]:
        """Return when `wake_due` has something to do."""
        return [*self._until.values()]

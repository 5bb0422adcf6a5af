"""Limits the calls a second that are answered for one container, and a descriptor's wake-ups.

Beyond that a container's calls wait in the kernel: one that floods slows itself and no other. A
wake-up for each message that is not urgent would cost more than reading the messages.
"""

from __future__ import annotations

import select
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

# Calls a second: some 5 % of a CPU, or 20 % with clone3, whose flags are read each time. A loop
# that starts programs makes fewer; threads that only start and end may make five times as many.
RATE = 2000
BURST = 10_000  # calls at once, after some seconds with fewer
REST = 0.05  # seconds: longer would be noticed, shorter wakes the process more often
WAKE_EVERY = 0.25  # that a descriptor rests
MOST = 1000  # messages that may come meanwhile; the connector's buffer holds ten times as many


class Pace:
    """How many calls of one container may still be answered; it rests `until` then."""

    __slots__ = ("_at", "_left", "until")

    def __init__(self) -> None:
        self._left = float(BURST)
        self._at = time.monotonic()
        self.until = 0.0  # on the monotonic clock

    def answered(self) -> None:
        """Count a call; after the last, the container's listeners are paused as they call."""
        now = time.monotonic()
        self._left = min(self._left + (now - self._at) * RATE, BURST) - 1
        self._at = now
        if self._left < 1:
            self.until = now + REST


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

"""Limits how often a descriptor that is not urgent wakes the process: a few times a second.

A wake-up for each message would cost more than reading the messages.
"""

from __future__ import annotations

import select
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

SECONDS = 0.25
MOST = 1000  # messages that may come meanwhile; the connector's buffer holds ten times as many


class Resting:
    """Takes descriptors out of `poll` for a while."""

    def __init__(self, poll: select.epoll) -> None:
        self._poll = poll
        self._until: dict[int, float] = {}  # on the monotonic clock
        self._rests: dict[int, tuple[int, float]] = {}  # messages at the last rest, its seconds

    def rest(self, fd: int, taken: int) -> None:
        """Do not wait for it for SECONDS, or less if more than MOST messages came during the last.

        `taken` is how many were ever read. Repeated calls do not prolong the pause.
        """
        if fd in self._until:
            return
        before, seconds = self._rests.get(fd, (taken, SECONDS))
        seconds = min(seconds * MOST / max(taken - before, 1), SECONDS)
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

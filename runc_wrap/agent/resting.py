"""Descriptors that need not be heard at once: each wakes the process a few times a second at most.

A wake-up for each of them would cost more than what there is to hear. Lean.
"""

from __future__ import annotations

import select
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

SECONDS = 0.25


class Resting:
    """Takes descriptors out of what `poll` waits for, for a while."""

    def __init__(self, poll: select.epoll) -> None:
        self._poll = poll
        self._until: dict[int, float] = {}  # on the monotonic clock

    def rest(self, fd: int) -> None:
        """Do not wait for it for SECONDS; it rests already: no longer for that."""
        if fd not in self._until:
            self._until[fd] = time.monotonic() + SECONDS
            self._poll.modify(fd, 0)

    def wake(self, fds: Iterable[int]) -> None:
        """Wait for these again."""
        for fd in fds:
            if self._until.pop(fd, None) is not None:
                self._poll.modify(fd, select.EPOLLIN)

    def wake_due(self) -> None:
        """Wait again for those that have rested."""
        if self._until:
            now = time.monotonic()
            self.wake([fd for fd, until in self._until.items() if until <= now])

    def due(self) -> list[float]:
        """Return when `wake_due` has something to do."""
        return [*self._until.values()]

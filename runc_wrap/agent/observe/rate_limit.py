"""Limits how many calls a second are answered for one container, over all its listeners.

Beyond that its calls wait in the kernel: a container that floods slows itself and no other.
"""

from __future__ import annotations

import select
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runc_wrap.agent.observe.observed_container import Whose

# Calls a second: some 5 % of a CPU, or 20 % with clone3, whose flags are read each time. A loop
# that starts programs makes fewer; threads that only start and end may make five times as many.
RATE = 2000
BURST = 10_000  # calls at once, after some seconds with fewer
REST = 0.05  # seconds: longer would be noticed, shorter wakes the process more often


class Pace:
    """How many calls of one container may still be answered."""

    __slots__ = ("_at", "_left")

    def __init__(self, now: float) -> None:
        self._left = float(BURST)
        self._at = now

    def is_spent(self, now: float) -> bool:
        """Count one call, and return whether it was the last for now."""
        self._left = min(self._left + (now - self._at) * RATE, BURST) - 1
        self._at = now
        return self._left < 1


class Pacing:
    """Takes listeners out of `poll` while their container has sent too many calls."""

    def __init__(self, poll: select.epoll) -> None:
        self._poll = poll
        self._paces: dict[Whose, Pace] = {}
        self._until: dict[Whose, float] = {}  # on the monotonic clock
        self._resting: dict[int, Whose] = {}

    def may_answer(self, whose: Whose, fd: int) -> bool:
        """Return whether a listener may be answered; if not, pause it with its container."""
        if whose not in self._until:
            return True
        self._poll.modify(fd, 0)  # EPOLLHUP is reported all the same
        self._resting[fd] = whose
        return False

    def answered(self, whose: Whose) -> None:
        """Count a call; after the last, the container's listeners are paused as they call."""
        now = time.monotonic()
        pace = self._paces.get(whose)
        if pace is None:
            pace = self._paces[whose] = Pace(now)
        if pace.is_spent(now):
            self._until[whose] = now + REST

    def wake_due(self) -> None:
        """Wait again for listeners whose pause is over."""
        if not self._until:
            return
        now = time.monotonic()
        over = {whose for whose, until in self._until.items() if until <= now}
        for whose in over:
            del self._until[whose]
        for fd in [fd for fd, whose in self._resting.items() if whose in over]:
            del self._resting[fd]
            self._poll.modify(fd, select.EPOLLIN)

    def forget(self, whose: Whose, fd: int, *, is_last: bool) -> None:
        """Forget a listener that has ended, and with the last one its container."""
        self._resting.pop(fd, None)
        if is_last:
            self._paces.pop(whose, None)
            self._until.pop(whose, None)

    def due(self) -> list[float]:
        """Return when `wake_due` has something to do."""
        return [*set(self._until.values())] if self._resting else []

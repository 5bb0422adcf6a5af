"""How fast calls are answered: so many a second of one container, whatever its listeners.

Beyond that its calls wait in the kernel: whoever floods is slowed, and nobody else pays for it.
"""

from __future__ import annotations

import select
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runc_wrap.agent.observe.observed_container import Whose

# Calls a second: some 5 % of a CPU, or 20 % with clone3, whose flags are read each time. Starting
# programs in a loop makes fewer; threads that only begin and end may make five times as many.
RATE = 2000
BURST = 10_000  # calls at once, after some seconds with fewer
REST = 0.05  # seconds: more would be felt, less wakes the process more often


class Pace:
    """What one container may still send."""

    __slots__ = ("_at", "_left")

    def __init__(self, now: float) -> None:
        self._left = float(BURST)
        self._at = now

    def is_spent(self, now: float) -> bool:
        """Take one call off, and tell whether that was the last for now."""
        self._left = min(self._left + (now - self._at) * RATE, BURST) - 1
        self._at = now
        return self._left < 1


class Pacing:
    """Takes listeners out of what `poll` waits for while their container has sent too much."""

    def __init__(self, poll: select.epoll) -> None:
        self._poll = poll
        self._paces: dict[Whose, Pace] = {}
        self._until: dict[Whose, float] = {}  # on the monotonic clock
        self._resting: dict[int, Whose] = {}

    def may_answer(self, whose: Whose, fd: int) -> bool:
        """Tell whether a listener has its turn; if not it rests as all of its container do."""
        if whose not in self._until:
            return True
        self._poll.modify(fd, 0)  # that it ends is told all the same
        self._resting[fd] = whose
        return False

    def answered(self, whose: Whose) -> None:
        """Count a call; where that was the last, the container's listeners rest when they call."""
        now = time.monotonic()
        pace = self._paces.get(whose)
        if pace is None:
            pace = self._paces[whose] = Pace(now)
        if pace.is_spent(now):
            self._until[whose] = now + REST

    def wake_due(self) -> None:
        """Wait again for those that have rested."""
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
        """Forget a listener that ended, and its container with the last."""
        self._resting.pop(fd, None)
        if is_last:
            self._paces.pop(whose, None)
            self._until.pop(whose, None)

    def due(self) -> list[float]:
        """Return when `wake_due` has something to do."""
        return [*set(self._until.values())] if self._resting else []

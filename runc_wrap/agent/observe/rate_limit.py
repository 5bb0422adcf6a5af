"""Limits how many calls a second are answered for one container, over all its listeners.

Beyond that its calls wait in the kernel: a container that floods slows itself and no other.
"""

from __future__ import annotations

import time

# Calls a second: some 5 % of a CPU, or 20 % with clone3, whose flags are read each time. A loop
# that starts programs makes fewer; threads that only start and end may make five times as many.
RATE = 2000
BURST = 10_000  # calls at once, after some seconds with fewer
REST = 0.05  # seconds: longer would be noticed, shorter wakes the process more often


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

"""How the keeper detects that a worker hangs.

The decisions worker hangs if launchers connect and it accepts none. It counts accepted connections
in memory shared with the keeper. A connection now and then wakes the keeper, which then checks
whether the count has moved; without connections it is not woken at all.

The evidence worker counts its turns, at least one every TICK, and the keeper checks that count
whether there are listeners or not. The worker notes in the memory in flight (agent.observe.notify)
when it began its present work, so that its successor knows in which call it hung.
"""

from __future__ import annotations

import posix
import select
import sys
import time

from runc_wrap.host.procfs import is_runnable

SECONDS = 2.0  # without accepting; launchers themselves wait less than 0.1 s
_STARTING = 10.0
_ONCE = select.EPOLLIN | select.EPOLLONESHOT
_BYTES = 8
BUSY_AT = 168  # in the memory in flight: nanoseconds of the monotonic clock, 0 while it waits
BUSY_SECONDS = 5.0
TICK, TICK_AT_REST = 2.0, 5.0  # seconds between turns at most, with listeners and without
LOOKS, MOST_LOOKS = 4, 24  # checks without a turn; the second if it has no CPU or is starting
_LOOK_AFTER = 0.5  # seconds beyond a tick


def is_stuck(memory: int) -> bool:
    """Return whether the evidence worker that used this memory in flight hung when it ended."""
    since = int.from_bytes(posix.pread(memory, _BYTES, BUSY_AT), sys.byteorder)
    return 0 < since < time.monotonic_ns() - BUSY_SECONDS * 1e9


class Progress:
    """A growing number in the memory behind this descriptor."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self._count = int.from_bytes(posix.pread(fd, _BYTES, 0), "little")

    def moved(self) -> None:
        """Count one step."""
        self._count += 1
        posix.pwrite(self.fd, self._count.to_bytes(_BYTES, "little"), 0)


class Watch:
    """Checks a listening socket, in the keeper; `progress` is to be handed to its worker."""

    def __init__(self, poll: select.epoll, listening: int) -> None:
        self.fd = listening
        self.progress = posix.memfd_create("progress", posix.MFD_CLOEXEC)
        self._poll = poll
        self._before = b""
        self._since = 0.0
        self._is_looking = False
        self._waited = False
        poll.register(listening, _ONCE)

    def begin(self) -> None:
        """Start checking: a process has connected."""
        self._is_looking = True
        self._before, self._since = self._count(), time.monotonic()
        self._waited = self._has_waiting()  # after the count, which accepting moves

    def seconds(self, *, is_ready: bool) -> list[float]:
        """Return in how many seconds to check again, [] for never."""
        longest = SECONDS if is_ready else _STARTING
        return [self._since + longest - time.monotonic()] if self._is_looking else []

    def is_stalled(self, *, is_ready: bool) -> bool:
        """Return whether connections waited all that time and none was accepted."""
        due = self.seconds(is_ready=is_ready)
        if not due or due[0] > 0:
            return False
        self._is_looking = False
        self._poll.modify(self.fd, _ONCE)
        return self._waited and self._count() == self._before

    def _count(self) -> bytes:
        return posix.pread(self.progress, _BYTES, 0)

    def _has_waiting(self) -> bool:
        looked = select.poll()
        looked.register(self.fd, select.POLLIN)
        return bool(looked.poll(0))


class Pulse:
    """Checks that the evidence worker has turns, in the keeper; `memory` is handed to it."""

    def __init__(self) -> None:
        self.memory = posix.memfd_create("progress", posix.MFD_CLOEXEC)
        self._before: bytes | None = None
        self._looks = 0
        self._due = 0.0
        self._every = 0.0

    def seconds(self, *, has_listeners: bool) -> float:
        """Return in how many seconds to check again."""
        every = (TICK if has_listeners else TICK_AT_REST) + _LOOK_AFTER
        if every != self._every:
            self.begin()
            self._every, self._due = every, time.monotonic() + every
        return self._due - time.monotonic()

    def begin(self) -> None:
        """Start counting anew: the worker was replaced, or ticks at another rate."""
        self._looks, self._every, self._before = 0, 0.0, None

    def is_lost(self, pid: int, *, is_ready: bool) -> bool:
        """Check if it is time, and return whether the worker hangs.

        Counts checks rather than seconds, as the whole machine may have been suspended. A worker
        that merely has no CPU is given longer.
        """
        now = time.monotonic()
        if not self._every or now < self._due:
            return False
        self._due = now + self._every
        turns = posix.pread(self.memory, _BYTES, 0)
        self._looks = self._looks + 1 if turns == self._before else 0
        self._before = turns
        needed = LOOKS if is_ready and not is_runnable(pid) else MOST_LOOKS
        return self._looks >= needed

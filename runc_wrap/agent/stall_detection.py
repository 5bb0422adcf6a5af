"""Noticing that a worker hangs.

The decisions worker does where launchers connect, and it accepts none. It counts what it accepts in
memory that both have. The keeper is woken by a connection once in a while and looks after that
whether the count moved; at rest it is not woken at all.

The evidence worker counts its turns so, and has one every TICK at least: the keeper looks at that,
whether there are listeners or not. It says in the memory in flight (agent.observe.notify) since
when it is at one thing: whoever comes next knows by that which call it hung in.
"""

from __future__ import annotations

import posix
import select
import sys
import time

from runc_wrap.host.procfs import is_runnable

SECONDS = 2.0  # without accepting; launchers themselves wait for less than a tenth of one
_STARTING = 10.0
_ONCE = select.EPOLLIN | select.EPOLLONESHOT
_BYTES = 8
BUSY_AT = 168  # in the memory in flight: nanoseconds of the monotonic clock, 0 while it waits
BUSY_SECONDS = 5.0
TICK, TICK_AT_REST = 2.0, 5.0  # seconds between turns at most, with listeners and without
LOOKS, MOST_LOOKS = 4, 24  # looks without a turn in between; of one that has no CPU, or starts
_LOOK_AFTER = 0.5  # seconds more than a tick


def is_stuck(memory: int) -> bool:
    """Tell whether the evidence worker with this memory in flight hung when it ended."""
    since = int.from_bytes(posix.pread(memory, _BYTES, BUSY_AT), sys.byteorder)
    return 0 < since < time.monotonic_ns() - BUSY_SECONDS * 1e9


class Progress:
    """A number that grows, in memory of this descriptor."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self._count = int.from_bytes(posix.pread(fd, _BYTES, 0), "little")

    def moved(self) -> None:
        """Count."""
        self._count += 1
        posix.pwrite(self.fd, self._count.to_bytes(_BYTES, "little"), 0)


class Watch:
    """Looks at a listening socket, in the keeper; `progress` is to be handed to its worker."""

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
        """Look from now on: somebody connected."""
        self._is_looking = True
        self._before, self._since = self._count(), time.monotonic()
        self._waited = self._somebody_waits()  # after the count: were they accepted, it would move

    def seconds(self, *, is_ready: bool) -> list[float]:
        """Return in how many seconds to ask again, [] for not at all."""
        longest = SECONDS if is_ready else _STARTING
        return [self._since + longest - time.monotonic()] if self._is_looking else []

    def is_stalled(self, *, is_ready: bool) -> bool:
        """Tell whether connections have waited for so long, and none was accepted meanwhile."""
        due = self.seconds(is_ready=is_ready)
        if not due or due[0] > 0:
            return False
        self._is_looking = False
        self._poll.modify(self.fd, _ONCE)
        return self._waited and self._count() == self._before

    def _count(self) -> bytes:
        return posix.pread(self.progress, _BYTES, 0)

    def _somebody_waits(self) -> bool:
        looked = select.poll()
        looked.register(self.fd, select.POLLIN)
        return bool(looked.poll(0))


class Pulse:
    """Looks whether the evidence worker has its turns, in the keeper; `memory` is handed to it."""

    def __init__(self) -> None:
        self.memory = posix.memfd_create("progress", posix.MFD_CLOEXEC)
        self._before: bytes | None = None
        self._looks = 0
        self._due = 0.0
        self._every = 0.0

    def seconds(self, *, has_listeners: bool) -> float:
        """Return in how many seconds to look again."""
        every = (TICK if has_listeners else TICK_AT_REST) + _LOOK_AFTER
        if every != self._every:
            self.begin()
            self._every, self._due = every, time.monotonic() + every
        return self._due - time.monotonic()

    def begin(self) -> None:
        """Begin to count: there is another worker, or it ticks otherwise."""
        self._looks, self._every, self._before = 0, 0.0, None

    def is_lost(self, pid: int, *, is_ready: bool) -> bool:
        """Look if it is time, and tell whether the worker stands still.

        Looks are counted and not time, as all of this may have stood still together. One that only
        has no CPU is given longer.
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

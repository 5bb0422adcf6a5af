"""Signals delivered through a descriptor, to be waited for beside others."""

from __future__ import annotations

import posix
from _signal import (  # type: ignore[import-not-found]  # typeshed has only signal, which costs enum
    SIG_BLOCK,
    SIG_UNBLOCK,
    SIGCHLD,
    SIGINT,
    SIGTERM,
    pthread_sigmask,
    set_wakeup_fd,
    signal,
)

ALL = (SIGCHLD, SIGINT, SIGTERM)


class Signals:
    """Catches signals from its creation on; `fd` is readable when some have come."""

    def __init__(self, *numbers: int) -> None:
        self.fd, writer = posix.pipe2(posix.O_CLOEXEC | posix.O_NONBLOCK)
        set_wakeup_fd(writer, warn_on_full_buffer=False)
        for number in numbers:
            signal(number, _nothing)
        pthread_sigmask(SIG_UNBLOCK, ALL)

    def take(self) -> set[int]:
        """Return the signals that have come since the last call."""
        try:
            return set(posix.read(self.fd, 4096))
        except BlockingIOError:
            return set()


def _nothing(_number: int, _frame: object) -> None:
    """Do nothing: the wake-up descriptor has received it."""


def hold() -> None:
    """Block signals before an exec, until the new program makes its `Signals`."""
    pthread_sigmask(SIG_BLOCK, ALL)

"""Signals as something to wait for, beside descriptors."""

from __future__ import annotations

import posix
from _signal import (  # type: ignore[import-not-found]  # typeshed has only signal, which costs enum
    SIG_BLOCK,
    SIG_DFL,
    SIG_IGN,
    SIG_UNBLOCK,
    SIGCHLD,
    SIGHUP,
    SIGINT,
    SIGTERM,
    pthread_sigmask,
    set_wakeup_fd,
    signal,
)

ALL = (SIGCHLD, SIGHUP, SIGINT, SIGTERM)


class Signals:
    """Takes signals from when it is made; `fd` is readable when there are some."""

    def __init__(self, *numbers: int) -> None:
        self.fd, writer = posix.pipe2(posix.O_CLOEXEC | posix.O_NONBLOCK)
        set_wakeup_fd(writer, warn_on_full_buffer=False)
        for number in numbers:
            signal(number, _nothing)
        pthread_sigmask(SIG_UNBLOCK, ALL)

    def take(self) -> set[int]:
        """Return the signals that came."""
        try:
            return set(posix.read(self.fd, 4096))
        except BlockingIOError:
            return set()


def _nothing(_number: int, _frame: object) -> None:
    """Leave it to the wake-up descriptor, which has it."""


def hold() -> None:
    """Let signals wait, until `Signals` is made: by who execs, or a child before `fresh`."""
    pthread_sigmask(SIG_BLOCK, ALL)


def release() -> None:
    """Let signals come again that `hold` made wait."""
    pthread_sigmask(SIG_UNBLOCK, ALL)


def fresh() -> None:
    """In a child: forget what the parent set. Only the keeper follows a terminal's signals."""
    set_wakeup_fd(-1)
    for number in ALL:
        signal(number, SIG_IGN if number in (SIGHUP, SIGINT) else SIG_DFL)
    pthread_sigmask(SIG_UNBLOCK, ALL)

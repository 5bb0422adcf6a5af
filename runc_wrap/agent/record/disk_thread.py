"""Runs work that waits for a disk in a thread, so that calls are answered meanwhile.

One piece of work at a time, each in a thread of its own: idle, there is none. The work reads no
memory that another thread changes, and mostly makes system calls, which release the interpreter.
"""

from __future__ import annotations

import _thread
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    Outdated = list[tuple[float, str]]
    Work = Callable[[], Outdated]


class Disk:
    """`fd` is readable once the work that `begin` started has ended; `ended` returns its result."""

    def __init__(self) -> None:
        self.fd = os.eventfd(0, os.EFD_CLOEXEC)
        self.is_busy = False
        self._found: Outdated = []
        self._error: Exception | None = None

    def begin(self, work: Work) -> None:
        """Start some work; the previous one must have `ended`."""
        self.is_busy = True
        try:
            _thread.start_new_thread(self._do, (work,))
        except RuntimeError:  # no room for a thread
            self._do(work)

    def _do(self, work: Work) -> None:
        self._found, self._error = [], None
        try:
            self._found = work()
        except Exception as error:  # noqa: BLE001 - `ended` raises it
            self._error = error
        os.eventfd_write(self.fd, 1)

    def ended(self) -> Outdated:
        """Return the result of work that has ended. Raises what the work raised."""
        os.eventfd_read(self.fd)
        self.is_busy = False
        if self._error:
            raise self._error
        return self._found

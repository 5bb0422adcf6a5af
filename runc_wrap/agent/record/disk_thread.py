"""What waits for a disk, done in a thread: calls are answered meanwhile.

One piece of work at a time, and a thread for each: there is none at rest. The work looks at nothing
in memory that anybody changes, and makes system calls mostly, for which others need not wait.
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
    """`fd` is readable once the work has ended that `begin` began; `ended` says how."""

    def __init__(self) -> None:
        self.fd = os.eventfd(0, os.EFD_CLOEXEC)
        self.is_busy = False
        self._found: Outdated = []
        self._error: Exception | None = None

    def begin(self, work: Work) -> None:
        """Begin some work; what was begun before must have `ended`."""
        self.is_busy = True
        try:
            _thread.start_new_thread(self._do, (work,))
        except RuntimeError:  # no room for a thread
            self._do(work)

    def _do(self, work: Work) -> None:
        self._found, self._error = [], None
        try:
            self._found = work()
        except Exception as error:  # noqa: BLE001 - told to who began it
            self._error = error
        os.eventfd_write(self.fd, 1)

    def ended(self) -> Outdated:
        """Return what the work found, once it has ended. Raises what it raised."""
        os.eventfd_read(self.fd)
        self.is_busy = False
        if self._error:
            raise self._error
        return self._found

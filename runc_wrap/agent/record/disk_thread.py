"""Writes changes of the store in a thread, and removes what is outdated."""

from __future__ import annotations

import _thread
import os
import time

from runc_wrap.agent.service_log import warn
from runc_wrap.evidence.store.evidence_writer import put, remove

TYPE_CHECKING = False

if TYPE_CHECKING:
    from collections.abc import Callable

    from runc_wrap.agent.observe.seccomp_unotify import Counts, Inflight
    from runc_wrap.evidence.store.evidence_writer import EvidenceWriter

    Outdated = list[tuple[float, str]]
    Work = Callable[[], Outdated]


class Disk:
    """Runs work that waits for a disk in a thread, so that calls are answered meanwhile.

    One piece of work at a time, each in a thread of its own: idle, there is none. The work reads no
    memory that another thread changes, and mostly makes system calls, which release the
    interpreter. `fd` is readable once the work that `begin` started has ended; `ended` returns its
    result.
    """

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


CLEAR_EVERY = 86400.0


class DiskThread:
    """Writes a store when `begin` is called; `fd` is readable when `ended` has to be called.

    `memory` counts what is not on disk.
    """

    def __init__(self, store: EvidenceWriter, memory: Inflight) -> None:
        self._store = store
        self._memory = memory
        self._disk = Disk()
        self.fd = self._disk.fd
        self._counted: Counts | None = None  # what is being written contains; None: it removes
        self._cleared = -CLEAR_EVERY

    @property
    def is_busy(self) -> bool:
        """Return whether it writes."""
        return self._disk.is_busy

    def begin(self) -> bool:
        """Begin to write the store as it is now. Return whether that was possible."""
        now = time.monotonic()
        is_time = now - self._cleared >= CLEAR_EVERY
        try:
            if is_time:
                self._store.forget()
            files, self._counted = self._store.changes(), self._memory.counts()
        except OSError as error:
            return self._failed(error)

        def work() -> Outdated:
            put(files)
            return self._store.outdated() if is_time else []

        self._cleared = now if is_time else self._cleared
        self._disk.begin(work)
        return True

    def ended(self) -> bool:
        """Wait for what was begun; return whether it succeeded. It may begin a removal."""
        counted, self._counted = self._counted, None
        try:
            gone = self._disk.ended()
        except OSError as error:
            return self._failed(error)
        if counted is not None:
            self._store.written()
            self._memory.written(counted)
        if gone:
            self._remove(gone)
        return True

    def _remove(self, gone: Outdated) -> None:
        state = self._store.cleared(gone)

        def work() -> Outdated:
            remove(state, gone)
            return []

        self._disk.begin(work)

    def _failed(self, error: OSError) -> bool:
        warn(f"evidence cannot be written: {error.strerror}; it is tried again.")
        self._store.unwritten()
        return False

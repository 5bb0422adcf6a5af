"""Writes changes of the store in a thread, and removes what is outdated."""

import _thread
import os
import time
from collections.abc import Callable, Iterable

from runc_wrap.agent.observe.seccomp_unotify import Counts, Inflight
from runc_wrap.agent.service_log import warn
from runc_wrap.evidence.store.evidence_changes import EvidenceWriter, File
from runc_wrap.host.files import replace

Outdated = list[tuple[float, str]]
Work = Callable[[], Outdated | None]

CLEAR_EVERY = 86400.0
_WRITER = "store"


class DiskThread:
    """Writes a store when `begin` is called; `fd` is readable when `ended` has to be called.

    What waits for the disk is done in a thread, so that calls are answered meanwhile: one piece of
    work at a time, each in a thread of its own, so that idle there is none. The work reads no
    memory that another thread changes, and mostly makes system calls, which release the
    interpreter. `memory` counts what is not on disk.
    """

    def __init__(self, store: EvidenceWriter, memory: Inflight) -> None:
        self.fd = os.eventfd(0, os.EFD_CLOEXEC)
        self.is_busy = False
        self._store = store
        self._memory = memory
        self._gone: Outdated | None = None
        self._error: Exception | None = None
        self._counted: Counts | None = None  # what is being written contains; None: it removes
        self._cleared = -CLEAR_EVERY

    def _start(self, work: Work) -> None:
        self.is_busy = True
        try:
            _thread.start_new_thread(self._do, (work,))
        except RuntimeError:  # no room for a thread
            self._do(work)

    def _do(self, work: Work) -> None:
        self._gone, self._error = None, None
        try:
            self._gone = work()
        except Exception as error:  # noqa: BLE001 - `ended` raises it
            self._error = error
        os.eventfd_write(self.fd, 1)

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

        def work() -> Outdated | None:
            put(files)
            return self._store.outdated() if is_time else None

        self._cleared = now if is_time else self._cleared
        self._start(work)
        return True

    def ended(self) -> bool:
        """Wait for what was begun; return whether it succeeded. It may begin a removal."""
        counted, self._counted = self._counted, None
        os.eventfd_read(self.fd)
        self.is_busy = False
        if isinstance(self._error, OSError):
            return self._failed(self._error)
        if self._error:
            raise self._error
        if counted is not None:
            self._store.written()
            self._memory.written(counted)
        if gone := self._gone:
            state = self._store.cleared(gone)
            self._start(lambda: remove(state, gone))
        return True

    def _failed(self, error: OSError) -> bool:
        warn(f"evidence cannot be written: {error.strerror}; it is tried again.")
        self._store.unwritten()
        return False


def put(files: Iterable[File]) -> None:
    """Replace files, in that order, also for a power failure; reads nothing in memory.

    Raises OSError. Otherwise a time could count as watched whose calls are lost.
    """
    for path, text in files:
        replace(path, text, writer=_WRITER)


def remove(state: File, gone: list[tuple[float, str]]) -> None:
    """Write until when files were removed, and remove them. Raises OSError.

    The state is synced first: otherwise files could be missing after a power cut without a trace.
    """
    replace(*state, writer=_WRITER)
    for _, path in gone:
        os.unlink(path)

"""Watches a directory for changes of its files (inotify(7)).

A container's ledger line is written before its first process starts: if it is read at once, that
process and those that join the container are followed from their start.
"""

from __future__ import annotations

import ctypes
import os
import struct

_MODIFY, _MOVED_TO, _CREATE, _MOVE_SELF = 0x2, 0x80, 0x100, 0x800  # linux/inotify.h
_IGNORED = 0x8000
_EVENTS = _MODIFY | _MOVED_TO | _CREATE | _MOVE_SELF
_EVENT = struct.Struct("=iIII")  # struct inotify_event: watch, mask, cookie, length of the name
_ROOM = 64 * 1024


class Appended:
    """Watches one directory, and creates it if it does not exist. Raises OSError."""

    def __init__(self, directory: str) -> None:
        self._directory = directory
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._fd = _checked(self._libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC))
        try:
            self._watch()
        except OSError:
            os.close(self._fd)
            raise

    def fileno(self) -> int:
        """Return the descriptor that is readable after a change."""
        return self._fd

    def take(self) -> None:
        """Read the pending events. Raises OSError if no more can come."""
        try:
            events = os.read(self._fd, _ROOM)
        except BlockingIOError:
            return
        at = 0
        while at < len(events):
            _, mask, _, length = _EVENT.unpack_from(events, at)
            at += _EVENT.size + length
            if mask & (_IGNORED | _MOVE_SELF):  # the directory was removed or renamed
                self._watch()

    def _watch(self) -> None:
        os.makedirs(self._directory, 0o700, exist_ok=True)  # noqa: PTH103 - no pathlib
        path = os.fsencode(self._directory)
        _checked(self._libc.inotify_add_watch(self._fd, path, _EVENTS))


def _checked(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result

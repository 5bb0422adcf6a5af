"""Locks that other users cannot hold, with a bounded wait.

A process that can open a file can lock it for any time (flock(2)). So each lock is a separate file
of mode 0600, in a directory of mode 0700: PREFIX/var/lock/NAME. It is never removed. After a wait
in vain, the error names the holder, from /proc/locks (proc_locks(5)).
"""

from __future__ import annotations

import errno
import fcntl
import os
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from runc_wrap.host import polling
from runc_wrap.hotpath.errors import quoted

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DIRECTORY = "lock"  # in PREFIX/var
PATIENCE = 10.0  # seconds
_PAUSE = 0.02
_LONGEST_NAME = 64  # bytes of a process' name, which has at most 15
_DIRECTORY_MODE, _FILE_MODE = 0o700, 0o600


class LockHeldError(OSError):
    """Another process has held the lock during the whole wait; the message names it."""


@contextmanager
def locked(var: Path, name: str) -> Iterator[int]:
    """Hold the lock of this name while the block runs; yield its descriptor.

    `var` is PREFIX/var. Raises LockHeldError and OSError.
    """
    directory = var / DIRECTORY
    descriptor = _opened(directory, name)
    try:
        if not polling.wait_for(lambda: _taken(descriptor), PATIENCE, _PAUSE):
            held = f"{holder(descriptor)} has held this lock for {PATIENCE:.0f} seconds"
            why = f"{held}: wait for it, or end it"
            raise LockHeldError(errno.EWOULDBLOCK, why, str(directory / name))
        yield descriptor
    finally:
        os.close(descriptor)


def _opened(directory: Path, name: str) -> int:
    with suppress(FileExistsError):
        directory.mkdir(mode=_DIRECTORY_MODE, parents=True)
    flags = os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    within = os.open(directory, flags)
    try:
        _restrict(within, _DIRECTORY_MODE)
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        descriptor = os.open(name, flags, _FILE_MODE, dir_fd=within)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(directory / name)) from None
    finally:
        os.close(within)
    _restrict(descriptor, _FILE_MODE)
    return descriptor


def _restrict(descriptor: int, mode: int) -> None:
    """Set the mode of a file that is ours, if it is different."""
    found = os.fstat(descriptor)
    if found.st_uid == os.geteuid() and found.st_mode & 0o777 != mode:
        os.fchmod(descriptor, mode)


def _taken(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def held_by(path: Path) -> str:
    """Return the holder of the lock of a file, "" if there is none. Raises OSError."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return ""
    try:
        return "" if _taken(descriptor) else holder(descriptor)
    finally:
        os.close(descriptor)


def holder(descriptor: int) -> str:
    """Return the holder of the lock on an open file: `"name" (pid N)`."""
    pid = next(_holders(descriptor), 0)
    if not pid:
        return "a process that cannot be seen from here"
    try:
        with open(f"/proc/{pid}/comm", "rb") as file:  # noqa: PTH123 - the agent's error path, too
            name = file.read(_LONGEST_NAME).decode(errors="replace").rstrip("\n")
    except OSError:
        return f"a process started by pid {pid}, which has ended,"
    return f"{quoted(name)} (pid {pid})"


def _holders(descriptor: int) -> Iterator[int]:
    """Yield the holders' pids; devices are not compared, since overlayfs shows another in stat."""
    inode = str(os.fstat(descriptor).st_ino)
    with suppress(OSError, ValueError), open("/proc/locks", encoding="ascii") as file:  # noqa: PTH123
        for line in file:
            _, kind, *rest = line.split()  # "1: FLOCK ADVISORY WRITE 123 08:01:4711 0 EOF"
            if kind == "FLOCK" and rest[3].rpartition(":")[2] == inode:
                yield int(rest[2])

"""Reads the memory that a waiting call points at: clone3's purpose, or a filter to be installed.

A struct clone_args begins with the flags; set_tid_size says for how many pid namespaces the caller
chooses the new pid. Both have 64 bits on every ABI (linux:include/uapi/linux/sched.h).
A filter is a struct sock_fprog, a length and a pointer (linux:include/uapi/linux/filter.h), which
is shorter for 32-bit programs and x32.
"""

from __future__ import annotations

import posix
import struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runc_wrap.agent.observe.seccomp_unotify import Notification

    Purpose = tuple[int, int | None]  # clone3's flags, and set_tid_size if it could be read

# linux:scripts/syscall.tbl; calls newer than 5.0 have the same number everywhere, plus an offset
_CLONE3 = 435
_OFFSETS = (0, 0x40000000, 4000, 5000, 6000)  # x32, and mips' o32, n64 and n32
_NUMBERS = frozenset(_CLONE3 + offset for offset in _OFFSETS)
_FLAGS, _WITH_TIDS = struct.Struct("=Q"), struct.Struct("=Q64xQ")
_PROGRAM, _COMPAT = struct.Struct("=H6xQ"), struct.Struct("=H2xI")  # struct sock_fprog
_LEAST = 64  # CLONE_ARGS_SIZE_VER0
_NULL = 4096  # vm.mmap_min_addr: nothing is mapped below
_INSTRUCTION, _MOST = 8, 4096


def address(call: Notification) -> int | None:
    """Return the address of a clone3's struct clone_args, None for other calls."""
    return call.args[0] if call.number & 0xFFFFFFFF in _NUMBERS else None


def arguments(call: Notification, purpose: Purpose | None) -> tuple[int, ...] | None:
    """Return a call's arguments, for clone3 its flags and set_tid_size in their place.

    None if these are not known. They are what the kernel will read if the call still waits
    afterwards, unless another thread changes them meanwhile.
    """
    if address(call) is None:
        return call.args
    size = call.args[1]
    if size < _LEAST:  # the call fails
        return (0, 0, *call.args[2:])
    flags, tids = purpose or (None, None)
    if size < _WITH_TIDS.size:  # the kernel reads less of the struct
        tids = 0
    return None if flags is None or tids is None else (flags, tids, *call.args[2:])


def purpose(tid: int, where: int) -> Purpose | None:
    """Read clone3's flags and set_tid_size: 0 by a null pointer, None for what cannot be read.

    The kernel may read what we cannot: memory of memfd_secret(2) is its process' own.

    It can block for ever: the page may belong to a file on a file system that does not answer, or
    the process may hold its memory's lock. So only the inspector calls this
    (agent.observe.inspector).
    """
    try:
        found = _read(tid, _WITH_TIDS.size, where)
    except (OSError, OverflowError):
        return (0, 0) if where < _NULL else None
    if len(found) < _FLAGS.size:
        return None
    (flags,) = _FLAGS.unpack_from(found)
    return flags, _WITH_TIDS.unpack(found)[1] if len(found) == _WITH_TIDS.size else None


def program(tid: int, where: int, *, compat: bool) -> bytes | None:
    """Read the filter that a call names; b"" if the kernel would reject it, None if unknown.

    It can block for ever, as `purpose`.
    """
    form = _COMPAT if compat else _PROGRAM
    try:
        head = _read(tid, form.size, where)
        if not head:  # the process is ending
            return b""
        length, start = form.unpack(head)
        if not 0 < length <= _MOST:
            return b""
        found = _read(tid, length * _INSTRUCTION, start)
    except FileNotFoundError:
        return b""
    except (OSError, OverflowError, struct.error):
        return b"" if where < _NULL else None
    return found if len(found) == length * _INSTRUCTION else None


def _read(tid: int, size: int, where: int) -> bytes:
    """Return what of a process' memory can be read; nothing if it is ending."""
    fd = posix.open(f"/proc/{tid}/mem", posix.O_RDONLY | posix.O_CLOEXEC)
    try:
        return posix.pread(fd, size, where)
    finally:
        posix.close(fd)

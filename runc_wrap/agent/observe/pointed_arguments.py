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
    from runc_wrap.agent.observe.notify import Call

# linux:scripts/syscall.tbl; calls newer than 5.0 have the same number everywhere, plus an offset
_CLONE3 = 435
_OFFSETS = (0, 0x40000000, 4000, 5000, 6000)  # x32, and mips' o32, n64 and n32
_NUMBERS = frozenset(_CLONE3 + offset for offset in _OFFSETS)
_FLAGS, _WITH_TIDS = struct.Struct("=Q"), struct.Struct("=Q64xQ")
_PROGRAM, _COMPAT = struct.Struct("=H6xQ"), struct.Struct("=H2xI")  # struct sock_fprog
_INSTRUCTION, _MOST = 8, 4096


def address(call: Call) -> int | None:
    """Return the address of a clone3's struct clone_args, None for other calls."""
    return call.args[0] if call.number & 0xFFFFFFFF in _NUMBERS else None


def arguments(call: Call, purpose: tuple[int, int] | None) -> tuple[int, ...] | None:
    """Return a call's arguments, for clone3 its flags and set_tid_size in their place.

    None if these are not known. They are what the kernel will read if the call still waits
    afterwards, unless another thread changes them meanwhile.
    """
    if address(call) is None:
        return call.args
    if purpose is None:
        return None
    flags, tids = purpose
    has_tids = call.args[1] >= _WITH_TIDS.size  # else the kernel reads less of the struct
    return (flags, tids if has_tids else 0, *call.args[2:])


def purpose(tid: int, where: int) -> tuple[int, int] | None:
    """Read clone3's flags and set_tid_size: 0 if nothing is mapped there, as the call then fails.

    None if they cannot be read. It can block for ever: the page may belong to a file on a file
    system that does not answer, or the process may hold its memory's lock. So only the inspector
    does it.
    """
    try:
        fd = posix.open(f"/proc/{tid}/mem", posix.O_RDONLY | posix.O_CLOEXEC)
    except OSError:
        return None
    try:
        found = posix.pread(fd, _WITH_TIDS.size, where)
    except (OSError, OverflowError):
        found = b""
    finally:
        posix.close(fd)
    return _WITH_TIDS.unpack(found.ljust(_WITH_TIDS.size, b"\0"))


def program(tid: int, where: int, *, compat: bool) -> bytes | None:
    """Read the filter that a call names; b"" if the kernel would reject it, None if unknown.

    It can block for ever, as `flags`.
    """
    form = _COMPAT if compat else _PROGRAM
    try:
        fd = posix.open(f"/proc/{tid}/mem", posix.O_RDONLY | posix.O_CLOEXEC)
    except FileNotFoundError:
        return b""
    except OSError:
        return None
    try:
        length, start = form.unpack(posix.pread(fd, form.size, where))
        if not 0 < length <= _MOST:
            return b""
        found = posix.pread(fd, length * _INSTRUCTION, start)
    except (OSError, OverflowError, struct.error):
        return b""
    finally:
        posix.close(fd)
    return found if len(found) == length * _INSTRUCTION else b""

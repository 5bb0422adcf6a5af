"""Whether the kernel asks seccomp filters about uretprobe(2), found by making that call.

uretprobe (x86_64, 335) is made by a trampoline that the kernel puts into a program, when somebody
places a probe on a function's return (bpftrace, perf, profilers). Linux has it since 6.11 (commit
ff474a78cef5). A filter that does not allow it killed the probed program, until the kernel exempted
it from every filter (cf6cb56ef244; 6.14, 6.13.3, 6.12.14): distributions apply that to older
kernels too, so the version does not tell. The kernel kills who makes the call elsewhere, by SIGILL.
"""

from __future__ import annotations

import ctypes
import os
import platform
import signal
from typing import Literal

Answer = Literal["absent", "filtered", "exempt"]

URETPROBE = 335
_MACHINE = "x86_64"
_NO_NEW_PRIVS, _SET_DUMPABLE, _SECCOMP, _FILTER_MODE = 38, 4, 22, 2  # prctl(2)
_ERRNO = 77  # EBADFD: no call here fails so otherwise
_BROKEN = 255
# linux:include/uapi/linux/bpf_common.h: load the call's number; return ERRNO if it is ours; allow
_LOAD, _EQUALS, _RETURN = 0x20, 0x15, 0x06
_RET_ERRNO, _RET_ALLOW = 0x00050000 | _ERRNO, 0x7FFF0000


class _Instruction(ctypes.Structure):
    _fields_ = (
        ("code", ctypes.c_uint16),
        ("jump_true", ctypes.c_uint8),
        ("jump_false", ctypes.c_uint8),
        ("value", ctypes.c_uint32),
    )


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.POINTER(_Instruction)))


def ask(number: int = URETPROBE) -> Answer | None:
    """Make the call in child processes, without and with a filter; None if that does not tell.

    absent: this kernel does not have the call. filtered: a filter that denies it is obeyed.
    """
    if platform.machine() != _MACHINE:
        return "absent"
    return judged(_ended(number, is_filtered=False), _ended(number, is_filtered=True))


def judged(free: int, filtered: int) -> Answer | None:
    """Judge by how the two children ended: with an errno, 0, or a negative signal."""
    if free != -signal.SIGILL:
        return "absent"
    if filtered == _ERRNO:
        return "filtered"
    return "exempt" if filtered == -signal.SIGILL else None


def _ended(number: int, *, is_filtered: bool) -> int:
    child = os.fork()
    if child == 0:
        try:
            os._exit(_called(number, is_filtered=is_filtered))
        finally:
            os._exit(_BROKEN)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _called(number: int, *, is_filtered: bool) -> int:
    """Make the call; return its errno, 0 for none."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_SET_DUMPABLE, 0, 0, 0, 0)  # no core dump of the expected end
    signal.signal(signal.SIGILL, signal.SIG_DFL)
    if is_filtered and not _denies(libc, number):
        return _BROKEN
    failed = libc.syscall(ctypes.c_long(number)) == -1
    return ctypes.get_errno() if failed else 0


def _denies(libc: ctypes.CDLL, number: int) -> bool:
    rows = (
        (_LOAD, 0, 0, 0),
        (_EQUALS, 0, 1, number),
        (_RETURN, 0, 0, _RET_ERRNO),
        (_RETURN, 0, 0, _RET_ALLOW),
    )
    program = _Program(len(rows), (_Instruction * len(rows))(*(_Instruction(*row) for row in rows)))
    libc.prctl(_NO_NEW_PRIVS, 1, 0, 0, 0)
    return bool(libc.prctl(_SECCOMP, _FILTER_MODE, ctypes.byref(program), 0, 0) == 0)

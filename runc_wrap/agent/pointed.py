"""What a call that waits points at: clone3's flags. Lean.

They stand first in struct clone_args, 64 bits on every ABI (linux:include/uapi/linux/sched.h).
"""

from __future__ import annotations

import os
import struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runc_wrap.agent.notify import Call

# linux:scripts/syscall.tbl; calls that are newer than 5.0 have one number, but for an offset
_CLONE3 = 435
_OFFSETS = (0, 0x40000000, 4000, 5000, 6000)  # x32, and mips' o32, n64 and n32
_FLAGS = struct.Struct("=Q")


def arguments(call: Call, *, may_read: bool) -> tuple[int, ...] | None:
    """Return a call's arguments, of clone3 with the flags instead of where they are.

    None where they may not be read, which can take for ever (agent.stalling); flags 0 where nothing
    can be: the kernel then fails the call, or its process is gone. They are the call's own if it
    still waits afterwards, unless another thread changes them meanwhile.
    """
    if call.number & 0xFFFFFFFF not in {_CLONE3 + offset for offset in _OFFSETS}:
        return call.args
    flags = _flags(call.tid, call.args[0]) if call.tid and may_read else None
    return None if flags is None else (flags, *call.args[1:])


def _flags(tid: int, address: int) -> int | None:
    try:
        fd = os.open(f"/proc/{tid}/mem", os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return 0
    except OSError:
        return None
    try:
        (flags,) = _FLAGS.unpack(os.pread(fd, _FLAGS.size, address))
    except (OSError, OverflowError, struct.error):
        return 0
    finally:
        os.close(fd)
    return int(flags)

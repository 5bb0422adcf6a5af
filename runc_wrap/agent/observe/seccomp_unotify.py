"""Seccomp's user notifications: receives a call, and lets it continue (seccomp_unotify(2)).

The kernel gives a received notification to no second receiver: if it is never answered, its caller
waits for ever. So it is received straight into memory that outlives this process (`Inflight`): the
kernel writes it in the same system call that marks it as received, and takes the mark back if it
cannot write. This process' successor answers the call that it finds there.

An answer to a call that has ended fails with ENOENT, to one that was not received with EINPROGRESS;
both are harmless.
"""

import fcntl
import mmap
import os
import struct
import time
from errno import EINPROGRESS, ENOENT

_NOTIFICATION = struct.Struct("=QIIiIQ6Q")  # id, pid, flags; seccomp_data: nr, arch, ip, args
_RESPONSE = struct.Struct("=QqiI")  # id, val, error, flags
_ID = struct.Struct("=Q")
Counts = tuple[int, int]
_COUNTED = struct.Struct("=QQ")
BUSY_SECONDS = 5.0  # in one turn: then it hangs
_CONTINUE = 1  # SECCOMP_USER_NOTIF_FLAG_CONTINUE
_SYNC_WAKE_UP = 1  # SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP, Linux 6.6

# asm-generic/ioctl.h, and the three architectures that have other bits for the direction
_OTHERS = ("mips", "ppc", "sparc")
_READ, _WRITE = (2, 4) if os.uname().machine.startswith(_OTHERS) else (2, 1)
_SHIFT = 29 if _WRITE == 4 else 30  # noqa: PLR2004 - as above


def _request(direction: int, number: int, size: int) -> int:
    return direction << _SHIFT | size << 16 | ord("!") << 8 | number


RECV = _request(_READ | _WRITE, 0, _NOTIFICATION.size)
SEND = _request(_READ | _WRITE, 1, _RESPONSE.size)
ID_VALID = _request(_WRITE, 2, _ID.size)
SET_FLAGS = _request(_WRITE, 4, _ID.size)


class Notification:
    """One call that waits for an answer; `tid` is its thread, 0 outside our pid namespace.

    `args` are the six registers, `ip` the instruction pointer. `hides`: it installs a filter that
    may keep later calls from us. `unmade`: its caller was killed or interrupted before the call was
    answered, and it is not known what it was to do.
    """

    __slots__ = ("arch", "args", "hides", "id", "ip", "number", "tid", "unmade")

    def __init__(self, raw: tuple[int, ...]) -> None:
        self.id, self.tid, _, self.number, self.arch, self.ip = raw[:6]
        self.args = raw[6:]
        self.hides = self.unmade = False


class Inflight:
    """Memory that outlives the process: the call being answered, and counts of what is not on disk.

        0  struct seccomp_notif     80 bytes
      128  the listener's number    8 bytes
      136  calls answered, and not written to the store yet   8 bytes   | these
      144  the id of the call that was counted last   8 bytes           | twice:
      176  as 136 and 144; the byte at 192, stored last, says which of the two is valid
      152  unused; what an older agent counted there   8 bytes
      160  audit records read, and not written to the store yet   8 bytes
      168  since when the process does its present work: the monotonic clock in ns, 0: it waits

    It is larger than 1024 bytes, so that Python's ioctl hands it to the kernel itself; smaller
    buffers it copies.
    """

    SIZE = 4096
    _WHOSE, _AUDIT, _BUSY = 128, 160, 168
    _COUNTS, _WHICH = (136, 176), 192
    _EMPTY = bytes(_NOTIFICATION.size)

    def __init__(self, fd: int) -> None:
        self.fd = fd
        if os.fstat(fd).st_size < self.SIZE:
            os.ftruncate(fd, self.SIZE)
        self.memory = mmap.mmap(fd, self.SIZE)

    def begin(self) -> None:
        """Note that work begins now."""
        _ID.pack_into(self.memory, self._BUSY, time.monotonic_ns())

    def rest(self) -> None:
        """Note that the work is done."""
        _ID.pack_into(self.memory, self._BUSY, 0)

    @classmethod
    def new(cls) -> "Inflight":
        """Return new memory; its `fd` has to be stored, so that it outlives this process."""
        return cls(os.memfd_create("runc-wrap inflight", os.MFD_CLOEXEC))

    @property
    def was_stuck(self) -> bool:
        """Whether the process that used this memory hung in its work when it ended."""
        since = self._number(self._BUSY)
        return 0 < since < time.monotonic_ns() - BUSY_SECONDS * 1e9

    @property
    def left(self) -> tuple[int, Notification] | None:
        """The listener's number and the last call received, None if there is none."""
        call = _NOTIFICATION.unpack_from(self.memory)
        return (self._number(self._WHOSE), Notification(call)) if any(call) else None

    @property
    def unwritten(self) -> int:
        """How many answered calls the store does not yet have on disk."""
        return self._counted()[0]

    def count(self, call: int) -> None:
        """Count a call, before it is answered."""
        self._count(self.unwritten + 1, call)

    def is_counted(self, call: int) -> bool:
        """Return whether a call is the one that was counted last."""
        return self._counted()[1] == call

    def _counted(self) -> tuple[int, int]:
        number, call = _COUNTED.unpack_from(self.memory, self._COUNTS[self.memory[self._WHICH]])
        return number, call

    def _count(self, number: int, call: int) -> None:
        """Set both at once: if killed in between, the previous pair stays valid."""
        other = 1 - self.memory[self._WHICH]
        _COUNTED.pack_into(self.memory, self._COUNTS[other], number, call)
        self.memory[self._WHICH] = other

    @property
    def records(self) -> int:
        """How many audit records were read that the store does not yet have on disk."""
        return self._number(self._AUDIT)

    def read(self, records: int) -> None:
        """Count audit records, before they are processed."""
        _ID.pack_into(self.memory, self._AUDIT, self.records + records)

    def counts(self) -> Counts:
        """Return the two counts of what is not on disk."""
        return self.unwritten, self.records

    def written(self, counted: Counts | None = None) -> None:
        """Note that the store is on disk, with everything or with what `counts` returned."""
        calls, records = counted or self.counts()
        self._count(self.unwritten - calls, self._counted()[1])
        _ID.pack_into(self.memory, self._AUDIT, self.records - records)

    def receive(self, listener: int, number: int) -> Notification | None:
        """Receive a call from a readable listener; None if the call has ended meanwhile.

        The previous call must have been answered. Raises OSError.
        """
        self.memory[: _NOTIFICATION.size] = self._EMPTY  # first: it may be another listener's
        _ID.pack_into(self.memory, self._WHOSE, number)
        try:
            fcntl.ioctl(listener, RECV, self.memory, True)  # noqa: FBT003 - takes it by position only
        except OSError as error:
            if error.errno == ENOENT:
                return None
            raise
        return Notification(_NOTIFICATION.unpack_from(self.memory))

    def _number(self, at: int) -> int:
        found: int = _ID.unpack_from(self.memory, at)[0]
        return found


def is_valid(listener: int, call: int) -> bool:
    """Return whether a call still waits: then what was read about its process is valid."""
    try:
        fcntl.ioctl(listener, ID_VALID, _ID.pack(call))
    except OSError:
        return False
    return True


def proceed(listener: int, call: int, error: int = 0) -> bool:
    """Let a call continue unchanged, or end it with an error.

    Return False if it no longer waits, or was not received.
    """
    try:
        fcntl.ioctl(listener, SEND, _RESPONSE.pack(call, 0, -error, 0 if error else _CONTINUE))
    except OSError as failed:
        if failed.errno not in (ENOENT, EINPROGRESS):
            raise
        return False
    return True


def wake_here(listener: int) -> None:
    """Ask the kernel to run caller and listener alternately on one CPU, if it can."""
    try:
        fcntl.ioctl(listener, SET_FLAGS, _SYNC_WAKE_UP)
    except (OSError, OverflowError):
        return

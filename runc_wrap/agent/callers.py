"""Who made a call that waits for an answer: read from /proc while it waits. Lean.

A workload that floods is looked at now and then: beyond so many calls a second, what was read of a
thread less than a second ago stands for it, and most threads not known yet are not looked at.
Every call is counted all the same.
"""

from __future__ import annotations

import os

FULL = 200  # calls a second of one listener, of which each caller is looked at
EACH = 16  # of those beyond, one in so many
_LARGEST = 4096  # of /proc/PID/status; what is read here stands in its first lines


class Caller:
    """A process: its id (tgid) in the initial namespace, user, name and program, "" if unknown."""

    __slots__ = ("comm", "exe", "pid", "uid")

    def __init__(self, pid: int, uid: int, comm: str, exe: str) -> None:
        self.pid = pid
        self.uid = uid
        self.comm = comm
        self.exe = exe


class Callers:
    """Remembers the threads of one listener for a second."""

    __slots__ = ("_begin", "_known", "_seen")

    def __init__(self) -> None:
        self._begin = 0.0
        self._seen = 0
        self._known: dict[int, Caller] = {}

    def of(self, tid: int, now: float) -> Caller:
        """Return who a thread belongs to; `now` is of a clock that does not go back."""
        if now - self._begin >= 1.0:
            self._begin, self._seen = now, 0
            self._known.clear()
        self._seen += 1
        if self._seen > FULL:
            known = self._known.get(tid)
            if known:
                return known
            if self._seen % EACH:
                return Caller(tid, 0, "", "")
        found = look(tid)
        self._known[tid] = found
        return found

    @property
    def is_sampled(self) -> bool:
        """Tell whether callers are looked at now and then only."""
        return self._seen > FULL


def look(tid: int) -> Caller:
    """Read a thread's process; what cannot be read is "". Valid if the call waits afterwards."""
    try:
        fd = os.open(f"/proc/{tid}/status", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return Caller(tid, 0, "", "")
    try:
        fields = _fields(os.read(fd, _LARGEST))
    except OSError:
        return Caller(tid, 0, "", "")
    finally:
        os.close(fd)
    try:
        exe = os.readlink(f"/proc/{tid}/exe")
    except OSError:
        exe = ""
    comm = fields.get(b"Name", b"").decode("utf-8", "surrogateescape")
    return Caller(_first(fields, b"Tgid", tid), _first(fields, b"Uid", 0), _plain(comm), exe)


def _fields(text: bytes) -> dict[bytes, bytes]:
    """Return the first lines as {name: value}; a process' name is escaped there."""
    pairs = (line.partition(b":\t") for line in text.split(b"\n", 10)[:10])
    return {name: value for name, _, value in pairs}


def _first(fields: dict[bytes, bytes], name: bytes, default: int) -> int:
    first = fields.get(name, b"").split(b"\t")[0]
    return int(first) if first.isdigit() else default


def _plain(comm: str) -> str:
    r"""Return a name as it is: the kernel escapes \ and newline (fs/proc/array.c)."""
    return "\\".join(part.replace("\\n", "\n") for part in comm.split("\\\\"))

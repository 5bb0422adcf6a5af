"""The caller of a call that waits for an answer, read from /proc while it waits.

Only the inspector (agent.observe.inspector), for which the agent waits with a bound, may call
`look`. Reading /proc/PID/status or stat takes a reference to a process' memory. If the process is
killed meanwhile, whoever drops the last reference waits until its files are written
(linux:kernel/fork.c __mmput, fs/fuse/file.c fuse_vma_close). Dropping the last reference to its
program may wait likewise (fuse_release).

Of a workload that floods, only samples are read: beyond FULL calls a second, a result for the same
thread from the last second is reused, and most threads without one are not read. Every call is
counted all the same.
"""

from __future__ import annotations

from runc_wrap.host import files, procfs

FULL = 200  # calls a second of one container whose callers are all read
EACH = 16  # beyond those, one caller in so many is read


class Caller:
    """A process: its id (tgid) in the initial namespace, user, name and program, "" if unknown."""

    __slots__ = ("comm", "exe", "pid", "uid")

    def __init__(self, pid: int, uid: int = 0, comm: str = "", exe: str = "") -> None:
        self.pid = pid
        self.uid = uid
        self.comm = comm
        self.exe = exe


class Callers:
    """Remembers the threads of one container for a second."""

    __slots__ = ("_begin", "_known", "_seen")

    def __init__(self) -> None:
        self._begin = 0.0
        self._seen = 0
        self._known: dict[int, Caller] = {}

    def known(self, tid: int, now: float) -> Caller | None:
        """Return a thread's process; None if the caller is to read it and call `learnt`.

        `now` is of a clock that does not go back.
        """
        if now - self._begin >= 1.0:
            self._begin, self._seen = now, 0
            self._known.clear()
        self._seen += 1
        if self._seen <= FULL:
            return None
        if known := self._known.get(tid):
            return known
        return Caller(tid) if self._seen % EACH else None

    def learnt(self, tid: int, caller: Caller) -> None:
        """Remember a thread's process."""
        self._known[tid] = caller


def look(tid: int) -> Caller:
    """Read a thread's process, "" for what cannot be read. Valid if the call waits afterwards."""
    try:
        fields = procfs.status(tid)
    except (OSError, files.TooLarge):
        return Caller(tid)
    comm = procfs.plain_name(fields.get(b"Name", b""))
    exe = procfs.program(tid) or ""
    return Caller(_first(fields, b"Tgid", tid), _first(fields, b"Uid", 0), comm, exe)


def standing(tid: int) -> tuple[int, int] | None:
    """Read how many filters a thread carries, and its tracer's pid (0: none); None if unknown."""
    try:
        fields = procfs.status(tid)
    except (OSError, files.TooLarge):
        return None
    filters, tracer = fields.get(b"Seccomp_filters", b""), fields.get(b"TracerPid", b"")
    return (int(filters), int(tracer)) if filters.isdigit() and tracer.isdigit() else None


def _first(fields: dict[bytes, bytes], name: bytes, default: int) -> int:
    first = fields.get(name, b"").split(b"\t")[0]
    return int(first) if first.isdigit() else default

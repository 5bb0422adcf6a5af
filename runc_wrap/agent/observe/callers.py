"""Who made a call that waits for an answer, as /proc has it while it waits.

`look` is for a process that nobody waits for without a bound (agent.observe.inspector): to read
/proc/PID/status or stat takes a reference to the memory of a process, and who drops the last one,
should it be killed meanwhile, waits until its files are written (linux:kernel/fork.c __mmput,
fs/fuse/file.c fuse_vma_close); as who drops the last to its program may (fuse_release).

A workload that floods is looked at now and then: beyond so many calls a second, what was read of a
thread less than a second ago stands for it, and most threads not known yet are not looked at.
Every call is counted all the same.
"""

from __future__ import annotations

from runc_wrap.host import files, procfs

FULL = 200  # calls a second of one container, of which each caller is looked at
EACH = 16  # of those beyond, one in so many


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
        """Return who a thread belongs to, None if that is to be looked at, and then `learnt`.

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
        """Remember who a thread belongs to."""
        self._known[tid] = caller


def look(tid: int) -> Caller:
    """Read a thread's process; what cannot be read is "". Valid if the call waits afterwards."""
    try:
        fields = procfs.status(tid)
    except (OSError, files.TooLarge):
        return Caller(tid)
    comm = procfs.plain_name(fields.get(b"Name", b""))
    exe = procfs.program(tid) or ""
    return Caller(_first(fields, b"Tgid", tid), _first(fields, b"Uid", 0), comm, exe)


def standing(tid: int) -> tuple[int, int] | None:
    """Read how many filters a thread carries, and who traces it (0: nobody); None if unknown."""
    try:
        told = procfs.status(tid)
    except (OSError, files.TooLarge):
        return None
    filters, tracer = told.get(b"Seccomp_filters", b""), told.get(b"TracerPid", b"")
    return (int(filters), int(tracer)) if filters.isdigit() and tracer.isdigit() else None


def _first(fields: dict[bytes, bytes], name: bytes, default: int) -> int:
    first = fields.get(name, b"").split(b"\t")[0]
    return int(first) if first.isdigit() else default

"""The program that reads callers in /proc, so that the service observe never blocks there.

It reads questions on standard input, one at a time, and reports how long each took. If it blocks,
the service goes on after a bound and starts another one. It loads this module and little else.

Questions: QUESTION. Answers: marshal of ((pid, uid, comm, exe), clone3's purpose, a filter's
program, how many filters the thread carries, its tracer, seconds), None for what was not asked for.
An empty answer, the first, means that it is ready.

Reading /proc/PID/status or stat takes a reference to a process' memory. If the process is killed
meanwhile, whoever drops the last reference waits until its files are written (linux:kernel/fork.c
__mmput, fs/fuse/file.c fuse_vma_close). Dropping the last reference to its program may wait
likewise (fuse_release). Reading its memory can block for ever, too: a page may belong to a file on
a file system that does not answer, or the process may hold its memory's lock. So only this program
calls what reads here.
"""

import _socket
import marshal
import posix
import resource
import struct
import time

from runc_wrap.host import files, procfs

Described = tuple[int, int, str, str]  # process (tgid), user, name, program; "" if unknown
Purpose = tuple[int, int | None]  # clone3's flags, and set_tid_size if it could be read
Standing = tuple[int, int] | tuple[None, None]
Answer = tuple[Described, Purpose | None, bytes | None, int | None, int | None, float]

QUESTION = struct.Struct("=qQB")  # thread, address, what to read beside the thread's process
# clone3's; from here on the thread's filters and tracer; also a struct sock_fprog, its 32-bit form
NOTHING, PURPOSE, STANDING, NATIVE, COMPAT = range(5)
LARGEST = 48 << 10  # bytes of a question or an answer: a filter, a path and a name
_SLOW = 0.001  # seconds

# A struct clone_args begins with the flags, and has set_tid_size at 72: 64 bits each on every ABI
# (linux:include/uapi/linux/sched.h).
_FLAGS, _WITH_TIDS = struct.Struct("=Q"), struct.Struct("=Q64xQ")
# A filter is a struct sock_fprog, a length and a pointer (linux:include/uapi/linux/filter.h), which
# is shorter for 32-bit programs and x32.
_PROGRAM, _COMPAT = struct.Struct("=H6xQ"), struct.Struct("=H2xI")
_INSTRUCTION, _MOST = 8, 4096
_NULL = 4096  # vm.mmap_min_addr: nothing is mapped below


def main(_prefix: str) -> None:
    """Answer until the service closes the channel."""
    channel = _socket.socket(fileno=0)
    channel.send(marshal.dumps(()))
    while question := channel.recv(QUESTION.size):
        tid, address, what = QUESTION.unpack(question)
        slept, begun, used = _slept(), time.monotonic(), time.process_time()
        caller = process(tid)
        meant = purpose(tid, address) if what == PURPOSE else None
        named = program(tid, address, compat=what == COMPAT) if what > STANDING else None
        stands = standing(tid) if what >= STANDING else (None, None)
        taken = time.monotonic() - begun
        if taken > _SLOW and _slept() == slept:  # it merely had no CPU
            taken = time.process_time() - used
        channel.send(marshal.dumps((caller, meant, named, *stands, taken)))


def _slept() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_nvcsw


def process(tid: int) -> Described:
    """Read a thread's process, "" for what cannot be read. Valid if the call waits afterwards."""
    fields = _status(tid)
    if fields is None:
        return tid, 0, "", ""
    comm = procfs.plain_name(fields.get(b"Name", b""))
    return _first(fields, b"Tgid", tid), _first(fields, b"Uid", 0), comm, procfs.program(tid) or ""


def standing(tid: int) -> Standing:
    """Read how many filters a thread carries, and its tracer's pid (0: none); None if unknown."""
    fields = _status(tid) or {}
    filters, tracer = fields.get(b"Seccomp_filters", b""), fields.get(b"TracerPid", b"")
    known = filters.isdigit() and tracer.isdigit()
    return (int(filters), int(tracer)) if known else (None, None)


def _status(tid: int) -> dict[bytes, bytes] | None:
    try:
        return procfs.status(tid)
    except (OSError, files.TooLarge):
        return None


def _first(fields: dict[bytes, bytes], name: bytes, default: int) -> int:
    first = fields.get(name, b"").split(b"\t")[0]
    return int(first) if first.isdigit() else default


def purpose(tid: int, where: int) -> Purpose | None:
    """Read clone3's flags and set_tid_size: 0 by a null pointer, None for what cannot be read.

    The kernel may read what we cannot: memory of memfd_secret(2) is its process' own.
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
    """Read the filter that a call names; b"" if the kernel would reject it, None if unknown."""
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

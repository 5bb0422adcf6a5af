"""Reading a live process' seccomp filters back from the kernel.

Facts, kernel/seccomp.c seccomp_get_filter and ptrace(2): PTRACE_SECCOMP_GET_FILTER wants
CAP_SYS_ADMIN in the initial user namespace and a caller without seccomp of its own (EACCES), a
stopped tracee, and a kernel with CONFIG_CHECKPOINT_RESTORE (EIO or EINVAL without). Filters
count from 0, the oldest; ENOENT tells that there are no more.

The process is stopped for the reading, about a millisecond. It is attached by PTRACE_SEIZE,
which sends no signal and leaves a stopped process stopped; a blocking call is restarted, but
the few that never are (epoll_wait, semop, sigtimedwait, see signal(7)) return EINTR once. The
tracing is done by a thread of its own: the kernel detaches whatever a thread traces when that
ends, so that also a process which never stops is left alone after the time is up.

Filters belong to threads; `read` takes any thread's id. runc and crun load them before there are
threads, so that all have at least the filters of the first.
"""

import ctypes
import errno
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from runc_wrap.host import bounded_work, procfs

# linux/ptrace.h
_SEIZE, _INTERRUPT, _DETACH, _GET_FILTER = 0x4206, 0x4207, 17, 0x420C
_EVENT_STOP = 128
_WALL = 0x40000000
_INSTRUCTION = 8  # sizeof(struct sock_filter)
_MOST = 64  # filters; with the longest there would be 4 * 64 KiB each, the kernel stops far earlier
SECONDS = 2.0
_PAUSE = 0.0005
_SOON = 0.002  # seconds that others wait for one to stop
_HELD = 0.2  # seconds to begin with a process; more only if it keeps its tracer waiting

_libc = ctypes.CDLL(None, use_errno=True)
_libc.ptrace.restype = ctypes.c_long
_libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]


class FiltersUnreadableError(RuntimeError):
    """The filters cannot be read; the text is one sentence. `errno` is 0 where none applies."""

    def __init__(self, sentence: str, number: int = 0) -> None:
        super().__init__(sentence)
        self.errno = number


Read = tuple[bytes, ...] | FiltersUnreadableError


@dataclass(frozen=True, slots=True)
class Status:
    """Seccomp and Seccomp_filters of /proc/PID/status.

    `mode` is 0 (none), 1 (strict) or 2 (filters); `count` is None before Linux 5.9.
    """

    mode: int
    count: int | None
    tracer: int
    name: str


def status(pid: int) -> Status:
    """Return what /proc/PID/status says. Raises FiltersUnreadableError."""
    try:
        fields = procfs.status(pid)
    except (FileNotFoundError, ProcessLookupError):
        raise _gone(pid) from None
    except OSError as error:
        text = error.strerror or str(error)
        raise FiltersUnreadableError(f"/proc/{pid}/status: {text}", error.errno or 0) from None
    if b"Seccomp" not in fields:
        raise FiltersUnreadableError(
            "this kernel has no seccomp: /proc/PID/status does not show it"
        )
    count = fields.get(b"Seccomp_filters")
    return Status(
        int(fields[b"Seccomp"]),
        None if count is None else int(count),
        int(fields.get(b"TracerPid", b"0")),
        fields.get(b"Name", b"").decode("utf-8", "replace"),
    )


def _gone(pid: int) -> FiltersUnreadableError:
    return FiltersUnreadableError(f"the process {pid} is not there any more", errno.ESRCH)


def read(pid: int, seconds: float = SECONDS) -> tuple[bytes, ...]:
    """Return the filters of a process, oldest first, each as struct sock_filter[] (8 bytes each).

    () for a process without filters, which then is not touched. Takes at most about `seconds`.
    Raises FiltersUnreadableError.
    """
    found = read_all([pid], seconds)[pid]
    if isinstance(found, FiltersUnreadableError):
        raise found
    return found


def read_all(pids: Sequence[int], seconds: float = SECONDS) -> dict[int, Read]:
    """Return for each process what `read` returns or raises, in `seconds` for all together."""
    found: dict[int, Read] = {}
    for pid in pids:
        try:
            if status(pid).mode != 2:  # noqa: PLR2004 (SECCOMP_MODE_FILTER)
                found[pid] = ()
        except FiltersUnreadableError as error:
            found[pid] = error
    deadline = time.monotonic() + seconds
    left = [pid for pid in dict.fromkeys(pids) if pid not in found]
    while left and time.monotonic() < deadline:
        told, held = _once(left, deadline)
        found |= told
        begun = [] if held is None else left[: left.index(held)]
        left = [pid for pid in (*left[len(begun) :], *begun) if pid not in found]
        if held is None:
            break
    return {pid: found.get(pid) or _never(pid, found) for pid in pids}


def _never(pid: int, found: Mapping[int, Read]) -> Read:
    return () if pid in found else _unstopped(pid)


def _once(pids: Sequence[int], deadline: float) -> tuple[dict[int, Read], int | None]:
    """Have one tracer read; return what it did, and the process that keeps it from going on."""
    tracer = bounded_work.Process(os.geteuid(), lambda: _traced(pids))
    found: dict[int, Read] = {}
    begun: int | None = None
    while not tracer.is_over and (left := deadline - time.monotonic()) > 0:
        before = tracer.heard  # more than whole lines
        told = tracer.hear_within(left if begun is None else min(left, _HELD))
        if tracer.heard == before and begun is not None:
            found[begun] = _unstopped(begun)
            break
        for pid, what in told:
            begun = (pid or None) if what is None else None
            if what is not None:
                found[pid] = _value(what)
    tracer.leave()
    return found, begun


def _value(told: list[Any]) -> Read:
    number, said = told
    if number is None:
        return tuple(map(bytes.fromhex, said))
    return FiltersUnreadableError(said, number)


def _unstopped(pid: int) -> FiltersUnreadableError:
    return FiltersUnreadableError(
        f"the process {pid} did not stop to be read; it may be frozen, or waiting for a device or "
        "for a child that it made by vfork",
        errno.ETIMEDOUT,
    )


def _traced(pids: Sequence[int]) -> Iterator[tuple[int, Any]]:
    """Yield (pid, None) before a process is touched, and (pid, what was read) as soon as it was.

    (0, None) says that all have been begun.
    """
    waiting: set[int] = set()
    for pid in pids:
        yield pid, None
        try:
            _ptrace(_SEIZE, pid)
            waiting.add(pid)
            _ptrace(_INTERRUPT, pid)
        except FiltersUnreadableError as error:
            yield pid, (error.errno, str(error))
            continue
        yield from _stopped(waiting, time.monotonic() + _SOON)
        yield 0, None
    while waiting:
        yield from _stopped(waiting, time.monotonic() + SECONDS)


def _stopped(waiting: set[int], until: float) -> Iterator[tuple[int, Any]]:
    """Yield what was read of those that stop until then, and let each go on."""
    while waiting:
        pid, state = os.waitpid(-1, os.WNOHANG | _WALL)
        if pid:
            waiting.discard(pid)
            yield pid, _let_go(pid, state)
        elif time.monotonic() > until:
            return
        else:
            time.sleep(_PAUSE)


def _let_go(pid: int, state: int) -> tuple[int | None, Any]:
    """Read a process that has stopped; it goes on with the signal that was on its way to it."""
    if not os.WIFSTOPPED(state):
        return errno.ESRCH, str(_gone(pid))
    try:
        return None, [each.hex() for each in _filters(pid)]
    except FiltersUnreadableError as error:
        return error.errno, str(error)
    finally:
        pending = 0 if state >> 16 == _EVENT_STOP else os.WSTOPSIG(state)
        _libc.ptrace(_DETACH, pid, None, pending)  # fails where it is gone


def _filters(pid: int) -> Iterator[bytes]:
    for index in range(_MOST):
        length = _get_filter(pid, index, None)
        if length is None:
            return
        buffer = ctypes.create_string_buffer(length * _INSTRUCTION)
        _get_filter(pid, index, buffer)
        yield buffer.raw
    raise FiltersUnreadableError(f"the process {pid} has more than {_MOST} filters")


def _get_filter(pid: int, index: int, buffer: "ctypes.Array[ctypes.c_char] | None") -> int | None:
    """Return a filter's length in instructions, None past the last one."""
    try:
        return _ptrace(_GET_FILTER, pid, index, buffer)
    except FiltersUnreadableError as error:
        if error.errno == errno.ENOENT:
            return None
        raise


def _ptrace(
    request: int, pid: int, place: int = 0, data: "ctypes.Array[ctypes.c_char] | None" = None
) -> int:
    returned = int(_libc.ptrace(request, pid, place, data))
    if returned < 0:
        number = ctypes.get_errno()
        raise FiltersUnreadableError(_sentence(request, pid, number), number)
    return returned


def _sentence(request: int, pid: int, number: int) -> str:
    if number == errno.ESRCH:
        return str(_gone(pid))
    if number == errno.EPERM and request == _SEIZE:
        return _refused(pid)
    if number == errno.EACCES:
        return (
            "the kernel gives filters only to a process with CAP_SYS_ADMIN in the initial user "
            "namespace which is not under seccomp itself; run this as root, outside containers"
        )
    if number in (errno.EIO, errno.EINVAL) and request == _GET_FILTER:
        return "this kernel does not give filters back: it lacks CONFIG_CHECKPOINT_RESTORE"
    return f"ptrace({request:#x}) of the process {pid}: {os.strerror(number)}"


def _refused(pid: int) -> str:
    seen = status(pid)
    if seen.tracer:
        return f"the process {pid} is traced already, by the process {seen.tracer}"
    return f"tracing the process {pid} is not permitted; it takes root and CAP_SYS_PTRACE"

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
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

# linux/ptrace.h
_SEIZE, _INTERRUPT, _DETACH, _GET_FILTER = 0x4206, 0x4207, 17, 0x420C
_EVENT_STOP = 128
_WALL = 0x40000000
_INSTRUCTION = 8  # sizeof(struct sock_filter)
_MOST = 64  # filters; with the longest there would be 4 * 64 KiB each, the kernel stops far earlier
SECONDS = 2.0
_PAUSE = 0.0005

_libc = ctypes.CDLL(None, use_errno=True)
_libc.ptrace.restype = ctypes.c_long
_libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]


class FiltersUnreadableError(RuntimeError):
    """The filters cannot be read; the text is one sentence. `errno` is 0 where none applies."""

    def __init__(self, sentence: str, number: int = 0) -> None:
        super().__init__(sentence)
        self.errno = number


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
        text = Path(f"/proc/{pid}/status").read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        raise _gone(pid) from None
    except OSError as error:
        text = error.strerror or str(error)
        raise FiltersUnreadableError(f"/proc/{pid}/status: {text}", error.errno or 0) from None
    fields = {name: value.strip() for name, _, value in map(_split, text.splitlines())}
    if "Seccomp" not in fields:
        raise FiltersUnreadableError(
            "this kernel has no seccomp: /proc/PID/status does not show it"
        )
    count = fields.get("Seccomp_filters")
    return Status(
        int(fields["Seccomp"]),
        None if count is None else int(count),
        int(fields.get("TracerPid", "0")),
        fields.get("Name", ""),
    )


def _split(line: str) -> tuple[str, str, str]:
    return line.partition(":")


def _gone(pid: int) -> FiltersUnreadableError:
    return FiltersUnreadableError(f"the process {pid} is not there any more", errno.ESRCH)


def read(pid: int, seconds: float = SECONDS) -> tuple[bytes, ...]:
    """Return the filters of a process, oldest first, each as struct sock_filter[] (8 bytes each).

    () for a process without filters, which then is not touched. Takes at most about `seconds`.
    Raises FiltersUnreadableError.
    """
    if status(pid).mode != 2:  # noqa: PLR2004 (SECCOMP_MODE_FILTER)
        return ()
    result: list[tuple[bytes, ...] | Exception] = []
    tracer = threading.Thread(target=_into(result, lambda: _traced(pid, seconds)), daemon=True)
    tracer.start()
    tracer.join()
    if isinstance(result[0], Exception):
        raise result[0]
    return result[0]


def _into(
    result: list[tuple[bytes, ...] | Exception], work: Callable[[], tuple[bytes, ...]]
) -> Callable[[], None]:
    def run() -> None:
        try:
            result.append(work())
        except Exception as error:  # noqa: BLE001 (raised again by who waits)
            result.append(error)

    return run


def _traced(pid: int, seconds: float) -> tuple[bytes, ...]:
    with _stopped(pid, time.monotonic() + seconds):
        return tuple(_filters(pid))


@contextmanager
def _stopped(pid: int, deadline: float) -> Iterator[None]:
    """Hold a process stopped; it goes on afterwards, with the signal that was on its way to it."""
    _ptrace(_SEIZE, pid)
    pending = 0
    try:
        _ptrace(_INTERRUPT, pid)
        pending = _await_stop(pid, deadline)
        yield
    finally:
        # fails where the process has not stopped or is gone; the thread's end detaches then
        _libc.ptrace(_DETACH, pid, None, pending)


def _await_stop(pid: int, deadline: float) -> int:
    """Return the signal that the stop is about, 0 for the one that was asked for."""
    while time.monotonic() < deadline:
        found, state = os.waitpid(pid, os.WNOHANG | _WALL)
        if found and not os.WIFSTOPPED(state):
            raise _gone(pid)
        if found:
            return 0 if state >> 16 == _EVENT_STOP else os.WSTOPSIG(state)
        time.sleep(_PAUSE)
    raise FiltersUnreadableError(
        f"the process {pid} did not stop to be read; it may be frozen, or waiting for a device",
        errno.ETIMEDOUT,
    )


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

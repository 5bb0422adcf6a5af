"""Reading a live process' seccomp filters back from the kernel.

By kernel/seccomp.c seccomp_get_filter and ptrace(2), PTRACE_SECCOMP_GET_FILTER requires
CAP_SYS_ADMIN in the initial user namespace and a caller that is not under seccomp itself (EACCES
otherwise), a stopped tracee, and a kernel with CONFIG_CHECKPOINT_RESTORE (EIO or EINVAL without).
Filters are counted from 0, the oldest; ENOENT means that there are no more.

The process is stopped while it is read, about a millisecond. PTRACE_SEIZE attaches to it, which
sends no signal and leaves a stopped process stopped. The kernel restarts blocking calls, except for
some (epoll_wait, semop, sigtimedwait, see signal(7)): on x86_64 these begin again, too; on other
machines they return EINTR once. It continues calls with a relative timeout (poll, nanosleep) by
restart_syscall(2); where a filter denies this, they begin again on x86_64, and on other machines
get the filter's answer, as after SIGSTOP and SIGCONT. A child process does the tracing: the kernel
detaches its tracees when it ends, so that even a process which never stops is left alone after the
deadline.

Filters belong to threads; `read` takes any thread's id. runc and crun load them before there are
threads, so that all have at least the filters of the first. `tighten` adds them later: its are read
of each thread.
"""

import ctypes
import errno
import math
import os
import platform
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from runc_wrap.filters.evaluate import bpf_machine
from runc_wrap.filters.kernel import injected_code
from runc_wrap.host import bounded_work, procfs
from runc_wrap.profiles import return_codes

# linux/ptrace.h; the registers' are x86's
GETREGS, SETREGS = 12, 13
_SEIZE, _INTERRUPT, _DETACH, _GET_FILTER = 0x4206, 0x4207, 17, 0x420C
_EVENT_STOP = 128
_SYSGOOD = 0x80  # in a stop's signal: it is no signal, but a system call
_SYS_ADMIN = 1 << 21  # CAP_SYS_ADMIN, linux/capability.h
_WALL = 0x40000000
_INSTRUCTION = 8  # sizeof(struct sock_filter)
FILTERED = 2  # SECCOMP_MODE_FILTER, linux/seccomp.h
_MOST = 64  # filters; the kernel allows 256 KiB of all, which is far fewer of the longest
SECONDS = 2.0
_PAUSE = 0.0005
_SOON = 0.002  # seconds that the others wait for one process to stop
_HELD = 0.2  # seconds for attaching to a process; beyond that, it blocks its tracer

_libc = ctypes.CDLL(None, use_errno=True)
_libc.ptrace.restype = ctypes.c_long
_libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]


class Registers(ctypes.Structure):
    """struct user_regs_struct, arch/x86/include/asm/user_64.h; also for 32-bit threads."""

    _fields_ = [
        (name, ctypes.c_longlong if name.endswith("rax") else ctypes.c_ulonglong)
        for name in (
            "r15 r14 r13 r12 rbp rbx r11 r10 r9 r8 rax rcx rdx rsi rdi orig_rax rip cs eflags rsp "
            "ss fs_base gs_base ds es fs gs"
        ).split()
    ]


class FiltersUnreadableError(RuntimeError):
    """The filters cannot be read; the text is one sentence. `errno` is 0 if none applies."""

    def __init__(self, sentence: str, number: int = 0) -> None:
        super().__init__(sentence)
        self.errno = number


Read = tuple[bytes, ...] | FiltersUnreadableError


@dataclass(frozen=True, slots=True)
class Status:
    """Fields of /proc/PID/status: Seccomp, Seccomp_filters, TracerPid, State's letter.

    `mode` is 0 (none), 1 (strict) or 2 (filters); `count` is None before Linux 5.9. `may_add`: the
    kernel lets it add a filter, since it has `no_new_privs` or CAP_SYS_ADMIN. `blocked` and
    `pending` are signals, as bits; ppoll(2) and its kin block others while they wait.
    """

    mode: int
    count: int | None
    tracer: int
    state: bytes
    may_add: bool
    no_new_privs: bool
    blocked: int
    pending: int

    @property
    def kept(self) -> tuple[int, int | None, bool]:
        """What a thread can add to and not undo, and what TSYNC gives its process' others."""
        return self.mode, self.count, self.no_new_privs


def status(pid: int | str) -> Status:
    """Return what /proc/PID/status says of a process or thread. Raises FiltersUnreadableError."""
    try:
        fields = procfs.status(pid)
    except (FileNotFoundError, ProcessLookupError):
        raise gone(pid) from None
    except OSError as error:
        text = error.strerror or str(error)
        raise FiltersUnreadableError(f"/proc/{pid}/status: {text}", error.errno or 0) from None
    if b"Seccomp" not in fields:
        raise FiltersUnreadableError(
            "this kernel has no seccomp: /proc/PID/status does not show it"
        )
    return status_of(fields)


def status_of(fields: Mapping[bytes, bytes]) -> Status:
    """Return what /proc/PID/status says, as procfs reads it."""
    count, is_admin = fields.get(b"Seccomp_filters"), int(fields[b"CapEff"], 16) & _SYS_ADMIN
    no_new_privs = fields.get(b"NoNewPrivs") == b"1"
    return Status(
        int(fields[b"Seccomp"]),
        None if count is None else int(count),
        int(fields.get(b"TracerPid", b"0")),
        fields[b"State"][:1],
        bool(is_admin) or no_new_privs,
        no_new_privs,
        int(fields[b"SigBlk"], 16),
        int(fields[b"SigPnd"], 16) | int(fields[b"ShdPnd"], 16),
    )


def gone(pid: int | str) -> FiltersUnreadableError:
    """Return the error for a process that has ended."""
    return FiltersUnreadableError(f"the process {pid} has ended", errno.ESRCH)


def read(pid: int, seconds: float = SECONDS) -> tuple[bytes, ...]:
    """Return the filters of a process, oldest first, each as struct sock_filter[] (8 bytes each).

    () for a process without filters, which is not stopped. Takes at most about `seconds`.
    Raises FiltersUnreadableError.
    """
    found = read_all([pid], seconds)[pid]
    if isinstance(found, FiltersUnreadableError):
        raise found
    return found


def read_threads(pids: Sequence[int], seconds: float = SECONDS) -> list[tuple[int, int, Read]]:
    """Return (process, thread, what `read` returns or raises) for all threads that are there."""
    threads = {tid: pid for pid in pids for tid in procfs.living(pid)}
    read = read_all([*threads], seconds)
    return [
        (pid, tid, read[tid]) for tid, pid in threads.items() if procfs.started(f"{pid}/task/{tid}")
    ]


def read_all(pids: Sequence[int], seconds: float = SECONDS) -> dict[int, Read]:
    """Return what `read` returns or raises, for each process; takes `seconds` for all together."""
    found: dict[int, Read] = {}
    for pid in pids:
        try:
            if status(pid).mode != FILTERED:
                found[pid] = ()
        except FiltersUnreadableError as error:
            found[pid] = error
    deadline = time.monotonic() + seconds
    left = [pid for pid in dict.fromkeys(pids) if pid not in found]
    while left and time.monotonic() < deadline:
        now, blocking = _once(left, deadline)
        found |= now
        begun = [] if blocking is None else left[: left.index(blocking)]
        left = [pid for pid in (*left[len(begun) :], *begun) if pid not in found]
        if blocking is None:
            break
    return {pid: found.get(pid) or _never(pid, found) for pid in pids}


def _never(pid: int, found: Mapping[int, Read]) -> Read:
    return () if pid in found else unstopped(pid)


def _once(pids: Sequence[int], deadline: float) -> tuple[dict[int, Read], int | None]:
    """Read with one tracer; return what it read, and the process that blocks it, if any."""
    tracer = bounded_work.Worker(os.geteuid(), lambda: _traced(pids))
    found: dict[int, Read] = {}
    begun: int | None = None
    for pid, what in tracer.within(deadline, lambda: _HELD if begun else math.inf):  # noqa: B023
        begun = (pid or None) if what is None else None
        if what is not None:
            found[pid] = _value(what)
    if begun is not None and not tracer.is_over:
        found[begun] = unstopped(begun)
    tracer.end()
    return found, begun


def _value(result: list[Any]) -> Read:
    number, value = result
    if number is None:
        return tuple(map(bytes.fromhex, value))
    return FiltersUnreadableError(value, number)


def unstopped(pid: int) -> FiltersUnreadableError:
    """Return the error for a process that does not stop for its tracer."""
    return FiltersUnreadableError(
        f"the process {pid} did not stop to be read; it may be frozen, or waiting for a device or "
        "for a child that it made by vfork",
        errno.ETIMEDOUT,
    )


def _traced(pids: Sequence[int]) -> Iterator[tuple[int, Any]]:
    """Yield (pid, None) before attaching to a process, and (pid, result) once it was read.

    (0, None) follows when the tracer goes on from a process.
    """
    waiting: set[int] = set()
    for pid in pids:
        yield pid, None
        try:
            call(_SEIZE, pid)
            waiting.add(pid)
            call(_INTERRUPT, pid)
        except FiltersUnreadableError as error:
            yield pid, (error.errno, str(error))
            continue
        yield from _stopped(waiting, time.monotonic() + _SOON)
        yield 0, None
    while waiting:
        yield from _stopped(waiting, time.monotonic() + SECONDS)


def _stopped(waiting: set[int], until: float) -> Iterator[tuple[int, Any]]:
    """Yield the results of the processes that stop before `until`, and let each continue."""
    while waiting:
        pid, state = os.waitpid(-1, os.WNOHANG | _WALL)
        if pid:
            waiting.discard(pid)
            yield pid, let_go(pid, state)
        elif time.monotonic() > until:
            return
        else:
            time.sleep(_PAUSE)


def let_go(pid: int, state: int) -> tuple[int | None, Any]:
    """Read a stopped process and let it continue, with the signal that was pending for it."""
    if not os.WIFSTOPPED(state):
        return errno.ESRCH, str(gone(pid))
    is_event = state >> 16 == _EVENT_STOP
    try:
        if is_event:
            begin_again(pid)
        return None, [each.hex() for each in filters(pid)]
    except FiltersUnreadableError as error:
        return error.errno, str(error)
    finally:
        pending = os.WSTOPSIG(state)
        pending = 0 if is_event or pending & _SYSGOOD else pending
        _libc.ptrace(_DETACH, pid, None, pending)  # fails if it has ended


def let_all_go(pid: int) -> None:
    """Wait until the threads of a process that we trace have ended, or have stopped and gone on.

    An exec in one thread ends the others, and waits until their tracer has seen that. It may also
    give the process' number to the thread that we trace.
    """
    with suppress(FiltersUnreadableError):
        call(_INTERRUPT, pid)
    with suppress(ChildProcessError):
        while True:
            let_go(*os.waitpid(-1, _WALL))


def begin_again(tid: int) -> None:
    """Have the call of a thread begin again that only our stop ended, as most others do.

    Also one that the kernel would continue by restart_syscall(2), if a filter of the thread denies
    that. The thread is in a PTRACE_EVENT_STOP. Raises FiltersUnreadableError.
    """
    if platform.machine() != "x86_64":
        return
    registers = Registers()
    call(GETREGS, tid, 0, ctypes.byref(registers))
    state = registers.cs, registers.orig_rax, registers.rax
    restart = injected_code.restart_call(*state)
    own = filters(tid) if restart and status(tid).mode == FILTERED else ()
    is_denied = restart and any(denies(one, *restart) for one in own)
    if is_denied or injected_code.is_ended_by_stop(*state):
        registers.rax = injected_code.NO_HANDLER
        call(SETREGS, tid, 0, ctypes.byref(registers))


def denies(program: bytes, number: int, audit: int) -> bool:
    """Tell whether a filter denies a call without arguments."""
    action = bpf_machine.action(program, (number, audit, *bytes(14)))  # struct seccomp_data
    return action not in (return_codes.ALLOW, return_codes.LOG, return_codes.USER_NOTIF)


def filters(pid: int) -> Iterator[bytes]:
    """Yield the filters of a stopped thread that we trace, oldest first."""
    for index in range(_MOST + 1):
        length = _get_filter(pid, index, None)
        if length is None:
            return
        buffer = ctypes.create_string_buffer(length * _INSTRUCTION)
        _get_filter(pid, index, buffer)
        yield buffer.raw
    raise FiltersUnreadableError(f"the process {pid} has more than {_MOST} filters")


def _get_filter(pid: int, index: int, buffer: "ctypes.Array[ctypes.c_char] | None") -> int | None:
    """Return a filter's length in instructions, None past the last filter."""
    try:
        return call(_GET_FILTER, pid, index, buffer)
    except FiltersUnreadableError as error:
        if error.errno == errno.ENOENT:
            return None
        raise


def call(request: int, pid: int, place: int = 0, data: object = None) -> int:
    """Make a ptrace call; `data` is a number, or what ctypes passes as a pointer.

    Raises FiltersUnreadableError.
    """
    returned = int(_libc.ptrace(request, pid, place, data))
    if returned < 0:
        number = ctypes.get_errno()
        raise FiltersUnreadableError(_sentence(request, pid, number), number)
    return returned


def _sentence(request: int, pid: int, number: int) -> str:
    if number == errno.ESRCH:
        return str(gone(pid))
    if number == errno.EPERM and request == _SEIZE:
        return _refused(pid)
    if number == errno.EACCES:
        return (
            "the kernel returns filters only to a process with CAP_SYS_ADMIN in the initial user "
            "namespace that is not under seccomp itself; run this as root, outside containers"
        )
    if number in (errno.EIO, errno.EINVAL) and request == _GET_FILTER:
        return "this kernel does not return filters: it lacks CONFIG_CHECKPOINT_RESTORE"
    return f"ptrace({request:#x}) of the process {pid}: {os.strerror(number)}"


def _refused(pid: int) -> str:
    seen = status(pid)
    if seen.tracer:
        return f"the process {pid} is already traced, by the process {seen.tracer}"
    return f"tracing the process {pid} is not permitted; it requires root and CAP_SYS_PTRACE"

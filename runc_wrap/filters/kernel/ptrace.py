"""One thread of another process: its status, its filters, and the ptrace(2) calls made to it.

By kernel/seccomp.c seccomp_get_filter and ptrace(2), PTRACE_SECCOMP_GET_FILTER requires
CAP_SYS_ADMIN in the initial user namespace and a caller that is not under seccomp itself (EACCES
otherwise), a stopped tracee, and a kernel with CONFIG_CHECKPOINT_RESTORE (EIO or EINVAL without).
Filters are counted from 0, the oldest; ENOENT means that there are no more.

The kernel restarts blocking calls after a stop, except for some (epoll_wait, semop, sigtimedwait,
see signal(7)): on x86_64 these begin again, too; on other machines they return EINTR once. It
continues calls with a relative timeout (poll, nanosleep) by restart_syscall(2); where a filter
denies this, they begin again on x86_64, and on other machines get the filter's answer, as after
SIGSTOP and SIGCONT.
"""

import ctypes
import errno
import os
import platform
import signal
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runc_wrap.filters.evaluate import bpf_machine
from runc_wrap.filters.kernel import injected_code
from runc_wrap.host import procfs
from runc_wrap.profiles import return_codes

# linux/ptrace.h; the registers' are x86's
POKEDATA, CONT, GETREGS, SETREGS, DETACH, SYSCALL = 5, 7, 12, 13, 17, 24
SETOPTIONS, SEIZE, INTERRUPT = 0x4200, 0x4206, 0x4207
GET_SIGMASK, SET_SIGMASK, GET_FILTER, GET_METADATA = 0x420A, 0x420B, 0x420C, 0x420D
GET_SYSCALL_INFO, GET_RSEQ, GET_DISPATCH = 0x420E, 0x420F, 0x4211
EVENT_STOP = 128
TRACESYSGOOD, SUSPEND_SECCOMP = 1, 1 << 21  # options
SYSGOOD = 0x80  # in a stop's signal: it is no signal, but a system call
WALL = 0x40000000
FILTERED = 2  # SECCOMP_MODE_FILTER, linux/seccomp.h
WORD = 8  # bytes, of struct sock_filter as well
_SET_PDEATHSIG = 1  # linux/prctl.h
_SYS_ADMIN = 1 << 21  # CAP_SYS_ADMIN, linux/capability.h
_MOST = 32_768 // 5  # filters: the kernel counts four instructions for each beside its own

_long, _pointer = ctypes.c_long, ctypes.c_void_p
_libc = ctypes.CDLL(None, use_errno=True)
_libc.ptrace.restype = _libc.process_vm_writev.restype = _long
_libc.ptrace.argtypes = [_long, _long, _pointer, _pointer]
_libc.process_vm_writev.argtypes = [ctypes.c_int, *(_pointer, _long) * 2, _long]


class Registers(ctypes.Structure):
    """struct user_regs_struct, arch/x86/include/asm/user_64.h; also for 32-bit threads."""

    _fields_ = [
        (name, ctypes.c_longlong if name.endswith("rax") else ctypes.c_ulonglong)
        for name in (
            "r15 r14 r13 r12 rbp rbx r11 r10 r9 r8 rax rcx rdx rsi rdi orig_rax rip cs eflags rsp "
            "ss fs_base gs_base ds es fs gs"
        ).split()
    ]


class _Part(ctypes.Structure):
    """struct iovec."""

    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


class FiltersUnreadableError(RuntimeError):
    """The filters cannot be read; the text is one sentence. `errno` is 0 if none applies."""

    def __init__(self, sentence: str, number: int = 0) -> None:
        super().__init__(sentence)
        self.errno = number


@dataclass(frozen=True, slots=True)
class Status:
    """Fields of /proc/PID/status: Seccomp, Seccomp_filters, Threads, TracerPid, State's letter.

    `mode` is 0 (none), 1 (strict) or 2 (filters); `count` is None before Linux 5.9. `may_add`: the
    kernel lets it add a filter, since it has `no_new_privs` or CAP_SYS_ADMIN. `blocked` and
    `pending` are signals, as bits; ppoll(2) and its kin block others while they wait.
    """

    mode: int
    count: int | None
    threads: int
    tracer: int
    state: bytes
    may_add: bool
    no_new_privs: bool
    blocked: int
    pending: int


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
        int(fields[b"Threads"]),
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


def let_go(pid: int, state: int) -> tuple[int | None, Any]:
    """Read a stopped process and let it continue, with the signal that was pending for it."""
    if not os.WIFSTOPPED(state):
        return errno.ESRCH, str(gone(pid))
    is_event = state >> 16 == EVENT_STOP
    try:
        if is_event:
            begin_again(pid)
        return None, [each.hex() for each in filters(pid)]
    except FiltersUnreadableError as error:
        return error.errno, str(error)
    finally:
        pending = os.WSTOPSIG(state)
        pending = 0 if is_event or pending & SYSGOOD else pending
        _libc.ptrace(DETACH, pid, None, pending)  # fails if it has ended


def let_all_go(pid: int) -> None:
    """Wait until the threads of a process that we trace have ended, or have stopped and gone on.

    An exec in one thread ends the others, and waits until their tracer has seen that. It may also
    give the process' number to the thread that we trace.
    """
    with suppress(FiltersUnreadableError):
        call(INTERRUPT, pid)
    with suppress(ChildProcessError):
        while True:
            let_go(*os.waitpid(-1, WALL))


def begin_again(tid: int) -> None:
    """Have the call of a thread begin again that only our stop ended, as most others do.

    Also one that the kernel would continue by restart_syscall(2), if a filter of the thread denies
    that. The thread is in a PTRACE_EVENT_STOP. Raises FiltersUnreadableError.
    """
    if platform.machine() != "x86_64":
        return
    found = registers(tid)
    state = found.cs, found.orig_rax, found.rax
    restart = injected_code.restart_call(*state)
    own = filters(tid) if restart and status(tid).mode == FILTERED else ()
    is_denied = restart and any(denies(one, *restart) for one in own)
    if is_denied or injected_code.is_ended_by_stop(*state):
        found.rax = injected_code.NO_HANDLER
        set_registers(tid, found)


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
        buffer = ctypes.create_string_buffer(length * WORD)
        _get_filter(pid, index, buffer)
        yield buffer.raw
    raise FiltersUnreadableError(f"the process {pid} has more than {_MOST} filters")


def _get_filter(pid: int, index: int, buffer: "ctypes.Array[ctypes.c_char] | None") -> int | None:
    """Return a filter's length in instructions, None past the last filter."""
    try:
        return call(GET_FILTER, pid, index, buffer)
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
    if number == errno.EPERM and request == SEIZE:
        return _refused(pid)
    if number == errno.EACCES:
        return (
            "the kernel returns filters only to a process with CAP_SYS_ADMIN in the initial user "
            "namespace that is not under seccomp itself; run this as root, outside containers"
        )
    if number in (errno.EIO, errno.EINVAL) and request == GET_FILTER:
        return "this kernel does not return filters: it lacks CONFIG_CHECKPOINT_RESTORE"
    return f"ptrace({request:#x}) of the process {pid}: {os.strerror(number)}"


def _refused(pid: int) -> str:
    seen = status(pid)
    if procfs.has_ended(seen.state):
        return str(gone(pid))
    if seen.tracer:
        return f"the process {pid} is already traced, by the process {seen.tracer}"
    return f"tracing the process {pid} is not permitted; it requires root and CAP_SYS_PTRACE"


def end_with_parent(*, is_so: bool) -> None:
    """Have the kernel kill this process when its parent ends, or not."""
    _libc.prctl(_SET_PDEATHSIG, signal.SIGKILL if is_so else 0)


def registers(tid: int) -> Registers:
    """Return the registers of a stopped thread. Raises FiltersUnreadableError if it is killed."""
    found = Registers()
    call(GETREGS, tid, 0, ctypes.byref(found))
    return found


def set_registers(tid: int, wanted: Registers) -> None:
    """Set the registers of a stopped thread. Raises FiltersUnreadableError."""
    call(SETREGS, tid, 0, ctypes.byref(wanted))


def answer(tid: int, request: int, size: int, asked: bytes = b"") -> bytes:
    """Return what a request says of a stopped thread, zeros if this kernel does not know it.

    Raises FiltersUnreadableError.
    """
    found = ctypes.create_string_buffer(asked, size)
    try:
        call(request, tid, size, found)
    except FiltersUnreadableError as error:
        if error.errno not in (errno.EIO, errno.EINVAL):
            raise
    return found.raw


def memory(tid: int, address: int, size: int) -> bytes:
    """Return a thread's memory, b"" if it cannot be read. Raises OSError if it has ended."""
    with Path(f"/proc/{tid}/mem").open("rb", buffering=0) as file:
        try:
            return os.pread(file.fileno(), size, address)
        except (OSError, OverflowError):
            return b""


def poke(tid: int, address: int, data: bytes) -> None:
    """Write whole words into the memory of a stopped thread, also where it may only read."""
    for at in range(0, len(data), WORD):
        call(POKEDATA, tid, address + at, int.from_bytes(data[at : at + WORD], "little"))


def write(tid: int, address: int, data: bytes) -> None:
    """Write into memory that a thread may write. Raises FiltersUnreadableError.

    Rules against writing /proc/PID/mem do not concern it, and a word at a time takes too long.
    """
    parts = (
        _Part(ctypes.cast(ctypes.c_char_p(data), ctypes.c_void_p), len(data)),
        _Part(address, len(data)),
    )
    local, remote = map(ctypes.byref, parts)
    if _libc.process_vm_writev(tid, local, 1, remote, 1, 0) != len(data):
        raise FiltersUnreadableError(f"the memory that the thread {tid} got was taken away")

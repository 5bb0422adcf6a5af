"""Making a thread of another process add a seccomp filter to itself, by ptrace(2).

Only a task can install its filters: the thread is stopped, runs `injected_code`'s code, and goes on
where it was. The code stands in the unused end of the page of its vDSO, which no other thread
executes; the filter in a page that is mapped for it and unmapped afterwards.

- The kernel restarts an interrupted call only after a PTRACE_EVENT_STOP, not after a syscall-stop:
  the registers are put back in the former (arch/x86/kernel/signal.c).
- The thread's own filters are suspended while it runs that code and no other: each call's ABI,
  number and arguments are compared in the kernel before it is made, and the filter is read back
  after it, since the process' other threads can write to all that the code reads.
- The kernel adds it to all threads of the process at once, or to none (SECCOMP_FILTER_FLAG_TSYNC).
- Its signals are blocked meanwhile. A stop of the whole process takes effect afterwards.
- A tracer that is killed leaves the thread in that code, which ends by itself (`injected_code`).

Raises FiltersUnreadableError, whose sentence says why the filter was not added.
"""

import errno
import os
import signal
import struct
import time
from collections.abc import Callable
from functools import cache
from typing import NamedTuple

from runc_wrap.filters.kernel import injected_code, ptrace
from runc_wrap.filters.kernel.injected_code import KEPT, InjectedCall
from runc_wrap.filters.kernel.ptrace import WORD, FiltersUnreadableError, Registers, Status
from runc_wrap.host import procfs

_SYSCALL_STOP = signal.SIGTRAP | ptrace.SYSGOOD
_PAGE = 4096
_AT_SYSINFO_EHDR, _LARGEST_AUXV = 33, 4096
_TRACE_FLAG = 0x100
# linux/prctl.h, linux/seccomp.h, asm-generic/mman.h
_SET_NO_NEW_PRIVS, _SET_MODE_FILTER, _TSYNC, _LOG, _SPEC_ALLOW = 38, 1, 1, 2, 4
_READ_WRITE, _PRIVATE_ANONYMOUS = 3, 0x22
_SET_MASK, _ALL_SIGNALS = 2, b"\xff" * WORD  # SIG_SETMASK
_NO_CALL = -1  # as orig_rax: not in a call, or none is made
_SEQUENCE = 32  # bytes of struct rseq_cs, linux/rseq.h
_ATTEMPTS = 100  # each ends with a signal that the thread got

NEEDS_NO_NEW_PRIVS = (
    "the kernel adds a filter only where no_new_privs is set, or to a process with CAP_SYS_ADMIN "
    "in its user namespace; try: --set-no-new-privs"
)


class FilterRequest(NamedTuple):
    """A filter to add.

    `program` is struct sock_filter[] (8 bytes each, 4096 at most).
    `set_no_new_privs`: set it in processes that have neither it nor CAP_SYS_ADMIN; without that,
    the kernel lets these add no filter, and they are refused. `alike` are filters that do the same
    and more. `logs`: the kernel logs what the filter denies.
    """

    program: bytes
    set_no_new_privs: bool = False
    alike: tuple[bytes, ...] = ()
    logs: bool = False

    def shared(self, status: Status) -> tuple[int, int | None, bool]:
        """Return what a thread has that all of its process get with the filter."""
        return status.mode, status.count, status.no_new_privs or self.set_no_new_privs


def add_filter(
    tid: int, request: FilterRequest, *, had: Status, is_meant: Callable[[], bool]
) -> float | None:
    """Add a filter to all threads of a thread's process; return the seconds that it stood still.

    None if it has other filters by now than `had`: what all threads had. They get its own filters
    and no_new_privs as well, so the kernel adds it only where these are the same. So a thread that
    has the filter gets it again if it is not the only one: nothing else proves that all have it,
    since one may be in no list. `is_meant` is asked once the thread's number cannot become
    another's. After an error, a thread may be traced until the calling process ends. Blocks until
    the thread stops.
    """
    _denied(request.program)  # not while it stands still
    ptrace.call(ptrace.SEIZE, tid, 0, ptrace.TRACESYSGOOD)
    try:
        ptrace.call(ptrace.INTERRUPT, tid)
        _halt(tid)
        ptrace.end_with_parent(is_so=False)
        begun = time.monotonic()
        if not is_meant():
            ptrace.call(ptrace.DETACH, tid)
            raise ptrace.gone(tid)
        now = ptrace.status(tid)
        own = {*ptrace.filters(tid)} if now.mode == ptrace.FILTERED else set()
        is_new = now.threads > 1 or own.isdisjoint((request.program, *request.alike))
        is_alike = request.shared(now) == request.shared(had)
        if not (is_alike and is_new):
            ptrace.call(ptrace.DETACH, tid)
        else:
            logs = request.logs or any(_logs(tid, one) for one in range(now.count or 0))
            sets_privs = request.set_no_new_privs and not now.may_add
            calls = _calls(len(request.program), _LOG * logs, sets_privs)
            _Run(tid, request.program, calls).finish(now.blocked)
    except ChildProcessError:
        raise ptrace.gone(tid) from None
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ESRCH):
            raise ptrace.gone(tid) from None
        raise FiltersUnreadableError(f"/proc/{tid}: {error.strerror}") from None
    return time.monotonic() - begun if is_alike else None


@cache
def _denied(program: bytes) -> frozenset[int]:
    """Return the AUDIT_ARCH for which a filter denies restart_syscall."""
    machines = injected_code.MACHINES.values()
    return frozenset(
        one.audit for one in machines if ptrace.denies(program, one.restart, one.audit)
    )


def _logs(tid: int, place: int) -> bool:
    """Tell whether the kernel logs what a filter of a stopped thread denies.

    Of two filters that deny a call alike the later one decides, which would end that.
    """
    asked = struct.pack("<QQ", place, 0)  # struct seccomp_metadata
    found = ptrace.answer(tid, ptrace.GET_METADATA, len(asked), asked)
    return bool(int.from_bytes(found[WORD:], "little") & _LOG)


def _calls(length: int, flags: int, set_no_new_privs: bool) -> list[InjectedCall]:  # noqa: FBT001
    size = -(-(length + 2 * WORD) // _PAGE) * _PAGE
    made = [
        InjectedCall("mmap", (0, size, _READ_WRITE, _PRIVATE_ANONYMOUS, -1, 0), keeps=True),
        InjectedCall("prctl", (_SET_NO_NEW_PRIVS, 1, 0, 0, 0)),
        InjectedCall("seccomp", (_SET_MODE_FILTER, flags | _TSYNC | _SPEC_ALLOW, KEPT)),
        InjectedCall("munmap", (KEPT, size)),
    ]
    return [one for one in made if set_no_new_privs or one.name != "prctl"]


def _halt(tid: int) -> None:
    """Wait until an interrupted thread stops; deliver the signals that come before."""
    for _ in range(_ATTEMPTS):
        stop = _wait(tid)
        if _is_event(stop):
            ptrace.begin_again(tid)
            return
        ptrace.call(ptrace.CONT, tid, 0, stop)
    raise FiltersUnreadableError(f"the thread {tid} gets signals all the time")


def _wait(tid: int) -> int:
    """Return what stopped a thread: a signal, _SYSCALL_STOP, or an event in the upper byte.

    Raises ChildProcessError if it has ended, or has its process' number: by an exec of its own.
    """
    found, status = os.waitpid(-1, ptrace.WALL)
    if found != tid or not os.WIFSTOPPED(status):
        ptrace.let_go(found, status)
        raise ChildProcessError
    return status >> 8


def _is_event(stop: int) -> bool:
    return stop >> 8 == ptrace.EVENT_STOP


class _Run:
    """The calls of a stopped thread; `_saved` and `_mask` are what it goes on with."""

    def __init__(self, tid: int, program: bytes, calls: list[InjectedCall]) -> None:
        self._tid, self._program, self._calls = tid, program, calls
        self._saved, self._now = Registers(), Registers()
        self._mask = b""  # of blocked signals
        self._machine = injected_code.X86_64
        self._place = self._length = self._address = 0
        self._failure: FiltersUnreadableError | None = None

    def finish(self, blocked: int) -> None:
        """Make all calls and let the thread go; it blocked these signals when it stopped."""
        self._begin()
        all(map(self._make, self._calls))  # until one finds that it is the last
        ptrace.call(ptrace.INTERRUPT, self._tid)
        ptrace.call(ptrace.CONT, self._tid)
        _halt(self._tid)  # before it runs
        ptrace.call(ptrace.SET_SIGMASK, self._tid, WORD, self._mask)
        if self._saved.rax == injected_code.NO_HANDLER and self._is_woken(blocked):
            self._saved.rax = injected_code.ALWAYS
        ptrace.set_registers(self._tid, self._saved)
        ptrace.poke(self._tid, self._place, bytes(self._length))
        if not self._failure and [*ptrace.filters(self._tid)][-1] != self._program:
            self._fail("another of its threads changed the filter while it was added")
        ptrace.call(ptrace.DETACH, self._tid)
        if self._failure:
            raise self._failure

    def _is_woken(self, blocked: int) -> bool:
        """Tell whether a signal is there that only the interrupted call blocks, and no other is.

        Its handler runs now, since the kernel forgot the call's own mask when we set another.
        """
        free = ptrace.status(self._tid).pending & ~int.from_bytes(self._mask, "little")
        return bool(free) and not free & ~blocked

    def _begin(self) -> None:
        """Write the code, point the thread to it, and block its signals."""
        if any(ptrace.answer(self._tid, ptrace.GET_DISPATCH, 4 * WORD)[:WORD]):  # since 6.4
            raise FiltersUnreadableError("its calls become signals (Syscall User Dispatch)")
        self._saved = ptrace.registers(self._tid)
        if self._saved.cs not in injected_code.MACHINES:
            raise FiltersUnreadableError("it runs in a code segment of its own")
        self._machine = injected_code.MACHINES[self._saved.cs]
        if self._machine.audit in _denied(self._program):
            raise FiltersUnreadableError(
                "the filter denies its ABI restart_syscall, or all calls: a 32-bit program needs "
                "SCMP_ARCH_X86 in the profile"
            )
        if self._saved.orig_rax < 0:
            self._saved.rip = self._after_sequence(self._saved.rip)
        self._mask = ptrace.answer(self._tid, ptrace.GET_SIGMASK, WORD)
        self._place = self._room()
        # the last is made only if we are killed
        last = InjectedCall("rt_sigprocmask", (_SET_MASK, self._place, 0, WORD))
        registers = {one[0]: getattr(self._saved, one[0]) for one in Registers._fields_}
        before = ptrace.memory(self._tid, self._saved.rip - 2, 2)
        at = self._place + WORD
        code = injected_code.code(self._machine, at, [*self._calls, last], registers, before)
        self._length = -(-len(code) // WORD) * WORD + WORD
        ptrace.call(ptrace.SETOPTIONS, self._tid, 0, ptrace.TRACESYSGOOD | ptrace.SUSPEND_SECCOMP)
        ptrace.poke(self._tid, self._place, (self._mask + code).ljust(self._length, b"\0"))
        self._now = ptrace.registers(self._tid)
        self._now.rip, self._now.orig_rax = at, _NO_CALL
        self._now.eflags &= ~_TRACE_FLAG
        ptrace.set_registers(self._tid, self._now)
        ptrace.call(ptrace.SET_SIGMASK, self._tid, WORD, _ALL_SIGNALS)

    def _make(self, call: InjectedCall) -> bool:
        """Let the thread make its next call; tell whether it can make others."""
        is_ours = self._resumed() and self._is_ours(call)
        if not is_ours or (self._failure and call.name != "munmap"):
            self._now.orig_rax = _NO_CALL  # the kernel makes no call
            ptrace.set_registers(self._tid, self._now)
        if not is_ours:
            self._fail("another of its threads changed what it executes")
            return False
        self._resumed()
        self._account(call, self._now.rax)
        return bool(self._address)

    def _resumed(self) -> bool:
        """Let the thread go on to its next syscall-stop, read `_now`; False if its code fails."""
        passed = 0
        while True:
            ptrace.call(ptrace.SYSCALL, self._tid, 0, passed)
            stop = _wait(self._tid)
            passed = signal.SIGSTOP if stop == signal.SIGSTOP else 0  # nothing blocks it
            if not (passed or _is_event(stop)):
                self._now = ptrace.registers(self._tid)
                return stop == _SYSCALL_STOP

    def _is_ours(self, call: InjectedCall) -> bool:
        mask = (1 << 64) - 1 if self._machine.wide else 0xFFFFFFFF
        wanted = [self._address if one == KEPT else one & mask for one in call.arguments]
        names = (injected_code.NAMES[one] for one in self._machine.arguments)
        found = [getattr(self._now, name) & mask for name in names]
        is_number = self._now.orig_rax == self._machine.numbers[call.name]
        info = ptrace.answer(self._tid, ptrace.GET_SYSCALL_INFO, 8)  # since 5.3: op, padding, arch
        is_abi = int.from_bytes(info[4:], "little") in (0, self._machine.audit)
        return is_abi and is_number and found[: len(wanted)] == wanted

    def _account(self, call: InjectedCall, returned: int) -> None:
        if call.name == "seccomp" and returned > 0:
            self._fail("its threads have different filters, so that the kernel adds none to all")
        if call.name == "mmap" and returned > 0:
            self._address = returned
            try:
                ptrace.write(self._tid, returned, self._written())
            except FiltersUnreadableError as error:
                self._fail(str(error))
        elif returned < 0 and call.name != "munmap":
            self._fail(_refused(call.name, returned))

    def _fail(self, sentence: str) -> None:
        self._failure = self._failure or FiltersUnreadableError(f"{sentence} ({self._tid})")

    def _written(self) -> bytes:
        """Return what the mapped page holds: a struct sock_fprog, and the program behind it."""
        header = struct.pack(
            "<HxxxxxxQ" if self._machine.wide else "<HxxIxxxxxxxx",
            len(self._program) // WORD,
            self._address + 2 * WORD,
        )
        return header + self._program

    def _room(self) -> int:
        """Return an address in the last page of the vDSO, behind all that it holds.

        That may be the code that a killed tracer left.
        """
        word, letter = (8, "Q") if self._machine.wide else (4, "I")
        auxv = procfs.contents(f"/proc/{self._tid}/auxv", _LARGEST_AUXV)
        values = struct.unpack(f"<{len(auxv) // word}{letter}", auxv)
        start = dict(zip(values[::2], values[1::2], strict=True)).get(_AT_SYSINFO_EHDR, 0)
        header = ptrace.memory(self._tid, start, 64).ljust(64, b"\0")
        (sections,) = struct.unpack_from(f"<{letter}", header, 40 if word == WORD else 32)
        size, count = struct.unpack_from("<HH", header, 58 if self._machine.wide else 46)
        end = -(-(start + sections + size * count) // WORD) * WORD
        rest = ptrace.memory(self._tid, end, -end % _PAGE)
        used = -(-len(rest.rstrip(b"\0")) // WORD) * WORD + 2 * WORD  # code ends with zeros
        self._now = ptrace.registers(self._tid)  # fails if it was killed: it has no memory then
        if not sections or len(rest) - used < WORD + injected_code.LONGEST:
            raise FiltersUnreadableError(f"the vDSO of the thread {self._tid} has no room")
        return int(end) + used

    def _after_sequence(self, instruction: int) -> int:
        """Return where the thread goes on: a restartable sequence (rseq(2)) has been broken off."""
        # Since 5.13: struct ptrace_rseq_configuration
        config = ptrace.answer(self._tid, ptrace.GET_RSEQ, 24)
        area = int.from_bytes(config[:WORD], "little")
        pointer = ptrace.memory(self._tid, area + 8, 8) if area else b""
        sequence = ptrace.memory(self._tid, int.from_bytes(pointer, "little"), _SEQUENCE)
        if len(sequence) < _SEQUENCE:
            return instruction
        start, length, abort = struct.unpack_from("<QQQ", sequence, 8)
        return int(abort) if start <= instruction < start + length else instruction


def _refused(name: str, returned: int) -> str:
    if name == "seccomp" and returned == -errno.EACCES:
        return NEEDS_NO_NEW_PRIVS
    return f"{name} returned {errno.errorcode.get(-returned, returned)} in the process"

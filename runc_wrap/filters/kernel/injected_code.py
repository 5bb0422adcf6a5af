"""Machine code that makes system calls in a traced thread and then restores its registers itself.

The tracer may be killed at any instant; the thread then runs the rest of the code, which ends with
all registers as they were and a jump to where the thread was. So nothing of it needs a stack, a
second process or another stop. The flags stay as they are: no instruction here changes them.
"""

import errno
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

KEPT = 1 << 64  # as an argument: what the call returned that `keeps`
LONGEST = 320  # bytes of code: five calls, and all registers with 64 bits
_RAX, _RCX, _RDX, _RBX, _RBP, _RSI, _RDI = 0, 1, 2, 3, 5, 6, 7  # as instructions number them
_KEEPS = _RBP  # no call after the first has it as an argument
# What the kernel leaves in rax of an interrupted call, include/linux/errno.h.
NO_HANDLER = -514  # EINTR if a handler runs, else the call begins again
ALWAYS = -513  # it begins again, also after a handler
_RESTARTED = (-512, ALWAYS, NO_HANDLER)
_RESTART_BLOCK = -516
_X32 = 0x40000000
_INT_80 = b"\xcd\x80"
NAMES = "rax rcx rdx rbx rsp rbp rsi rdi r8 r9 r10 r11 r12 r13 r14 r15".split()  # by number


class InjectedCall(NamedTuple):
    """A system call by its name in `Machine.numbers`; `keeps` its result for the calls after."""

    name: str
    arguments: tuple[int, ...]
    keeps: bool = False


@dataclass(frozen=True, slots=True)
class Machine:
    """How a thread in one mode of x86 makes system calls.

    `arguments` are the registers; `wide`: they have 64 bits; `audit` is its AUDIT_ARCH
    (linux/audit.h).
    `close` must not begin again after EINTR, as it has closed: also that of the other mode.
    """

    wide: bool
    audit: int
    instruction: bytes
    arguments: tuple[int, ...]
    restart: int
    numbers: Mapping[str, int]
    close: tuple[int, ...]


X86_64 = Machine(
    wide=True,
    audit=0xC000003E,
    instruction=b"\x0f\x05",
    arguments=(_RDI, _RSI, _RDX, 10, 8, 9),
    restart=219,
    numbers={"mmap": 9, "munmap": 11, "prctl": 157, "seccomp": 317, "rt_sigprocmask": 14},
    close=(3, 6),
)
I386 = Machine(
    wide=False,
    audit=0x40000003,
    instruction=_INT_80,
    arguments=(_RBX, _RCX, _RDX, _RSI, _RDI, _RBP),
    restart=0,
    numbers={"mmap": 192, "munmap": 91, "prctl": 172, "seccomp": 354, "rt_sigprocmask": 175},
    close=(6,),
)


MACHINES = {0x33: X86_64, 0x23: I386}  # by code segment, arch/x86/include/asm/segment.h


def is_ended_by_stop(segment: int, call: int, returned: int) -> bool:
    """Tell whether a stopped thread's call returned EINTR for the stop alone, and can begin again.

    So do epoll_wait, sockets with a timeout and others after any stop (signal(7)), and any call on
    a file whose server answers an interruption so. A relative timeout then begins anew. If a signal
    is there as well, NO_HANDLER has the kernel return EINTR after its handler.
    """
    machine = MACHINES.get(segment)
    is_restarted = machine is not None and call >= 0 and call & ~_X32 not in machine.close
    return is_restarted and returned == -errno.EINTR


def restart_call(segment: int, call: int, returned: int) -> tuple[int, int] | None:
    """Return the number and AUDIT_ARCH of restart_syscall(2) if a stopped thread's call needs it.

    So do poll, futex, nanosleep and others with a relative timeout.
    """
    machine = MACHINES.get(segment)
    if machine is None or call < 0 or returned != _RESTART_BLOCK:
        return None
    return machine.restart | call & _X32, machine.audit


def code(
    machine: Machine,
    at: int,
    calls: Sequence[InjectedCall],
    registers: Mapping[str, int],
    before: bytes,
) -> bytes:
    """Return code that makes the calls and goes on with `registers`, among them rip and orig_rax.

    An interrupted call begins again, as the kernel would have it; `before` are the two bytes before
    rip, which made the call.
    """
    returned, instruction = _resumed(machine, registers, before)
    made = b"".join(_call(machine, call) for call in calls)
    for number, name in enumerate(NAMES if machine.wide else NAMES[:8]):
        if name != "rsp":
            made += _load(machine, number, registers[name] if number else returned)
    if machine.wide:
        return made + b"\xff\x25" + bytes(4) + instruction.to_bytes(8, "little")
    distance = (instruction - (at + len(made) + 5)) & 0xFFFFFFFF
    return made + b"\xe9" + distance.to_bytes(4, "little")


def _call(machine: Machine, call: InjectedCall) -> bytes:
    made = b"".join(
        _copy(machine, register, _KEEPS) if value == KEPT else _load(machine, register, value)
        for register, value in zip(machine.arguments, call.arguments, strict=False)
    )
    made += _load(machine, _RAX, machine.numbers[call.name]) + machine.instruction
    return made + _copy(machine, _KEEPS, _RAX) if call.keeps else made


def _resumed(machine: Machine, registers: Mapping[str, int], before: bytes) -> tuple[int, int]:
    """Return rax and rip to go on with."""
    returned, call, instruction = registers["rax"], registers["orig_rax"], registers["rip"]
    if call < 0 or returned not in (*_RESTARTED, _RESTART_BLOCK):
        return returned, instruction
    restart = 0 if before == _INT_80 else machine.restart | call & _X32
    return restart if returned == _RESTART_BLOCK else call, instruction - 2


def _load(machine: Machine, register: int, value: int) -> bytes:
    """Return `mov register, value`; a 32-bit value clears the upper half."""
    value &= 0xFFFFFFFFFFFFFFFF if machine.wide else 0xFFFFFFFF
    opcode = 0xB8 | register & 7
    if value >> 32:
        return bytes((0x48 | register >> 3, opcode)) + value.to_bytes(8, "little")
    prefix = b"\x41" if register >> 3 else b""
    return prefix + bytes((opcode,)) + value.to_bytes(4, "little")


def _copy(machine: Machine, to: int, source: int) -> bytes:
    """Return `mov to, source`, of the first eight registers."""
    return (b"\x48" if machine.wide else b"") + bytes((0x89, 0xC0 | source << 3 | to))

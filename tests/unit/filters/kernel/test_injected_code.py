"""How an interrupted call goes on after code was injected, and which ones a stop ends."""

import errno

import pytest

from runc_wrap.filters.kernel import injected_code
from runc_wrap.filters.kernel.injected_code import I386, X86_64, Machine

SYSCALL, INT_80 = b"\x0f\x05", b"\xcd\x80"
AFTER = 0x401002  # the instruction after the call
NANOSLEEP, NANOSLEEP_32, EPOLL_WAIT, EPOLL_WAIT_32, READ = 35, 162, 232, 256, 0
ACCESS, CLOSE, CLOSE_32 = 21, 3, 6
CS_64, CS_32 = 0x33, 0x23


INTERRUPTED = [
    (X86_64, SYSCALL, READ, -512, READ, 2),
    (X86_64, SYSCALL, READ, -513, READ, 2),
    (X86_64, SYSCALL, READ, -514, READ, 2),
    (X86_64, SYSCALL, NANOSLEEP, -516, 219, 2),  # restart_syscall(2)
    (X86_64, SYSCALL, NANOSLEEP | 1 << 30, -516, 219 | 1 << 30, 2),
    (X86_64, INT_80, NANOSLEEP_32, -516, 0, 2),
    (X86_64, SYSCALL, READ, 7, 7, 0),
    (X86_64, SYSCALL, -1, -512, -512, 0),  # in no call
    (I386, INT_80, NANOSLEEP_32, -516, 0, 2),
    (I386, INT_80, NANOSLEEP_32, -512, NANOSLEEP_32, 2),
]


@pytest.mark.parametrize(
    ("machine", "before", "call", "returned", "goes_on_with", "back"), INTERRUPTED
)
def test_an_interrupted_call_begins_again(  # noqa: PLR0917 - a table
    machine: Machine, before: bytes, call: int, returned: int, goes_on_with: int, back: int
) -> None:
    names = injected_code.NAMES if machine.wide else injected_code.NAMES[:8]
    registers = dict.fromkeys(names, 0) | {"rax": returned, "orig_rax": call, "rip": AFTER}
    made = injected_code.code(machine, 0x1000, [], registers, before)
    mask = (1 << 64) - 1 if machine.wide else 0xFFFFFFFF
    value = goes_on_with & mask
    loaded = b"\xb8" + value.to_bytes(8 if value >> 32 else 4, "little")
    assert made.removeprefix(b"\x48").startswith(loaded)
    at = made[-8:] if machine.wide else made[-4:]
    target = int.from_bytes(at, "little") + (0 if machine.wide else 0x1000 + len(made))
    assert target & mask == AFTER - back


ENDED = [
    (CS_64, EPOLL_WAIT, -errno.EINTR, True),
    (CS_64, EPOLL_WAIT | 1 << 30, -errno.EINTR, True),
    (CS_32, EPOLL_WAIT_32, -errno.EINTR, True),
    (CS_64, EPOLL_WAIT, 1, False),
    (CS_64, ACCESS, -errno.EINTR, True),  # of a file whose server says so
    *((CS_64, close, -errno.EINTR, False) for close in (CLOSE, CLOSE_32)),  # it is closed
    (CS_32, CLOSE_32, -errno.EINTR, False),
    (CS_64, -1, -errno.EINTR, False),
    (0x7, EPOLL_WAIT, -errno.EINTR, False),
]


@pytest.mark.parametrize(("segment", "call", "returned", "is_ended"), ENDED)
def test_calls_that_a_stop_ended(segment: int, call: int, returned: int, *, is_ended: bool) -> None:
    assert injected_code.is_ended_by_stop(segment, call, returned) is is_ended


RESTARTED = [
    (CS_64, NANOSLEEP, -516, (219, 0xC000003E)),
    (CS_64, NANOSLEEP | 1 << 30, -516, (219 | 1 << 30, 0xC000003E)),
    (CS_32, NANOSLEEP, -516, (0, 0x40000003)),
    (CS_64, NANOSLEEP, -514, None),
    (CS_64, -1, -516, None),
    (0x7, NANOSLEEP, -516, None),
]


@pytest.mark.parametrize(("segment", "call", "returned", "restart"), RESTARTED)
def test_calls_that_the_kernel_continues_by_another(
    segment: int, call: int, returned: int, restart: tuple[int, int] | None
) -> None:
    assert injected_code.restart_call(segment, call, returned) == restart

from __future__ import annotations

import ctypes
import os

import pytest

from runc_wrap.agent.observe import pointed_arguments
from runc_wrap.agent.observe.notify import Call

X86_64 = 0xC000003E


def _call(number: int, address: int) -> Call:
    return Call((1, os.getpid(), 0, number, X86_64, 0, address, 88, 0, 0, 0, 0))


@pytest.mark.parametrize("number", [435, 435 | 0x40000000])
def test_the_flags_of_clone3_are_read(number: int) -> None:
    args = (ctypes.c_uint64 * 11)(0x10000080)
    call = _call(number, ctypes.addressof(args))
    where = pointed_arguments.address(call)
    assert where == ctypes.addressof(args)
    flags = pointed_arguments.flags(os.getpid(), where)
    assert pointed_arguments.arguments(call, flags) == (0x10000080, 88, 0, 0, 0, 0)


@pytest.mark.parametrize("address", [0, 1 << 63, (1 << 64) - 1])
def test_there_are_no_flags_if_the_memory_cannot_be_read(address: int) -> None:
    assert pointed_arguments.flags(os.getpid(), address) == 0


def test_other_calls_keep_their_arguments_and_no_memory_is_read() -> None:
    call = _call(272, 0x20000)
    assert pointed_arguments.address(call) is None
    assert pointed_arguments.arguments(call, None) == (0x20000, 88, 0, 0, 0, 0)


def test_flags_that_were_not_read_are_not_known() -> None:
    assert pointed_arguments.arguments(_call(435, 4096), None) is None

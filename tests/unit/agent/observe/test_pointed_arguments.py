from __future__ import annotations

import ctypes
import os

import pytest

from runc_wrap.agent.observe import pointed_arguments
from runc_wrap.agent.observe.notify import Call

X86_64 = 0xC000003E


def _call(number: int, address: int, size: int = 88) -> Call:
    return Call((1, os.getpid(), 0, number, X86_64, 0, address, size, 0, 0, 0, 0))


@pytest.mark.parametrize("number", [435, 435 | 0x40000000])
def test_the_flags_of_clone3_are_read(number: int) -> None:
    args = (ctypes.c_uint64 * 11)(0x10000080)
    call = _call(number, ctypes.addressof(args))
    where = pointed_arguments.address(call)
    assert where == ctypes.addressof(args)
    purpose = pointed_arguments.purpose(os.getpid(), where)
    assert pointed_arguments.arguments(call, purpose) == (0x10000080, 0, 0, 0, 0, 0)


@pytest.mark.parametrize(("size", "tids"), [(79, 0), (80, 2), (88, 2)])
def test_set_tid_counts_where_the_kernel_reads_it(size: int, tids: int) -> None:
    args = (ctypes.c_uint64 * 11)(0, *[0] * 7, 4096, 2)
    call = _call(435, ctypes.addressof(args), size)
    purpose = pointed_arguments.purpose(os.getpid(), ctypes.addressof(args))
    assert pointed_arguments.arguments(call, purpose) == (0, tids, 0, 0, 0, 0)


@pytest.mark.parametrize("address", [0, 1 << 63, (1 << 64) - 1])
def test_there_are_no_flags_if_the_memory_cannot_be_read(address: int) -> None:
    assert pointed_arguments.purpose(os.getpid(), address) == (0, 0)


def test_other_calls_keep_their_arguments_and_no_memory_is_read() -> None:
    call = _call(272, 0x20000)
    assert pointed_arguments.address(call) is None
    assert pointed_arguments.arguments(call, None) == (0x20000, 88, 0, 0, 0, 0)


def test_flags_that_were_not_read_are_not_known() -> None:
    assert pointed_arguments.arguments(_call(435, 4096), None) is None

from __future__ import annotations

import ctypes
import os

import pytest

from runc_wrap.agent import pointed
from runc_wrap.agent.notify import Call

X86_64 = 0xC000003E


def _call(number: int, address: int, tid: int | None = None) -> Call:
    return Call(
        (1, os.getpid() if tid is None else tid, 0, number, X86_64, 0, address, 88, 0, 0, 0, 0)
    )


@pytest.mark.parametrize("number", [435, 435 | 0x40000000])
def test_of_clone3_the_flags_are_read(number: int) -> None:
    args = (ctypes.c_uint64 * 11)(0x10000080)
    found = pointed.arguments(_call(number, ctypes.addressof(args)), may_read=True)
    assert found == (0x10000080, 88, 0, 0, 0, 0)


@pytest.mark.parametrize("address", [0, 1 << 63, (1 << 64) - 1])
def test_where_the_kernel_can_read_nothing_there_are_no_flags(address: int) -> None:
    assert pointed.arguments(_call(435, address), may_read=True) == (0, 88, 0, 0, 0, 0)


def test_of_a_thread_beyond_our_sight_nothing_is_known() -> None:
    assert pointed.arguments(_call(435, 4096, 0), may_read=True) is None


def test_other_calls_keep_their_arguments() -> None:
    assert pointed.arguments(_call(272, 0x20000), may_read=True) == (0x20000, 88, 0, 0, 0, 0)


def test_what_is_not_to_be_read_is_not_known() -> None:
    args = (ctypes.c_uint64 * 11)(0x10000080)
    assert pointed.arguments(_call(435, ctypes.addressof(args)), may_read=False) is None
    assert pointed.arguments(_call(272, 0x20000), may_read=False) == (0x20000, 88, 0, 0, 0, 0)

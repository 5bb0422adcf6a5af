from __future__ import annotations

import ctypes
import mmap
import os
import struct

import pytest

from runc_wrap.agent.observe import pointed_arguments
from runc_wrap.agent.observe.notify import Notification

X86_64 = 0xC000003E
MEMFD_SECRET = 447
MAP_FIXED = 0x10


def _call(number: int, address: int, size: int = 88) -> Notification:
    return Notification((1, os.getpid(), 0, number, X86_64, 0, address, size, 0, 0, 0, 0))


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


@pytest.mark.parametrize("size", [0, 63, 88])
def test_a_clone3_without_a_struct_has_no_flags(size: int) -> None:
    assert pointed_arguments.purpose(os.getpid(), 0) == (0, 0)
    assert pointed_arguments.arguments(_call(435, 0, size), (0, 0)) == (0, 0, 0, 0, 0, 0)


@pytest.mark.parametrize("address", [0x10000, 1 << 63, (1 << 64) - 1])
def test_flags_in_memory_that_cannot_be_read_are_not_known(address: int) -> None:
    assert pointed_arguments.purpose(os.getpid(), address) is None
    assert pointed_arguments.arguments(_call(435, address), None) is None


@pytest.mark.parametrize(("hidden", "known"), [(0, None), (4, None), (8, (0x10000000, None))])
def test_memory_that_only_its_process_can_read_hides_no_flags(
    hidden: int, known: tuple[int, None] | None
) -> None:
    """By memfd_secret(2); the struct may begin before it."""
    secret = _secret_memory()
    args = secret - hidden
    ctypes.memmove(args, struct.pack("=11Q", 0x10000000, *[0] * 8, 2, 0), 88)
    purpose = pointed_arguments.purpose(os.getpid(), args)
    assert purpose == known
    assert pointed_arguments.arguments(_call(435, args), purpose) is None


@pytest.mark.parametrize("hidden", [0, 4])
def test_memory_that_only_its_process_can_read_hides_no_filter(hidden: int) -> None:
    """It could answer anything; of a filter that the kernel rejects nothing is kept."""
    secret = _secret_memory()
    ctypes.memmove(secret - hidden, struct.pack("=HHIQ", 1, 0, 0, secret), 16)
    assert pointed_arguments.program(os.getpid(), secret - hidden, compat=False) is None
    readable = ctypes.create_string_buffer(struct.pack("=HHIQ", 1, 0, 0, secret - hidden))
    where = ctypes.addressof(readable)
    assert pointed_arguments.program(os.getpid(), where, compat=False) is None


def _secret_memory() -> int:
    """Map a page, and secret memory behind it; return where that begins."""
    libc = ctypes.CDLL(None, use_errno=True)
    fd = libc.syscall(MEMFD_SECRET, 0)
    if fd < 0:
        pytest.skip(f"memfd_secret: {os.strerror(ctypes.get_errno())}")
    os.ftruncate(fd, mmap.PAGESIZE)
    libc.mmap.restype = ctypes.c_void_p
    libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
    access = mmap.PROT_READ | mmap.PROT_WRITE
    private = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
    page = libc.mmap(None, 2 * mmap.PAGESIZE, access, private, -1, 0)
    where: int = page + mmap.PAGESIZE
    assert libc.mmap(where, mmap.PAGESIZE, access, mmap.MAP_SHARED | MAP_FIXED, fd, 0) == where
    os.close(fd)
    return where

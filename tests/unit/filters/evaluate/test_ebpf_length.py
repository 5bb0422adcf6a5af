"""How many instructions the kernel counts for a filter, against the kernel itself."""

from __future__ import annotations

import struct
import subprocess
import sys
from bisect import bisect
from pathlib import Path
from typing import TYPE_CHECKING

from runc_wrap.filters.evaluate import bpf, ebpf_length

if TYPE_CHECKING:
    from collections.abc import Iterator

ENOMEM = 12
X = bpf.FROM_X
BRANCHES = [
    (kind | source, true, false, operand)
    for kind in (0x15, 0x25, 0x35, 0x45)
    for source in (0, X)
    for true in (0, 1)
    for false in (0, 1)
    for operand in (5, 1 << 31, (1 << 32) - 1)
]
OTHERS = [
    (code, 0, 0, 4)
    for code in (0x04, 0x34, 0x34 | X, 0xA4, bpf.NEG, bpf.TXA, bpf.ST, bpf.LD_ABS, bpf.LD_LEN)
]
ALLOWS = (bpf.RET_K, 0, 0, 0x7FFF0000)
ADDED = """
import ctypes, sys
libc = ctypes.CDLL(None, use_errno=True)
assert libc.prctl(38, 1, 0, 0, 0) == 0
for line in sys.stdin:
    program = bytes.fromhex(line)
    data = ctypes.create_string_buffer(program)
    header = (ctypes.c_ulonglong * 2)(len(program) // 8, ctypes.addressof(data))
    ctypes.set_errno(0)
    libc.prctl(22, 2, header)
    print(ctypes.get_errno(), flush=True)
"""


def packed(*lines: tuple[int, int, int, int]) -> bytes:
    return b"".join(struct.pack("=HBBI", *line) for line in lines)


def of_length(length: int) -> bytes:
    """Return a filter of which the kernel makes so many instructions."""
    return packed(*[(bpf.LD_IMM, 0, 0, 0)] * (length - 5), ALLOWS)


def of_each_kind() -> Iterator[bytes]:
    """Yield filters that allow all calls by each of their ways."""
    for line in (*BRANCHES, *OTHERS, (bpf.JA, 0, 0, 0), ALLOWS):
        yield packed((bpf.LDX_IMM, 0, 0, 3), *[line] * 100, ALLOWS, ALLOWS)


def test_there_is_room_for_a_filter_exactly_where_the_kernel_has_it() -> None:
    hardened = Path("/proc/sys/net/core/bpf_jit_harden")
    is_hardened = hardened.exists() and hardened.read_text().strip() != "0"
    there: list[bytes] = []
    words = [sys.executable, "-c", ADDED]
    with subprocess.Popen(words, stdin=-1, stdout=-1, text=True) as process:
        assert process.stdin
        assert process.stdout
        output = process.stdout

        def is_added(program: bytes) -> bool:
            print(program.hex(), file=process.stdin, flush=True)
            error = int(output.readline())
            assert error in (0, ENOMEM)
            there.extend([program] if error == 0 else [])
            return error == 0

        for program in of_each_kind():
            is_added(program)
        while is_added(of_length(1000)):
            pass
        left = 5 + bisect(
            range(6, 1000), 0, key=lambda n: not ebpf_length.has_room(there, of_length(n))
        )
        assert (is_hardened, is_added(of_length(left + 1))) != (False, True)
        assert is_added(of_length(left)) or is_hardened
        process.stdin.close()


def test_a_hardened_kernel_makes_up_to_three_instructions_of_each() -> None:
    there = [of_length(3000)] * 3
    assert ebpf_length.has_room(there, of_length(1918), is_hardened=True)
    assert not ebpf_length.has_room(there, of_length(1919), is_hardened=True)

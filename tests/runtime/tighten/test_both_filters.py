"""The kernel's answer under both filters is the most restrictive of theirs, as we compute it."""

import random
import struct
import subprocess
import sys

from harness.node.requirements import requires
from runc_wrap.filters.evaluate import bpf
from runc_wrap.filters.kernel.filter_injection import FilterRequest
from tests.runtime.tighten.conftest import KEYCTL, tightened

X86_64 = 0xC000003E
ARGUMENTS = range(100, 116)  # of keyctl, which knows none of these: EOPNOTSUPP
ALLOWED, TRACED = 95, 38
ANSWERS = [0x7FFF0000, 0x7FFC0000, 0x7FF00000, 0x50000 | 5, 0x50000 | 6, 0x50000 | 7]
ASKED = """
import ctypes, sys
libc = ctypes.CDLL(None, use_errno=True)
program = bytes.fromhex(sys.argv[1])
data = ctypes.create_string_buffer(program)
header = (ctypes.c_ulonglong * 2)(len(program) // 8, ctypes.addressof(data))
assert libc.prctl(38, 1, 0, 0, 0) == 0 and libc.syscall(317, 1, 0, header) == 0
for line in sys.stdin:
    ctypes.set_errno(0)
    libc.syscall(250, int(line), 0, 0, 0, 0)
    print(ctypes.get_errno(), flush=True)
"""


def drawn() -> bytes:
    """Return a filter that answers keyctl by its first argument."""
    lines = [(0x20, 0, 0, 0), (0x15, 1, 0, KEYCTL), (6, 0, 0, 0x7FFF0000), (0x20, 0, 0, 16)]
    for argument in random.sample(ARGUMENTS, 12):
        lines += [(0x15, 0, 1, argument), (6, 0, 0, random.sample(ANSWERS, 1)[0])]
    lines.append((6, 0, 0, random.sample(ANSWERS, 1)[0]))
    return b"".join(struct.pack("=HBBI", *line) for line in lines)


def answer(code: int) -> int:
    kind = code & 0xFFFF0000
    return code & 0xFFFF if kind == 0x50000 else TRACED if kind == 0x7FF00000 else ALLOWED


def test_the_effective_answer_is_the_most_restrictive_of_both() -> None:
    requires(root=True)
    for _ in range(10):
        own, added = drawn(), drawn()
        words = [sys.executable, "-c", ASKED, own.hex()]
        with subprocess.Popen(words, stdin=-1, stdout=-1, text=True) as process:
            assert process.stdin
            assert process.stdout
            process.stdin.write(f"{ARGUMENTS[0]}\n")
            process.stdin.flush()
            process.stdout.readline()  # its filter is there
            (one,) = tightened(process.pid, FilterRequest(added))
            found, _ = process.communicate("".join(f"{one}\n" for one in ARGUMENTS), timeout=60)
        assert (one.reason, one.after.filters) == (None, (one.before.filters or 0) + 1)
        programs = [bpf.program(own), bpf.program(added)]
        calls = (
            bpf.SeccompData(X86_64, KEYCTL, (argument, 0, 0, 0, 0, 0)) for argument in ARGUMENTS
        )
        wanted = [answer(bpf.combined(programs, call)) for call in calls]
        assert [int(line) for line in found.split()] == wanted

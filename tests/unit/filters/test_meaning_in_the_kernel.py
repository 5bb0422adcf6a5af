"""What a drawn profile says = what libseccomp's filter returns = what the kernel does.

A child process loads the filter itself and makes calls that ignore their arguments; errors that no
call has tell denials apart. tests/runtime/verify makes every call in containers.
"""

import ctypes
import os
import struct
from typing import Any

from hypothesis import given, reject, settings
from hypothesis import strategies as st

from harness.node.requirements import machine
from runc_wrap.filters.evaluate import bpf
from runc_wrap.filters.evaluate.block_evaluation import Simulation
from runc_wrap.filters.evaluate.libseccomp_input import Loader
from runc_wrap.filters.kernel import libseccomp_compiler
from runc_wrap.profiles import return_codes, syscall_names
from runc_wrap.profiles.abis import ABIS
from runc_wrap.profiles.arguments.narrowed_comparisons import narrowed
from runc_wrap.profiles.source_profile import ProfileError
from tests.unit.profiles.resolving import OPS, block_of, compare, read

Json = dict[str, Any]
Args = tuple[int, int, int, int, int, int]
CALLS = ("getpid", "getppid", "getuid", "geteuid", "getgid", "getegid")  # none reads its arguments
DEFAULT, OTHER = 222, 223  # no call has these errors
VALUES = (0, 1, 2, 40, 2**31, 2**32 - 1, 2**32, 2**32 + 1, 2**64 - 2, 2**64 - 1)
PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS, FILTER = 22, 38, 2

values = st.sampled_from(VALUES)
comparisons = st.builds(compare, st.sampled_from(OPS), values, values, st.integers(0, 2))
outcomes = st.sampled_from([{"action": "SCMP_ACT_ALLOW"},
                            {"action": "SCMP_ACT_ERRNO", "errnoRet": OTHER}])  # fmt: skip
rules = st.builds(
    lambda names, outcome, args: {"names": names, **outcome, "args": args},
    st.lists(st.sampled_from(CALLS), min_size=1, max_size=3, unique=True),
    outcomes,
    st.lists(comparisons, max_size=2),
)
called = st.tuples(st.sampled_from(CALLS), st.tuples(*[values] * 6))
samples = st.lists(called, min_size=4, max_size=12)


def _block(drawn: list[Json]) -> Json:
    """Return a profile that allows all other calls, which the child needs to go on."""
    others = sorted({*syscall_names.numbers(syscall_names.native())} - {*CALLS})
    allowed = {"names": others, "action": "SCMP_ACT_ALLOW"}
    document = {"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [allowed, *drawn]}
    return block_of(narrowed(read({**document, "defaultErrnoRet": DEFAULT})).profile)


def _in_the_kernel(program: bytes, calls: list[tuple[int, Args]]) -> list[int]:
    """Return the error of each call under this filter, 0 for none; a child makes them."""
    libc = ctypes.CDLL(None, use_errno=True)
    words = [(number, tuple(map(ctypes.c_ulong, args))) for number, args in calls]
    code = ctypes.create_string_buffer(program)
    fprog = struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(code))
    reader, writer = os.pipe()
    if not (pid := os.fork()):
        loaded = libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        loaded = loaded or libc.prctl(PR_SET_SECCOMP, FILTER, fprog)
        made = (libc.syscall(number, *args) for number, args in words)
        errors = [ctypes.get_errno() if returned == -1 else 0 for returned in made]
        os.write(writer, struct.pack(f"{len(errors)}i", *errors))
        os._exit(bool(loaded))
    os.close(writer)
    with os.fdopen(reader, "rb") as file:
        data = file.read()
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    return list(struct.unpack(f"{len(calls)}i", data))


@given(st.lists(rules, max_size=4), samples)
@settings(deadline=None, max_examples=60)
def test_the_kernel_does_what_filter_and_profile_say(
    drawn: list[Json], called: list[tuple[str, Args]]
) -> None:
    machine("x86_64")
    simulation = Simulation(_block(drawn), Loader("crun"))
    try:
        program = libseccomp_compiler.filter_bytes(simulation.load)
    except ProfileError:  # two actions for the same comparisons
        reject()
    numbers = syscall_names.numbers(ABIS["x86_64"])
    calls = [(numbers[name], args) for name, args in called]
    errors = _in_the_kernel(program, calls)
    parsed = bpf.program(program)
    for (number, args), error in zip(calls, errors, strict=True):
        verdict = simulation.verdict(ABIS["x86_64"], number, args)
        found = bpf.evaluate(parsed, bpf.SeccompData(ABIS["x86_64"].audit, number, args))
        meant = simulation.meant(ABIS["x86_64"], number, args)
        assert not verdict.certain or {verdict.code} == {found} == meant
        assert error == (0 if found == return_codes.ALLOW else found & return_codes.DATA_MASK)

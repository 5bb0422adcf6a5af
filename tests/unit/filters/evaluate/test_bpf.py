"""Filters: each instruction, refused programs, several together, one in place of two, lengths."""

import struct
import subprocess
import sys
from bisect import bisect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runc_wrap.filters import filter_comparison
from runc_wrap.filters.evaluate import bpf, bpf_arguments
from runc_wrap.filters.evaluate.libseccomp_input import Loader
from runc_wrap.filters.filter_comparison import Expectation
from runc_wrap.hotpath import overlay
from runc_wrap.profiles import actions, return_codes
from tests.unit.profiles.resolving import block_of, needs_libseccomp

X86_64 = 0xC000003E
_u32 = st.integers(0, 2**32 - 1)


def raw(*instructions: tuple[int, int, int, int]) -> bytes:
    return b"".join(struct.pack("=HBBI", *one) for one in instructions)


def run(
    *instructions: tuple[int, int, int, int], number: int = 0, args: bpf.Args = bpf.NO_ARGS
) -> int:
    return bpf.evaluate(bpf.program(raw(*instructions)), bpf.SeccompData(X86_64, number, args))


RETURN_A = (bpf.RET_A, 0, 0, 0)


@given(number=_u32, args=st.tuples(*[st.integers(0, 2**64 - 1)] * 6), index=st.integers(0, 5))
def test_loads_return_the_calls_data(number: int, args: bpf.Args, index: int) -> None:
    assert run((bpf.LD_ABS, 0, 0, 0), RETURN_A, number=number) == number
    assert run((bpf.LD_ABS, 0, 0, 4), RETURN_A) == X86_64
    low = bpf.argument_word(index, high=False) * 4
    high = bpf.argument_word(index, high=True) * 4
    assert run((bpf.LD_ABS, 0, 0, low), RETURN_A, args=args) == args[index] & 0xFFFFFFFF
    assert run((bpf.LD_ABS, 0, 0, high), RETURN_A, args=args) == args[index] >> 32


# + - * / | & << >> ^
OF_12_AND_2 = {0: 14, 0x10: 10, 0x20: 24, 0x30: 6, 0x40: 14, 0x50: 0, 0x60: 48, 0x70: 3, 0xA0: 14}


@pytest.mark.parametrize(("operation", "result"), OF_12_AND_2.items())
def test_arithmetic_of_12_and_2(operation: int, result: int) -> None:
    assert run((bpf.LD_IMM, 0, 0, 12), (0x04 | operation, 0, 0, 2), RETURN_A) == result
    x = (bpf.LDX_IMM, 0, 0, 2)
    assert run(x, (bpf.LD_IMM, 0, 0, 12), (0x0C | operation, 0, 0, 0), RETURN_A) == result


def test_results_wrap_at_32_bits_and_a_division_by_zero_returns_zero() -> None:
    assert run((bpf.LD_IMM, 0, 0, 1), (bpf.NEG, 0, 0, 0), RETURN_A) == 0xFFFFFFFF
    assert run((bpf.LD_IMM, 0, 0, 0xFFFFFFFF), (0x04, 0, 0, 2), RETURN_A) == 1
    # and a division by a zero in X ends the filter, with 0
    assert run((bpf.LD_IMM, 0, 0, 7), (0x3C, 0, 0, 0), (bpf.RET_K, 0, 0, 9)) == 0


def test_memory_and_register_moves() -> None:
    stored = [(bpf.LD_IMM, 0, 0, 5), (bpf.ST, 0, 0, 3), (bpf.LD_LEN, 0, 0, 0), (bpf.TAX, 0, 0, 0)]
    assert run(*stored, (bpf.LD_MEM, 0, 0, 3), RETURN_A) == 5
    assert run(*stored, (bpf.STX, 0, 0, 0), (bpf.LD_MEM, 0, 0, 0), RETURN_A) == 64
    assert run(*stored, (bpf.LDX_MEM, 0, 0, 3), (bpf.TXA, 0, 0, 0), RETURN_A) == 5
    assert run((bpf.LDX_LEN, 0, 0, 0), (bpf.TXA, 0, 0, 0), RETURN_A) == 64


@given(a=_u32, k=_u32)
def test_branches(a: int, k: int) -> None:
    for code, holds in ((0x15, a == k), (0x25, a > k), (0x35, a >= k), (0x45, bool(a & k))):
        ends = (bpf.RET_K, 0, 0, 1), (bpf.RET_K, 0, 0, 2)
        assert run((bpf.LD_IMM, 0, 0, a), (code, 0, 1, k), *ends) == (1 if holds else 2)
        x = (bpf.LDX_IMM, 0, 0, k)
        assert run(x, (bpf.LD_IMM, 0, 0, a), (code | 8, 0, 1, 0), *ends) == (1 if holds else 2)


NOT_LOADED = [
    (b"", "0 bytes"),
    (b"x" * 9, "9 bytes"),
    (raw((bpf.LD_IMM, 0, 0, 0)), "past the end"),
    (raw((0x28, 0, 0, 0), RETURN_A), "0x28, which seccomp refuses"),
    (raw((bpf.LD_ABS, 0, 0, 64), RETURN_A), "offset 64"),
    (raw((bpf.LD_ABS, 0, 0, 2), RETURN_A), "offset 2"),
    (raw((bpf.ST, 0, 0, 16), RETURN_A), "memory word 16"),
    (raw((0x34, 0, 0, 0), RETURN_A), "divides by zero"),
    (raw((0x15, 1, 0, 0), RETURN_A), "past the end"),
    (raw((bpf.JA, 0, 0, 0xFFFFFFFF), RETURN_A), "past the end"),
]


@pytest.mark.parametrize(("data", "what"), NOT_LOADED)
def test_a_filter_that_the_kernel_would_not_load_is_refused(data: bytes, what: str) -> None:
    with pytest.raises(bpf.BpfError, match=what):
        bpf.program(data)


@given(st.binary(min_size=8, max_size=80))
def test_any_bytes_are_refused_or_run_to_an_end(data: bytes) -> None:
    try:
        program = bpf.program(data[: len(data) // 8 * 8])
    except bpf.BpfError:
        return
    assert 0 <= bpf.evaluate(program, bpf.SeccompData(X86_64, 1)) < 2**32


# Most restrictive first: kernel/seccomp.c, seccomp(2)
WORDS = "KILL_PROCESS KILL_THREAD TRAP ERRNO NOTIFY TRACE LOG ALLOW"
ORDER = [f"SCMP_ACT_{word}" for word in WORDS.split()]


@given(st.lists(st.sampled_from(ORDER), max_size=5))
def test_the_most_restrictive_answer_of_several_filters_applies(names: list[str]) -> None:
    programs = [bpf.program(raw((bpf.RET_K, 0, 0, actions.code(name)))) for name in names]
    strictest = min(names, key=ORDER.index, default="SCMP_ACT_ALLOW")
    assert bpf.combined(programs, bpf.SeccompData(X86_64, 1)) == actions.code(strictest)


def test_of_equal_actions_the_newest_filters_data_applies() -> None:
    programs = [bpf.program(raw((bpf.RET_K, 0, 0, return_codes.ERRNO | data))) for data in (1, 2)]
    assert bpf.combined(programs, bpf.SeccompData(X86_64, 1)) == return_codes.ERRNO | 2


def test_a_filter_that_returns_an_argument_depends_on_it() -> None:
    """Found by `make campaign-fuzz`: without a branch no argument counted as relevant."""
    word = bpf.argument_word(4, high=True)
    program = bpf.program(raw((bpf.LD_ABS, 0, 0, 4 * word), (bpf.RET_A, 0, 0, 0)))
    assert bpf_arguments.interest([program], X86_64, 41).indexes == [4]
    constant = bpf.program(raw((bpf.LD_ABS, 0, 0, 0), (bpf.RET_A, 0, 0, 0)))
    assert bpf_arguments.interest([constant], X86_64, 41).indexes == []


def _steps(instructions: list[bpf.Instruction], a: int) -> int:
    """Return the result, one instruction after another, of a program without loads."""
    place = 0
    while True:
        code, true, false, k = instructions[place]
        place += 1
        if code == bpf.RET_K:
            return k
        place += k if code == bpf.JA else true if a == k else false


@given(st.data())
def test_chains_of_tests_lead_where_single_steps_do(data: st.DataObject) -> None:
    """Also those that join others in their midst, repeat an operand, or lead over jumps."""
    jump = st.integers(0, 5)
    test = st.tuples(st.just(bpf.JEQ), jump, jump, st.integers(0, 5))
    jumping = st.tuples(st.just(bpf.JA), st.just(0), st.just(0), jump)
    body = data.draw(st.lists(st.one_of(test, test, jumping), min_size=1, max_size=30))
    whole = [*body, *((bpf.RET_K, 0, 0, place) for place in range(6))]
    made = bpf.program(raw((bpf.LD_ABS, 0, 0, 0), *whole))
    for a in range(7):
        assert bpf.evaluate(made, bpf.SeccompData(X86_64, a)) == _steps(whole, a)


RETURNS = [actions.code(f"SCMP_ACT_{word}") for word in WORDS.split() if word != "NOTIFY"]
RETURNS += [return_codes.ERRNO | 38]
JGE, AND = 0x35, 0x54


@st.composite
def programs(draw: st.DrawFn) -> bytes:
    """Branches, jumps, memory and masks over a call's number and arguments, and returns."""
    length = draw(st.integers(0, 12))
    made = [(bpf.ST, 0, 0, 0)]
    for place in range(length):
        jump = st.integers(0, length - place - 1)  # as far as the return at the end
        value = draw(st.integers(0, 3))
        made.append(
            draw(
                st.one_of(
                    st.just((bpf.LD_ABS, 0, 0, (0, 16, 24, 16)[value])),
                    st.tuples(st.sampled_from((bpf.JEQ, JGE)), jump, jump, st.just(value)),
                    st.tuples(st.just(bpf.RET_K), st.just(0), st.just(0), st.sampled_from(RETURNS)),
                    st.tuples(st.just(bpf.JA), st.just(0), st.just(0), jump),
                    st.just((bpf.ST, 0, 0, 0)),
                    st.just((bpf.LD_MEM, 0, 0, 0)),
                    st.just((AND, 0, 0, value)),
                )
            )
        )
    made.append((bpf.RET_K, 0, 0, draw(st.sampled_from(RETURNS))))
    return raw(*made)


@given(programs(), programs(), st.integers(0, 4), st.integers(0, 4), st.integers(0, 4))
def test_the_action_is_the_more_restrictive_of_both(
    old: bytes, new: bytes, number: int, first: int, second: int
) -> None:
    call = bpf.SeccompData(X86_64, number, (first, second, 0, 0, 0, 0))
    both = bpf.combined([bpf.program(old), bpf.program(new)], call)
    one = bpf.evaluate(bpf.program(bpf.merged(old, new)), call)
    assert actions.restriction(one) == actions.restriction(both)


def test_a_filter_that_would_be_too_long_is_refused() -> None:
    allowed, killed = ((bpf.RET_K, 0, 0, code) for code in (return_codes.ALLOW, 0))
    old = raw(*[(bpf.LD_ABS, 0, 0, 0)] * 4000, allowed)
    same = raw(*[(bpf.JEQ, 0, 0, 1)] * 200, killed)
    assert len(bpf.merged(old, same)) // 8 < 4010  # all of it leads to one return
    new = raw((bpf.LD_ABS, 0, 0, 0), *[(bpf.JEQ, 0, 1, 1), killed] * 100, allowed)
    with pytest.raises(bpf.BpfError, match="4096"):
        bpf.merged(old, new)


def test_a_calculated_return_is_refused() -> None:
    ends = raw((bpf.RET_A, 0, 0, 0))
    with pytest.raises(bpf.BpfError, match="calculated"):
        bpf.merged(ends, ends)


@needs_libseccomp
@pytest.mark.parametrize("loader", [Loader("crun"), Loader("runc"), Loader.of("runc", "1.1.15")])
def test_engines_profiles_are_merged_exactly_and_fit(loader: Loader) -> None:
    over: Any = {"deny": ["keyctl", "clone3"], "deny_sockets": [38], "existing": True}
    blocks = [block_of("containerd"), block_of("containers-common")]
    blocks.append(overlay.with_overlay({"defaultAction": "SCMP_ACT_ALLOW"}, over))
    filters = [filter_comparison.installed(block, loader) for block in blocks]
    for block, made in zip(blocks, filters, strict=True):
        assert Expectation(block, loader).differences([made]) == ()
    for old, new in ((0, 1), (1, 0), (0, 2), (2, 1)):
        one, both = ((bpf.merged(filters[old], filters[new]),), (filters[old], filters[new]))
        assert filter_comparison.weaker(one, both) == ()
        assert filter_comparison.weaker(both, one) == ()


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
CODES = (0x04, 0x34, 0x34 | X, 0xA4, bpf.NEG, bpf.TXA, bpf.ST, bpf.LD_ABS, bpf.LD_LEN)
OTHERS = [(code, 0, 0, 4) for code in CODES]
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


def of_length(length: int) -> bytes:
    """Return a filter of which the kernel makes so many instructions."""
    return raw(*[(bpf.LD_IMM, 0, 0, 0)] * (length - 5), ALLOWS)


def of_each_kind() -> Iterator[bytes]:
    """Yield filters that allow all calls by each of their ways."""
    for line in (*BRANCHES, *OTHERS, (bpf.JA, 0, 0, 0), ALLOWS):
        yield raw((bpf.LDX_IMM, 0, 0, 3), *[line] * 100, ALLOWS, ALLOWS)


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
        left = 5 + bisect(range(6, 1000), 0, key=lambda n: not bpf.has_room(there, of_length(n)))
        assert (is_hardened, is_added(of_length(left + 1))) != (False, True)
        assert is_added(of_length(left)) or is_hardened
        process.stdin.close()


def test_a_hardened_kernel_makes_up_to_three_instructions_of_each() -> None:
    there = [of_length(3000)] * 3
    assert bpf.has_room(there, of_length(1918), is_hardened=True)
    assert not bpf.has_room(there, of_length(1919), is_hardened=True)

"""One filter in place of two: for every call, the more restrictive result of both."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runc_wrap.filters import filter_comparison, runtime_filter
from runc_wrap.filters.evaluate import bpf, bpf_merge
from runc_wrap.filters.evaluate.bpf import SeccompData
from runc_wrap.filters.evaluate.libseccomp_input import Loader
from runc_wrap.filters.filter_comparison import Expectation
from runc_wrap.hotpath import overlay
from runc_wrap.profiles import actions, return_codes
from runc_wrap.profiles.abis import ABIS
from tests.unit.profiles.resolving import block_of, needs_libseccomp

RETURNS = [
    return_codes.KILL_PROCESS,
    return_codes.KILL_THREAD,
    return_codes.TRAP,
    return_codes.ERRNO | 1,
    return_codes.ERRNO | 38,
    return_codes.LOG,
    return_codes.ALLOW,
]
JGE, AND = 0x35, 0x54
ARCH = ABIS["x86_64"].audit


def filter_of(*instructions: tuple[int, int, int, int]) -> bytes:
    return b"".join(struct.pack("=HBBI", *one) for one in instructions)


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
    return filter_of(*made)


@given(programs(), programs(), st.integers(0, 4), st.integers(0, 4), st.integers(0, 4))
def test_the_action_is_the_more_restrictive_of_both(
    old: bytes, new: bytes, number: int, first: int, second: int
) -> None:
    call = SeccompData(ARCH, number, (first, second, 0, 0, 0, 0))
    both = bpf.combined([bpf.program(old), bpf.program(new)], call)
    one = bpf.evaluate(bpf.program(bpf_merge.merged(old, new)), call)
    assert actions.restriction(one) == actions.restriction(both)


def test_a_filter_that_would_be_too_long_is_refused() -> None:
    allowed, killed = ((bpf.RET_K, 0, 0, code) for code in (return_codes.ALLOW, 0))
    old = filter_of(*[(bpf.LD_ABS, 0, 0, 0)] * 4000, allowed)
    same = filter_of(*[(bpf.JEQ, 0, 0, 1)] * 200, killed)
    assert len(bpf_merge.merged(old, same)) // 8 < 4010  # all of it leads to one return
    new = filter_of((bpf.LD_ABS, 0, 0, 0), *[(bpf.JEQ, 0, 1, 1), killed] * 100, allowed)
    with pytest.raises(bpf.BpfError, match="4096"):
        bpf_merge.merged(old, new)


def test_a_calculated_return_is_refused() -> None:
    ends = filter_of((bpf.RET_A, 0, 0, 0))
    with pytest.raises(bpf.BpfError, match="calculated"):
        bpf_merge.merged(ends, ends)


@needs_libseccomp
@pytest.mark.parametrize("loader", [Loader("crun"), Loader("runc"), Loader.of("runc", "1.1.15")])
def test_engines_profiles_are_merged_exactly_and_fit(loader: Loader) -> None:
    over: Any = {"deny": ["keyctl", "clone3"], "deny_sockets": [38], "existing": True}
    blocks = [block_of("containerd"), block_of("containers-common")]
    blocks.append(overlay.with_overlay({"defaultAction": "SCMP_ACT_ALLOW"}, over))
    filters = [runtime_filter.installed(block, loader) for block in blocks]
    for block, made in zip(blocks, filters, strict=True):
        assert Expectation(block, loader).differences([made]) == ()
    for old, new in ((0, 1), (1, 0), (0, 2), (2, 1)):
        one, both = (
            (bpf_merge.merged(filters[old], filters[new]),),
            (filters[old], filters[new]),
        )
        assert filter_comparison.weaker(one, both) == ()
        assert filter_comparison.weaker(both, one) == ()

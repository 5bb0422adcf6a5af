"""Installations of filters are reported: tested with libseccomp's filters for the rules."""

from functools import cache
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from runc_wrap.filters.evaluate import bpf
from runc_wrap.filters.evaluate.libseccomp_input import Loader
from runc_wrap.hotpath.resolve import resolve
from runc_wrap.profiles import actions, builtin, return_codes
from runc_wrap.profiles.abis import ABIS
from runc_wrap.profiles.mode_profiles import modes
from runc_wrap.profiles.mode_profiles.own_filter_rules import FIRST, is_held
from runc_wrap.profiles.source_profile import Profile, ProfileError
from tests.unit.profiles.resolving import OPS, answer, compare, needs_libseccomp, program_of, read

pytestmark = needs_libseccomp
BUILT_IN = ["containerd@1.6.0", "containerd", "moby", "containers-common", "crio"]
X86_64 = ABIS["x86_64"]
INT, UPPER = 0xFFFFFFFF, 1 << 32
NOTIFY, LOG = (actions.code(f"SCMP_ACT_{word}") for word in ("NOTIFY", "LOG"))
TOLD = {"audit": LOG, "observe": NOTIFY}
SOMEWHERE = 0x1000
_registers = st.integers(0, 2**64 - 1) | st.builds(
    lambda upper, number: upper << 32 | number,
    st.integers(0, INT),
    st.sampled_from([0, 1, 2, 3, 16, 20, 21, 22, 23, 24, 54, 1 << 31, INT]),
)


def made(profile: Profile, mode: str) -> dict[str, Any]:
    listener = modes.AgentListener("/notify.sock")
    compiled = modes.compiled(profile, mode, arch="amd64", kernel=(6, 12), listener=listener)
    return resolve(compiled, frozenset())


@cache
def program(spec: str, mode: str, kind: Any) -> bpf.Program:
    return loaded(builtin.load(spec), mode, kind)


def loaded(profile: Profile, mode: str, kind: Any = "runc") -> bpf.Program:
    return program_of(made(profile, mode), Loader(kind))


@given(
    st.sampled_from(BUILT_IN),
    st.sampled_from(sorted(TOLD)),
    st.sampled_from(["runc", "crun"]),
    st.sampled_from(["x86_64", "x86", "x32"]),
    st.sampled_from(sorted(FIRST)),
    _registers,
)
def test_only_a_filter_installation_is_reported_by_the_argument_as_the_kernel_reads_it(  # noqa: PLR0917 - all drawn
    spec: str, mode: str, kind: str, abi: str, name: str, given: int
) -> None:
    found = answer(program(spec, mode, kind), ABIS[abi], name, (given, 0, SOMEWHERE))
    assert found == (TOLD[mode] if is_held(name, given) else return_codes.ALLOW)


TOLD_CALLS = [
    ("prctl", (22, 2, 0), False),  # SECCOMP_MODE_FILTER, without one
    ("prctl", (22, 1, 0), True),  # strict mode
    ("seccomp", (1, 0, 0), False),  # SECCOMP_SET_MODE_FILTER
    ("seccomp", (1, 1, 0), False),
    ("seccomp", (0, 1, 0), False),  # strict mode takes no flags
    ("seccomp", (0, 0, 0), True),
    ("seccomp", (UPPER, UPPER, 0), True),  # the kernel reads both as ints
    ("seccomp", (2, 0, SOMEWHERE), False),  # SECCOMP_GET_ACTION_AVAIL
    ("seccomp", (3, 0, SOMEWHERE), False),
]


@pytest.mark.parametrize("abi", ["x86_64", "x86", "x32"])
@pytest.mark.parametrize(("name", "args", "is_told"), TOLD_CALLS)
def test_audit_reports_strict_mode_and_no_probe_for_support(
    abi: str, name: str, args: tuple[int, ...], *, is_told: bool
) -> None:
    found = answer(program("containerd", "audit", "runc"), ABIS[abi], name, args)
    assert found == (LOG if is_told else return_codes.ALLOW)


def _rule(name: str, action: str, *args: dict[str, Any]) -> dict[str, Any]:
    return {"names": [name], "action": action, "args": list(args)}


_VALUES = [0, 1, 2, 16, 21, 22, 23, 1 << 31, INT, UPPER + 22, 2**64 - 1]
_values = st.sampled_from(_VALUES)
_comparisons = st.builds(compare, st.sampled_from(OPS), _values, _values)
_second = st.builds(compare, st.sampled_from(OPS), _values, _values, st.just(1))
_arguments: st.SearchStrategy[list[Any]] = st.one_of(
    st.just([]), _comparisons.map(lambda one: [one]), st.tuples(_comparisons, _second).map(list)
)


@given(
    st.sampled_from(sorted(FIRST)),
    st.lists(_arguments, min_size=1, max_size=2),
    st.sampled_from(["SCMP_ACT_ERRNO", "SCMP_ACT_ALLOW", "SCMP_ACT_LOG"]),
    st.sampled_from(sorted(TOLD)),
    _registers,
    _values,
)
@example("prctl", [[]], "SCMP_ACT_ALLOW", "observe", 22, 0)
@example("prctl", [[compare("EQ", 22)]], "SCMP_ACT_ERRNO", "audit", 22 + UPPER, 0)
@example("prctl", [[compare("MASKED_EQ", 1, 16)]], "SCMP_ACT_ERRNO", "audit", 22, 0)
@example("prctl", [[compare("MASKED_EQ", 1, 16)]], "SCMP_ACT_ERRNO", "audit", 0, 0)
@example("prctl", [[compare("MASKED_EQ", 1, 2)]], "SCMP_ACT_ERRNO", "observe", 22, 0)
@example("seccomp", [[compare("GT", 0)]], "SCMP_ACT_ERRNO", "audit", 1, 0)
@example("seccomp", [[]], "SCMP_ACT_ALLOW", "observe", 0, 0)
@example("seccomp", [[compare("MASKED_EQ", 1, 0)]], "SCMP_ACT_ERRNO", "audit", 0, 0)
@example("seccomp", [[]], "SCMP_ACT_ERRNO", "audit", 0, 1)
def test_no_installation_is_missed_whatever_the_owners_profile_allows(  # noqa: PLR0917 - all drawn
    name: str, allowed: list[Any], default: str, mode: str, first: int, second: int
) -> None:
    document = {
        "defaultAction": default,
        "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"],
        "syscalls": [_rule(name, "SCMP_ACT_ALLOW", *args) for args in allowed],
    }
    profile = read(document)
    try:
        args = (first, second, SOMEWHERE)
        programs = (loaded(profile, one) for one in ("enforce", mode))
        before, found = (answer(one, X86_64, name, args) for one in programs)
    except ProfileError as error:  # libseccomp 2.6.0 never ends with some rules of two arguments
        if "did not compile" not in str(error) or len(allowed) == 1:
            raise
        return
    if (name, first & INT, second) == ("seccomp", 0, 1):  # libseccomp's probe, which always fails
        assert found in (before, LOG, NOTIFY)
    elif is_held(name, first):
        assert found in (LOG, NOTIFY)
    elif len(allowed) > 1:
        return  # of several comparisons libseccomp makes not always what they say
    elif before not in (return_codes.ALLOW, LOG):
        assert found in (LOG, NOTIFY)
    elif first <= INT:  # upper bits that no int has are told as well
        assert found in (before, NOTIFY if name == "seccomp" else before)

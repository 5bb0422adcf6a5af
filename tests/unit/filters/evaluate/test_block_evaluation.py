"""The simulation against libseccomp's filter for the same rules."""

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from runc_wrap.filters.evaluate import bpf
from runc_wrap.filters.evaluate.block_evaluation import Simulation
from runc_wrap.filters.evaluate.libseccomp_input import Loader
from runc_wrap.filters.kernel import libseccomp_compiler
from runc_wrap.profiles import actions, return_codes, syscall_names
from runc_wrap.profiles.abis import ABIS, X32_BIT
from runc_wrap.profiles.engine_versions import parse
from runc_wrap.profiles.source_profile import ProfileError
from tests.unit.profiles.resolving import OPS, compare, needs_libseccomp

pytestmark = needs_libseccomp
CRUN, RUNC = Loader("crun"), Loader("runc")
NATIVE, X86, X32 = ABIS["x86_64"], ABIS["x86"], ABIS["x32"]
DENY, ALLOW, LOG = "SCMP_ACT_ERRNO", "SCMP_ACT_ALLOW", "SCMP_ACT_LOG"
NAMES = ["getpid", "socket", "shmget", "socketcall", "clone3", "recv", "no_such_call"]
VALUES = [0, 1, 2, 3, 40, 2**32 - 1, 2**32, 2**32 + 1, 2**64 - 1]


def rule(name: str, action: str, *args: dict[str, Any], errno: int | None = None) -> dict[str, Any]:
    entry: dict[str, Any] = {"names": [name], "action": action, "args": list(args)}
    return entry if errno is None else {**entry, "errnoRet": errno}


def block(*rules: dict[str, Any], default: str = DENY, abis: tuple[str, ...] = ()) -> Any:
    return {"defaultAction": default, "architectures": list(abis), "syscalls": list(rules)}


_values = st.sampled_from(VALUES)
_compared = st.builds(compare, st.sampled_from(OPS), _values, _values, st.integers(0, 2))
_arguments = st.lists(_compared, max_size=3)
OUTCOMES = [(action, None) for action in (ALLOW, LOG, "SCMP_ACT_KILL", "SCMP_ACT_KILL_PROCESS")]
_rules = st.builds(
    lambda name, outcome, args: rule(name, outcome[0], *args, errno=outcome[1]),
    st.sampled_from(NAMES),
    st.sampled_from([*((DENY, errno) for errno in (None, 1, 38, 111)), *OUTCOMES]),
    _arguments,
)
_blocks = st.builds(
    lambda rules, default, names: block(*rules, default=default, abis=tuple(names)),
    st.lists(_rules, max_size=6),
    st.sampled_from([DENY, ALLOW, LOG]),
    st.lists(st.sampled_from(["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"]), unique=True),
)
_args = st.tuples(*[_values] * 6)


WRONGLY = (("LE", 1), ("LT", 2**32 + 1))  # two ranges of one argument


def compiled(made: Simulation) -> bpf.Program | None:
    """Return libseccomp's filter, None if it refuses the rules."""
    try:
        return bpf.program(libseccomp_compiler.filter_bytes(made.load))
    except ProfileError:
        return None


RANGES = [rule("getpid", DENY, compare(op, value, index=1)) for op, value in WRONGLY]
FOREIGN = [rule("accept", DENY), rule("getpid", DENY, compare("NE", 1))]


@example(block(*RANGES, default=ALLOW), [(0, 2, 0, 0, 0, 0)], 39)
@example(block(*FOREIGN, default=ALLOW, abis=("SCMP_ARCH_X86",)), [(0,) * 6], 20)  # it is lost
@given(_blocks, st.lists(_args, min_size=1, max_size=8), st.integers(0, 600))
def test_a_certain_verdict_is_what_libseccomps_filter_returns(
    blocks: Any, arguments: list[bpf.Args], other: int
) -> None:
    made = Simulation(blocks, CRUN)
    program = compiled(made)
    if program is None:
        return
    for abi in (NATIVE, X86, X32, ABIS["aarch64"]):
        bit = X32_BIT if abi is X32 else 0
        numbers = {number for name in NAMES if (number := syscall_names.numbers(abi).get(name))}
        for number in sorted({*numbers, other | bit}):
            for args in arguments:
                verdict = made.verdict(abi, number, args)
                found = bpf.evaluate(program, bpf.SeccompData(abi.audit, number, args))
                assert not verdict.certain or verdict.code == found


def code_of(made: Simulation, name: str, *first: int) -> int:
    a, b, c, d, e, f = (*first, *(0,) * (6 - len(first)))
    return made.verdict(NATIVE, syscall_names.numbers(NATIVE)[name], (a, b, c, d, e, f)).code


def test_crun_evaluates_the_first_six_comparisons_of_a_rule() -> None:
    six = [compare("EQ", place + 1, index=place) for place in range(6)]
    of_six = Simulation(block(rule("getpid", ALLOW, *six)), CRUN)
    found = [code_of(of_six, "getpid", 1, 2, 3, 4, 5, last) for last in (6, 7)]
    assert found == [return_codes.ALLOW, actions.code(DENY, 1)]
    more = block(rule("getpid", ALLOW, *six, compare("EQ", 9)))  # an index twice: to runc, either
    assert code_of(Simulation(more, CRUN), "getpid", 1, 2, 3, 4, 5, 6) == return_codes.ALLOW
    assert code_of(Simulation(more, CRUN), "getpid", 9) == actions.code(DENY, 1)
    assert code_of(Simulation(more, RUNC), "getpid", 9) == return_codes.ALLOW


def test_runc_answers_enosys_above_the_largest_number_named_and_crun_does_not() -> None:
    profile = block(rule("getpid", ALLOW), rule("clone3", DENY))  # 39 and 435, which is dropped
    for number, expected in ((434, actions.code(DENY)), (436, actions.code(DENY, 38))):
        assert Simulation(profile, RUNC).verdict(NATIVE, number).code == expected
        assert Simulation(profile, CRUN).verdict(NATIVE, number).code == actions.code(DENY)


@pytest.mark.parametrize("default", [1, 2])
def test_a_name_that_the_runtimes_libseccomp_lacks_is_left_out(default: int) -> None:
    """mseal (462) is of libseccomp 2.5.6: before, the largest number named is cachestat's."""
    named = (rule(name, ALLOW) for name in ("getpid", "cachestat", "mseal"))
    profile = {**block(*named), "defaultErrnoRet": default}
    numbers = [syscall_names.numbers(NATIVE)[name] for name in ("cachestat", "mseal")]
    denied = actions.code(DENY, default)
    for kind, library, expected in (
        ("runc", "2.5.5", [return_codes.ALLOW, actions.code(DENY, 38)]),
        ("crun", "2.5.5", [return_codes.ALLOW, denied]),
        ("runc", "2.5.4", [actions.code(DENY, 38)] * 2),
        ("crun", "2.5.4", [denied, denied]),
        ("runc", "2.6.0", [return_codes.ALLOW] * 2),
        ("crun", "2.5.6", [return_codes.ALLOW] * 2),
    ):
        made = Simulation(profile, Loader.of(kind, "1.4.0", library))
        assert [made.verdict(NATIVE, number).code for number in numbers] == expected, library


def test_a_denied_name_that_the_runtimes_libseccomp_lacks_stays_allowed() -> None:
    profile = block(rule("mseal", DENY), default=ALLOW)
    for kind in ("runc", "crun"):
        old = Simulation(profile, Loader.of(kind, "1.4.0", "2.5.5"))
        assert code_of(old, "mseal") == return_codes.ALLOW
        assert code_of(Simulation(profile, Loader.of(kind, "1.4.0")), "mseal") == actions.code(DENY)


@pytest.mark.parametrize("default", [ALLOW, LOG, "SCMP_ACT_TRACE"])
def test_runc_has_no_stub_where_the_default_lets_through(default: str) -> None:
    made = Simulation(block(rule("getpid", DENY), default=default), RUNC)
    assert made.verdict(NATIVE, 400).code == actions.code(default)


def test_older_runc_leaves_the_stub_out_where_no_architecture_is_listed() -> None:
    old = Simulation(block(rule("getpid", ALLOW)), Loader("runc", parse("1.1.13")))
    assert old.verdict(NATIVE, 400).code == actions.code(DENY)
    new = Simulation(block(rule("getpid", ALLOW)), Loader("runc", parse("1.1.15")))
    assert new.verdict(NATIVE, 400).code == actions.code(DENY, 38)


REFUSED = [
    ({}, RUNC, "no defaultAction"),
    ({"defaultAction": "SCMP_ACT_NOTIFY"}, RUNC, "refuses SCMP_ACT_NOTIFY"),
    ({"defaultAction": "SCMP_ACT_WHAT"}, RUNC, "SCMP_ACT_WHAT"),
    (block(abis=("SCMP_ARCH_VAX",)), RUNC, "SCMP_ARCH_VAX"),
    (block(abis=("SCMP_ARCH_S390X",)), RUNC, "remove SCMP_ARCH_S390X from architectures"),
    (block(rule("getpid", ALLOW, errno=1)), CRUN, "refuses an errno"),
    (block(rule("getpid", ALLOW, compare("EQ", 0, index=6))), RUNC, "index 6"),
    (block(rule("getpid", ALLOW, compare("IS", 0))), RUNC, "SCMP_CMP_IS"),
]


@pytest.mark.parametrize(("wrong", "loader", "what"), REFUSED)
def test_what_a_runtime_refuses_is_an_error(wrong: Any, loader: Loader, what: str) -> None:
    with pytest.raises(ProfileError, match=what):
        Simulation(wrong, loader)


def test_calls_through_an_abi_that_is_not_listed_kill_the_thread() -> None:
    made = Simulation(block(default=ALLOW), RUNC)
    assert made.verdict(X32, 39 | X32_BIT).code == return_codes.KILL_THREAD
    assert made.verdict(X32, syscall_names.SKIPPED).code == return_codes.ALLOW


@pytest.mark.parametrize(("listed", "is_certain"), [(["X86_64"], True), (["X86_64", "X32"], False)])
def test_a_call_only_x32_lacks_makes_both_uncertain(listed: list[str], *, is_certain: bool) -> None:
    """libseccomp keeps one list for both, which then begins with a number that is none."""
    abis = tuple(f"SCMP_ARCH_{name}" for name in listed)
    made = Simulation(block(rule("uselib", ALLOW, compare("EQ", 1)), abis=abis), CRUN)
    assert made.verdict(NATIVE, 39).certain is is_certain

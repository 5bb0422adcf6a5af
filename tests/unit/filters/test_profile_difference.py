"""Which calls one profile lets through more than another."""

import struct
from itertools import count as count_from
from itertools import permutations
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.node.requirements import machine
from runc_wrap.filters import filter_comparison, profile_difference
from runc_wrap.filters.evaluate import block_evaluation, bpf
from runc_wrap.filters.evaluate.block_evaluation import Simulation
from runc_wrap.filters.evaluate.libseccomp_input import Loader
from runc_wrap.filters.filter_comparison import Expectation
from runc_wrap.filters.profile_difference import ProcessFilters
from runc_wrap.hotpath import json_codec
from runc_wrap.hotpath.resolve import resolve
from runc_wrap.profiles import abis, actions, builtin, platform, syscall_names
from runc_wrap.profiles.arguments import narrowed_comparisons
from runc_wrap.profiles.profile_compiler import compile_profile
from runc_wrap.profiles.source_profile import ProfileError

Json = dict[str, Any]
RUNC = Loader("runc")


def _profile(*rules: Json, default: str = "SCMP_ACT_ERRNO") -> Any:
    entries = []
    for rule in rules:
        held: Json = {name: rule[name] for name in ("all", "none") if name in rule}
        kept = {name: one for name, one in rule.items() if name not in held}
        inner: Json = {"action": "SCMP_ACT_ALLOW", **kept}
        entries.append({"rule": inner, **held})
    return {"name": "x", "version": None, "block": {"defaultAction": default}, "rules": entries}


def _found(strict: Any, other: Any) -> set[tuple[str, frozenset[str]]]:
    found = profile_difference.weaker(strict, other, RUNC)
    return {(one.call.syscall, one.capabilities) for one in found}


NONE: frozenset[str] = frozenset()
ADMIN = frozenset({"CAP_SYS_ADMIN"})
READ: Json = {"names": ["read"]}
MORE: Json = {"names": ["read", "acct"]}
IF_ADMIN: Json = {"names": ["acct"], "all": ["CAP_SYS_ADMIN"]}
UNLESS_ADMIN: Json = {"names": ["acct"], "none": ["CAP_SYS_ADMIN"]}
AT_ONE: Json = {"names": ["acct"], "args": [{"index": 1, "value": 1, "op": "SCMP_CMP_EQ"}]}
BELOW: Json = {"names": ["acct"], "args": [{"index": 1, "value": 8, "op": "SCMP_CMP_LT"}]}


def _equal(index: int, value: int) -> Json:
    return {"index": index, "value": value, "op": "SCMP_CMP_EQ"}


def _masked(mask: int, value: int, index: int = 1) -> Json:
    one = {"index": index, "value": mask, "valueTwo": value, "op": "SCMP_CMP_MASKED_EQ"}
    return {"names": ["acct"], "args": [one]}


PAIRS = ((2, 0), (4, 4), (9, 1), (16, 16), (33, 1), (64, 64), (129, 1))
APART = [_masked(mask, value) for mask, value in PAIRS]
KILLED: Json = {"names": ["acct"], "action": "SCMP_ACT_KILL_PROCESS"}


ACCT = {("acct", NONE)}
LET_THROUGH = [
    ([READ], [READ], set()),
    ([MORE], [READ], set()),
    ([READ], [MORE], ACCT),
    ([READ], [READ, IF_ADMIN], {("acct", ADMIN)}),
    ([READ, IF_ADMIN], [READ, UNLESS_ADMIN], ACCT),
    ([READ, UNLESS_ADMIN], [MORE], {("acct", ADMIN)}),
    ([READ, AT_ONE], [READ, BELOW], ACCT),
    ([READ, BELOW], [READ, AT_ONE], set()),
    ([READ, _masked(3, 1), _masked(7, 7)], [READ, _masked(1, 1)], ACCT),
    # let through by the one unless no mask is met
    ([READ, _masked(1 << 8, 0), _masked(1 << 17, 1 << 17), _masked(1 << 28, 0)], [MORE], ACCT),
    ([READ, _masked(1 << 8, 1 << 8), _masked(1 << 14, 0), _masked(1 << 28, 1 << 28)], [MORE], ACCT),
    ([READ, *(_masked(7, value, index) for value in (0, 1) for index in (1, 2))], [MORE], ACCT),
    # let through by the other where its last mask is met and none of the rest is
    ([READ, *APART], [READ, *APART, _masked(1, 1)], ACCT),
    ([READ, KILLED], [READ], ACCT),
    ([READ], [READ, KILLED], set()),
]


@pytest.mark.parametrize(("strict", "other", "calls"), LET_THROUGH)
def test_calls_are_named_with_the_capabilities_for_which_they_are_let_through(
    strict: list[Json], other: list[Json], calls: set[tuple[str, frozenset[str]]]
) -> None:
    assert _found(_profile(*strict), _profile(*other)) == calls


def test_calls_without_a_name_count() -> None:
    allowing = _profile(default="SCMP_ACT_ALLOW")
    names = {name for name, _ in _found(_profile(MORE), allowing)}
    assert any(name.startswith("#") for name in names)
    assert not {"read", "acct"} & names


def test_a_capability_counts_for_calls_between_the_last_numbers_that_a_profile_names() -> None:
    """runc answers ENOSYS above the last number, which a rule for the capability moves."""
    fewer = _profile({"names": ["write"]}, default="SCMP_ACT_KILL_PROCESS")
    more = _profile({"names": ["write"]}, IF_ADMIN, default="SCMP_ACT_KILL_PROCESS")
    assert ("sync", ADMIN) in _found(more, fewer)
    assert ("sync", NONE) not in _found(more, fewer)


def test_capabilities_of_rules_on_different_calls_count_where_both_decide() -> None:
    """runc answers ENOSYS to acct, which no rule names with SYS_ADMIN, but for a rule with BPF."""
    rules = [{"names": ["write"]}, UNLESS_ADMIN, {"names": ["swapon"], "all": ["CAP_BPF"]}]
    strict, other = (_profile(*rules, default=f"SCMP_ACT_{one}") for one in ("KILL", "ERRNO"))
    assert ("acct", ADMIN | {"CAP_BPF"}) in _found(strict, other)


def test_an_abi_that_one_profile_leaves_out_is_a_difference() -> None:
    wide = _profile(READ)
    wide["block"]["architectures"] = [f"SCMP_ARCH_{one}" for one in ("X86_64", "X86", "X32")]
    if platform.goarch() != "amd64":
        wide["block"]["architectures"] = ["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"]
    assert profile_difference.weaker(_profile(READ), wide, RUNC)
    assert not profile_difference.weaker(wide, _profile(READ), RUNC)


def test_rules_on_sockets_reach_the_multiplexer_of_a_32_bit_abi() -> None:
    machine("x86_64")
    strict, other = _profile(READ), _profile(READ, {"names": ["socket"], "all": ["CAP_NET_RAW"]})
    for one in (strict, other):
        one["block"]["architectures"] = ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"]
    held = frozenset({"CAP_NET_RAW"})
    # runc's stub would deny socketcall
    found = profile_difference.weaker(strict, other, Loader("crun"))
    assert ("socketcall", held) in {(one.call.syscall, one.capabilities) for one in found}


def test_no_pair_of_outcomes_is_left_out_of_a_multiplexer_with_too_many_arguments() -> None:
    """Which is so though another difference is found among those that are tried."""
    machine("x86_64")
    calls = "bind connect listen accept4 sendto recvfrom sendmsg recvmsg shutdown".split()
    compared = [[_equal(index, 16 * at + index) for index in (1, 2, 3)] for at in range(1, 10)]
    rules = [{"names": [name], "args": args} for name, args in zip(calls, compared, strict=True)]
    logged = {**rules[4], "action": "SCMP_ACT_LOG"}
    one, other = _profile(*rules), _profile(*rules[:4], logged, *rules[5:-1])
    for each in (one, other):
        each["block"]["architectures"] = ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"]
    found = profile_difference.find(one, other, Loader("crun"))
    through = [each.call for each in found if each.call.syscall == "socketcall"]
    pairs = {(call.expected, call.found) for call in through}
    allowed, log, denied = map(actions.code, ("SCMP_ACT_ALLOW", "SCMP_ACT_LOG", "SCMP_ACT_ERRNO"))
    assert pairs == {(allowed, log), (allowed, denied)}


def test_rules_that_overlap_have_the_result_that_libseccomp_gives_them() -> None:
    """Not the first one's: both profiles make the same filter."""
    rules = [
        {"names": ["acct"], "action": action, "args": [{"index": 1, "value": 1, "op": op}]}
        for action, op in (("SCMP_ACT_ALLOW", "SCMP_CMP_GE"), ("SCMP_ACT_KILL", "SCMP_CMP_EQ"))
    ]
    one, two = _profile(*rules), _profile(*rules[::-1])
    assert _found(one, two) == _found(two, one) == set()


def test_what_is_known_of_other_profiles_changes_nothing() -> None:
    known: profile_difference.Known = {}
    some = [[READ], [READ, AT_ONE], [READ, BELOW], [READ, IF_ADMIN], [READ, KILLED], [MORE]]
    profiles = [_profile(*rules) for rules in some]
    for one, two in permutations(profiles, 2):
        alone = profile_difference.find(one, two, RUNC)
        assert profile_difference.find(one, two, RUNC, known) == alone


def _all_of(count: int) -> Json:
    return {"names": ["acct"], "args": [_equal(index, 100 + index) for index in range(count)]}


FOUR = [[_equal(index, 100 * n) for index in range(4)] for n in range(5)]
TOO_MANY = [{"names": ["acct"], "args": args} for args in FOUR]
TRAP = {"names": ["acct"], "action": "SCMP_ACT_TRAP"}
LATE_OF_MANY: list[Json] = [
    *({**TRAP, "args": [_equal(0, 10 * n)]} for n in range(30)),
    *({"names": ["acct"], "args": [_equal(0, 1000), _equal(1, 100 * n)]} for n in range(8)),
]


@pytest.mark.parametrize(
    "more", [*([_all_of(count)] for count in range(1, 7)), LATE_OF_MANY], ids=str
)
def test_a_call_let_through_for_one_combination_of_arguments_is_found(more: list[Json]) -> None:
    assert _found(_profile(READ), _profile(READ, *more)) == {("acct", NONE)}


def test_a_call_with_too_many_combinations_of_arguments_does_not_count_as_equal() -> None:
    assert _found(_profile(READ, *TOO_MANY), _profile(READ, *TOO_MANY)) == set()
    with pytest.raises(ProfileError, match="acct: its arguments are compared with more values"):
        profile_difference.weaker(_profile(READ, *TOO_MANY), _profile(READ, *TOO_MANY[::-1]), RUNC)
    stricter = {**KILLED, "args": [_equal(0, 7)]}  # a change that is found hides nothing
    assert _found(_profile(READ, *TOO_MANY), _profile(READ, *TOO_MANY, stricter)) == ACCT


def _filters(*instructions: tuple[int, int, int, int]) -> ProcessFilters:
    packed = b"".join(struct.pack("=HBBI", *one) for one in instructions)
    return ProcessFilters((bpf.program(packed),), NONE)


ALLOWED, REFUSED = (0x06, 0, 0, 0x7FFF0000), (0x06, 0, 0, 0x50001)


def _of_acct(*instructions: tuple[int, int, int, int]) -> ProcessFilters:
    number = syscall_names.numbers(abis.ABIS["x86_64"])["acct"]
    skipped = (0x15, 0, len(instructions) + 1, number)
    return _filters((0x20, 0, 0, 0), skipped, *instructions, REFUSED, ALLOWED)


_FIRST = (0x20, 0, 0, 16)  # loads the low half of the first argument


CALCULATING = [
    *(_of_acct(_FIRST, (code, 0, 0, 5), (0x15, 0, 1, 47)) for code in (0x04, 0x14, 0xA4)),
    _of_acct((0x20, 0, 0, 8), (0x15, 0, 1, 47)),  # where the call is made from
]


@pytest.mark.parametrize("filters", CALCULATING)
def test_filters_that_calculate_with_arguments_are_not_equal(filters: ProcessFilters) -> None:
    allowing = _profile(default="SCMP_ACT_ALLOW")
    assert profile_difference.find(filters, filters, RUNC) == []
    with pytest.raises(ProfileError, match="or after a calculation"):
        profile_difference.find(filters, allowing, RUNC)


def test_filters_with_too_many_combinations_do_not_count_as_equal() -> None:
    text = _profile(READ, *TOO_MANY)
    program = filter_comparison.lazily(json_codec.dumps(resolve(text, NONE)), RUNC).program
    with pytest.raises(ProfileError, match="acct: its arguments are compared with more values"):
        profile_difference.find(ProcessFilters((program,), NONE), text, RUNC)


def test_what_libseccomps_filter_compares_hides_nothing_of_what_rules_compare() -> None:
    """Values to try are bounded; more of the one must not mean fewer of the other."""
    specs = ("containers-common@0.62.2", "moby@29")
    sources = (narrowed_comparisons.narrowed(builtin.load(name)).profile for name in specs)
    strict, other = (compile_profile(one, arch="amd64", kernel=(6, 12)) for one in sources)
    assert "socket" in {name for name, _ in _found(strict, other)}


def test_where_a_range_ends_is_what_libseccomp_made_of_it() -> None:
    bounds = [{"index": 1, "value": value, "op": "SCMP_CMP_LE"} for value in (40, 1 << 63)]
    made = _profile(*({"names": ["acct"], "args": [one]} for one in bounds))
    text, abi = resolve(made, NONE), abis.ABIS["x86_64"]
    number = syscall_names.numbers(abi)["acct"]
    made_of, rest = Expectation(text, RUNC), (0,) * 4
    codes = [made_of.code(abi, number, (0, value, *rest)) for value in (0x7FFFFFFF, 1 << 31)]
    found = profile_difference.find(_profile(), made, RUNC)
    (when,) = {one.when for one in found if (one.call.abi, one.call.syscall) == (abi.name, "acct")}
    assert ("0x0 to 0x7fffffff" in when) == (codes[0] != codes[1]), when


@pytest.mark.parametrize("count", [20, 40])
def test_values_under_one_mask_are_tried_apart(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    tried = count_from(0)

    def counted(real: Any) -> Any:
        return lambda *args: (next(tried), real(*args))[1]

    monkeypatch.setattr(Expectation, "code", counted(Expectation.code))
    monkeypatch.setattr(block_evaluation, "compares", counted(block_evaluation.compares))
    rules = [_masked(~0xFF & (1 << 64) - 1, n << 40 | n << 8) for n in range(1, count + 1)]
    found = profile_difference.find(_profile(*rules), _profile(*rules[1:]), RUNC)
    assert [one.call.syscall for one in found] == ["acct"]
    assert next(tried) == 11 * count + 4


VALUES = st.sampled_from([0, 1, 2, 3, 7, 8, 9, 1 << 32, (1 << 64) - 1])
OPERATORS = st.sampled_from(["EQ", "NE", "LT", "LE", "GT", "GE"]).map("SCMP_CMP_{}".format)
ARGUMENT = st.fixed_dictionaries({"value": VALUES, "op": OPERATORS})
ARGUMENTS = st.lists(ARGUMENT, min_size=1, max_size=4).map(
    lambda each: [{"index": index, **one} for index, one in enumerate(each)]
)


@settings(max_examples=20, deadline=None)
@given(strict=ARGUMENTS, other=ARGUMENTS, tried=st.lists(VALUES, min_size=6, max_size=6))
def test_no_call_is_let_through_that_is_not_found(
    strict: list[Json], other: list[Json], tried: list[int]
) -> None:
    made = [_profile(READ, {"names": ["acct"], "args": each}) for each in (strict, other)]
    abi = syscall_names.native()
    number = syscall_names.numbers(abi)["acct"]
    made_of = (Simulation(resolve(one, NONE), RUNC) for one in made)
    before, after = (one.verdict(abi, number, tried).code for one in made_of)
    if actions.restriction(after) > actions.restriction(before):
        assert _found(*made) == {("acct", NONE)}

"""The overlay: whatever the profile, denied calls are denied and the others are unchanged."""

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runc_wrap.filters.evaluate.libseccomp_input import Loader
from runc_wrap.filters.filter_comparison import Expectation
from runc_wrap.hotpath import operators
from runc_wrap.hotpath.errors import Refusal
from runc_wrap.hotpath.overlay import overlaid, with_overlay
from runc_wrap.hotpath.resolve import resolve
from runc_wrap.hotpath.rule_algebra import FAMILIES, disjoint
from runc_wrap.profiles import return_codes, syscall_names
from runc_wrap.profiles.abis import ABIS
from tests.unit.hotpath import profile_verdict

ACTIONS = ["SCMP_ACT_ALLOW", "SCMP_ACT_LOG", "SCMP_ACT_ERRNO", "SCMP_ACT_KILL", "SCMP_ACT_NOTIFY"]
NAMES = ["socket", "socketpair", "bind", "clone3", "read"]
CAPS = ["CAP_BPF", "CAP_KILL"]
FAMILY = st.integers(0, FAMILIES - 1)

arguments = st.builds(
    lambda index, value, op: {"index": index, "value": value, "valueTwo": value & 3, "op": op},
    st.sampled_from([0, 0, 2]),
    FAMILY | st.just(1 << 32),
    st.sampled_from(["SCMP_CMP_" + op for op in ("NE", "LT", "LE", "EQ", "GE", "GT", "MASKED_EQ")]),
)
rules = st.builds(
    lambda names, action, args: {"names": names, "action": action, "args": args},
    st.lists(st.sampled_from(NAMES), min_size=1, max_size=3, unique=True),
    st.sampled_from(ACTIONS),
    st.lists(arguments, max_size=2),
)
blocks = st.builds(
    lambda default, found: {"defaultAction": default, "syscalls": found},
    st.sampled_from(ACTIONS[:4]),
    st.lists(rules, max_size=5),
)
overlays = st.fixed_dictionaries(
    {
        "deny": st.lists(st.sampled_from([*NAMES, "bpf"]), max_size=3, unique=True),
        "deny_sockets": st.lists(FAMILY, max_size=3, unique=True),
    }
)
calls = st.tuples(FAMILY, st.sampled_from([0, 1 << 32, 0xFFFFFFFF << 32]), st.integers(0, 3))


@given(blocks, overlays, st.sampled_from([*NAMES, "bpf"]), calls)
def test_a_denied_call_is_denied_and_nothing_passes_that_did_not_before(
    block: dict[str, Any], overlay: Any, name: str, call: tuple[int, int, int]
) -> None:
    family, high, protocol = call
    found = with_overlay(block, overlay)
    if profile_verdict.passes(found, name, {0: family, 2: protocol}):
        assert profile_verdict.passes(block, name, {0: family, 2: protocol})
    outcomes = profile_verdict.outcomes(found, name, {0: family | high, 2: protocol})
    of_family = name in {"socket", "socketpair"} and family in overlay["deny_sockets"]
    if name in overlay["deny"] or of_family:
        assert not profile_verdict.PASSING & set(outcomes)


@given(blocks, overlays)
def test_other_calls_stay_and_none_compares_twice(block: dict[str, Any], overlay: Any) -> None:
    before = copy.deepcopy(block)
    found = with_overlay(block, overlay)
    assert block == before
    touched = {*overlay["deny"], "socketcall"}
    touched |= {"socket", "socketpair"} if overlay["deny_sockets"] else set()
    for name in {*NAMES} - touched:
        assert _rules_of(found, name) == _rules_of(block, name)
    assert {name for rule in found["syscalls"] for name in rule["names"]} >= {*overlay["deny"]}
    for rule in found["syscalls"]:
        indexes = [argument["index"] for argument in rule.get("args") or []]
        if overlay["deny_sockets"] and {"socket", "socketpair"} & {*rule["names"]}:
            assert len(set(indexes)) == len(indexes)


def _rules_of(block: dict[str, Any], name: str) -> list[dict[str, Any]]:
    return [{**rule, "names": [name]} for rule in block["syscalls"] if name in rule["names"]]


def _over(*denied: str, sockets: list[int] | None = None) -> Any:
    return {"deny": [*denied], "deny_sockets": sockets or [], "existing": False}


one_at_most = st.lists(st.sampled_from(CAPS), max_size=1)
entry = st.fixed_dictionaries({"rule": rules, "all": one_at_most, "none": one_at_most})
entries = st.lists(entry, max_size=5)
bounding = st.frozensets(st.sampled_from(CAPS))


@given(entries, st.sampled_from(NAMES), calls, bounding)
def test_separated_rules_allow_nothing_more_and_do_not_contradict(
    found: list[Any], name: str, call: tuple[int, int, int], caps: frozenset[str]
) -> None:
    values = {0: call[0], 2: call[2]}
    block = {"defaultAction": "SCMP_ACT_ERRNO"}
    whole: Any = {"block": block, "rules": found}
    before = resolve(whole, caps)
    separated: Any = {**whole, "rules": disjoint(found, block)}
    after = resolve(separated, caps)
    outcomes = set(profile_verdict.outcomes(after, name, values))
    assert outcomes <= profile_verdict.PASSING or not outcomes & profile_verdict.PASSING
    if profile_verdict.passes(after, name, values):
        assert profile_verdict.passes(before, name, values)


@pytest.mark.parametrize("turned", [False, True])
def test_under_an_overlay_a_rule_without_comparison_still_beats_a_denial(turned: bool) -> None:
    equal = {"index": 0, "value": 5, "op": "SCMP_CMP_EQ"}
    denial = {"names": ["socket"], "action": "SCMP_ACT_KILL", "args": [equal]}
    listed = [{"names": ["socket"], "action": "SCMP_ACT_ALLOW"}, denial]
    block = {"defaultAction": "SCMP_ACT_ERRNO", "syscalls": listed[:: -1 if turned else 1]}
    found = with_overlay(block, _over(sockets=[38]))
    assert profile_verdict.passes(found, "socket", {0: 5})
    assert not profile_verdict.passes(found, "socket", {0: 38})


@pytest.mark.parametrize("action", ["SCMP_ACT_ERRNO", "SCMP_ACT_KILL", "SCMP_ACT_ALLOW"])
def test_no_conditional_rule_of_a_denied_call_stays(action: str) -> None:
    """libseccomp refuses a profile where one of two rules compares, and the container with it."""
    equal = {"index": 0, "value": 5, "op": "SCMP_CMP_EQ"}
    compares = {"names": ["bpf", "read"], "action": action, "args": [equal]}
    plain = {"names": ["bpf"], "action": "SCMP_ACT_KILL"}
    block = {"defaultAction": "SCMP_ACT_LOG", "syscalls": [compares, plain]}
    found = with_overlay(block, _over("bpf"))["syscalls"]
    denial = {"names": ["bpf"], "action": "SCMP_ACT_ERRNO", "errnoRet": 1}
    assert [rule for rule in found if "bpf" in rule["names"]] == [plain, denial]
    assert {**compares, "names": ["read"]} in found


def test_an_entry_keeps_its_capabilities() -> None:
    rule = {"names": ["bpf", "read"], "action": "SCMP_ACT_ALLOW"}
    [left, denial] = overlaid([{"rule": rule, "all": ["CAP_BPF"]}], {}, _over("bpf"))
    assert left == {"rule": {**rule, "names": ["read"]}, "all": ["CAP_BPF"]}
    assert denial["rule"] == {"names": ["bpf"], "action": "SCMP_ACT_ERRNO", "errnoRet": 1}


def test_a_masked_comparison_keeps_its_meaning_under_an_overlay() -> None:
    """Asked of the filter that libseccomp makes."""
    odd = {"index": 0, "op": "SCMP_CMP_MASKED_EQ", "value": 1, "valueTwo": 3}
    rule = {"names": ["socket"], "action": "SCMP_ACT_ERRNO", "args": [odd]}
    block = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]}
    over = with_overlay(block, _over(sockets=[40]))
    before, after = (Expectation(one, Loader("crun")) for one in (block, over))
    native = syscall_names.native()
    number = syscall_names.numbers(native)["socket"]
    for family in range(8):
        args = (family, 0, 0, 0, 0, 0)
        found = after.code(native, number, args)
        assert found == before.code(native, number, args), family
        assert (found == return_codes.ERRNO | 1) == bool(family & 1)


@pytest.mark.parametrize(("default", "number"), [(1, 38), (None, 38), (38, 1), (13, 1)])
def test_a_denial_of_socketcall_comes_first_and_differs(default: int | None, number: int) -> None:
    allow = {"names": ["socketcall", "socket"], "action": "SCMP_ACT_ALLOW"}
    block = {"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": default, "syscalls": [allow]}
    found = with_overlay(block, _over("socketcall"))["syscalls"]
    assert found[0]["names"] == ["socketcall"]
    assert (found[0]["action"], found[0]["errnoRet"]) == ("SCMP_ACT_ERRNO", number)


SOCKETCALLS = [
    ("ERRNO", "ALLOW", [], return_codes.ALLOW),
    ("ERRNO", "ALLOW", ["CAP_BPF"], return_codes.ERRNO | 38),
    ("ERRNO", "ERRNO", [], return_codes.ERRNO | 38),  # runtimes drop the profile's own
    ("ALLOW", "ALLOW", [], return_codes.ERRNO | 1),
    ("ALLOW", "LOG", [], return_codes.LOG),
    ("KILL", "KILL_THREAD", [], return_codes.ERRNO | 1),
    ("KILL_THREAD", "KILL", [], return_codes.ERRNO | 1),
]


@pytest.mark.parametrize(("default", "action", "caps", "code"), SOCKETCALLS)
def test_a_profiles_rule_on_socketcall_counts_if_this_container_gets_it(
    default: str, action: str, caps: list[str], code: int
) -> None:
    block = {"defaultAction": f"SCMP_ACT_{default}", "architectures": ["SCMP_ARCH_X86"]}
    sockets: Any = {"rule": {"names": ["socket", "socketpair"], "action": "SCMP_ACT_ALLOW"}}
    own: Any = [{"rule": {"names": ["socketcall"], "action": f"SCMP_ACT_{action}"}, "all": caps}]
    made: Any = {"block": block, "rules": overlaid([*own, sockets], block, _over(sockets=[38]))}
    found = Expectation(resolve(made, frozenset()), Loader("runc"))
    for creates in (1, 8):  # SYS_SOCKET and SYS_SOCKETPAIR
        assert found.code(ABIS["x86"], 102, (creates, 0, 0, 0, 0, 0)) == code


def test_a_foreign_profile_that_runtimes_may_read_differently_is_refused() -> None:
    rows: list[Any] = [
        {"names": []},
        ["read"],
        [{"names": "read", "action": "SCMP_ACT_ALLOW"}],
        [{"names": [1], "action": "SCMP_ACT_ALLOW"}],
        [{"names": ["read"]}],
        [{"names": ["socket"], "action": "SCMP_ACT_ERRNO", "errnoRet": "1"}],
        [{"names": ["read"], "action": "SCMP_ACT_ALLOW", "Names": ["bpf"]}],
        [{"names": ["read"], "action": "SCMP_ACT_ALLOW", "name\u017f": ["bpf"]}],
        [{"names": ["read"], "action": "SCMP_ACT_ALLOW", "args": {"index": 0}}],
        [{"names": ["read"], "action": "SCMP_ACT_ALLOW", "args": [{"index": "0"}]}],
        [{"names": ["read"], "action": "SCMP_ACT_ALLOW", "args": [{"Index": 0}]}],
        [{"names": ["socket"], "action": "SCMP_ACT_ALLOW", "args": [{"index": 0, "op": "EQ"}]}],
    ]
    for syscalls in rows:
        block = {"defaultAction": "SCMP_ACT_ERRNO", "syscalls": syscalls}
        with pytest.raises(Refusal):
            with_overlay(block, _over("bpf", sockets=[38]))


def test_an_operator_holds_for_these_numbers_and_never_where_its_opposite_does() -> None:
    for op, datum, holding in (
        ("NE", (5,), {0, 1, 2, 3, 4, 6, 7}),
        ("EQ", (5,), {5}),
        ("LT", (5,), {0, 1, 2, 3, 4}),
        ("LE", (5,), {0, 1, 2, 3, 4, 5}),
        ("GE", (5,), {5, 6, 7}),
        ("GT", (5,), {6, 7}),
        ("MASKED_EQ", (6, 2), {2, 3}),
        ("MASKED_EQ", (1, 16), {0, 2, 4, 6}),  # bits beyond the mask do not count
    ):
        found = {one for one in range(8) if operators.holds(f"SCMP_CMP_{op}", one, *datum)}
        assert found == holding, op
    assert operators.holds("SCMP_CMP_MASKED_NE", 1, 1, 1) is None
    for op, opposite in operators.OPPOSITE.items():
        for one in (4, 5, 6):
            assert operators.holds(op, one, 5) is not operators.holds(opposite, one, 5)

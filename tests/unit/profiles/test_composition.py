"""Composed profiles: text, files, the part that answers for a call, and what it gets afterwards."""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from runc_wrap.filters import profile_difference
from runc_wrap.filters.evaluate.block_evaluation import Simulation
from runc_wrap.filters.evaluate.libseccomp_input import Loader
from runc_wrap.hotpath.resolve import resolve
from runc_wrap.profiles import actions, builtin, return_codes, sibling_calls
from runc_wrap.profiles.abis import ABIS
from runc_wrap.profiles.arguments.narrowed_comparisons import narrowed
from runc_wrap.profiles.composition import composed_profile, systemd_sets
from runc_wrap.profiles.composition.composed_profile import Composed, Composition, Term
from runc_wrap.profiles.composition.operations import ADD, Part, added, removed
from runc_wrap.profiles.denial_lint import may
from runc_wrap.profiles.json_profiles import profile_parser
from runc_wrap.profiles.profile_compiler import compile_profile
from runc_wrap.profiles.source_profile import Argument, Condition, Profile, ProfileError, Rule

Json = dict[str, Any]
AT = {"index": 0, "value": 0, "op": "SCMP_CMP_EQ"}


def _load(name: str) -> composed_profile.Composed:
    return composed_profile.Composed(builtin.load(name), name)


def _of_text(text: str) -> composed_profile.Composed:
    return composed_profile.made(text, composed_profile.parse(text), _load)


SIGNS = [
    ("containerd", ()),
    ("containerd + @aio", (Term("+", "@aio"),)),
    ("containerd  -  keyctl +  moby", (Term("-", "keyctl"), Term("+", "moby"))),
    ("containers-common-x + a-b/c+d.json", (Term("+", "a-b/c+d.json"),)),
]


@pytest.mark.parametrize(("text", "terms"), SIGNS)
def test_signs_have_blanks_on_both_sides(text: str, terms: tuple[Term, ...]) -> None:
    assert composed_profile.parse(text) == Composition(text.split(maxsplit=1)[0], terms)
    assert composed_profile.is_composed(text) == bool(terms)


NO_COMPOSITION = [
    ("containerd + ", "'containerd \\+' is no operand"),
    (" + @aio", "'' is no operand|is no operand"),
    ("containerd + a b", "'a b' is no operand"),
    ("containerd" + " + read" * 65, "it has 65 terms, 64 at most"),
    ("containerd + @nothing", "no group is called '@nothing'"),
    ("containerd - moby@29.0.0", "a profile can only be added"),
    ("containerd - keyclt", "libseccomp knows no call 'keyclt' \\(did you mean keyctl"),
    ("containerd + none@1", "no built-in profile is called 'none'"),
]


@pytest.mark.parametrize(("text", "why"), NO_COMPOSITION)
def test_what_is_no_composition_is_refused_with_the_reason(text: str, why: str) -> None:
    with pytest.raises(ProfileError, match=why):
        _of_text(text)


def _held(*caps: str) -> Callable[[Rule], bool]:
    return lambda rule: {*rule.includes.caps} <= {*caps} and not {*rule.excludes.caps} & {*caps}


def test_each_part_answers_for_its_calls() -> None:
    made = _of_text("containerd + @aio - io_submit + moby - mount")
    without, with_it = _held(), _held("CAP_SYS_PACCT")
    assert made.answers("io_getevents", without) == ["+ moby"]
    assert made.answers("io_uring_setup", without) == ["+ @aio"]  # Docker's default lacks it
    assert made.answers("mount", without) == ["- mount"]
    less = _of_text("containerd - clone3")  # whose own denial stays
    assert less.answers("clone3", without) == ["containerd"]
    assert less.answers("clone3", _held("CAP_SYS_ADMIN")) == ["- clone3"]
    assert made.answers("acct", without) == ["containerd"]
    assert made.answers("acct", with_it) == ["+ moby"]
    assert made.profile.name == "containerd + @aio - io_submit + moby - mount"


def test_a_sum_with_a_profile_adds_what_that_one_allows_only() -> None:
    made = _of_text("containerd - clone3 + moby")
    assert not may(made.profile, "clone3")  # which Docker's denies by a rule of its own
    assert not may(_of_text("containerd - statx + moby - statx").profile, "statx")
    assert may(_of_text("containerd - statx + moby").profile, "statx")


def _rule(name: str, action: str, *equal: int) -> Json:
    args = [{"index": 0, "value": value, "op": "SCMP_CMP_EQ"} for value in equal]
    return {"names": [name], "action": f"SCMP_ACT_{action}", "args": args}


SYS_ADMIN = {"caps": ["CAP_SYS_ADMIN"]}
MOUNT = _rule("mount", "ALLOW")
UNLESS_ADMIN = {**_rule("mount", "KILL"), "excludes": SYS_ADMIN}


ADDED = [
    ("ERRNO", [_rule("mount", "KILL", 1), MOUNT], "for mount .* no profile can say both"),
    ("ERRNO", [_rule("mount", "KILL"), _rule("mount", "ALLOW", 1)], "no profile can say both"),
    # comparisons of one argument are joined by OR
    ("ERRNO", [_rule("mount", "KILL", 1, 2), _rule("mount", "ALLOW", 2)], "can say both"),
    ("ERRNO", [_rule("mount", "LOG")], "lets through or logs"),
    ("LOG", [MOUNT], "lets through or logs"),
    ("ERRNO", [_rule("mount", "KILL", 1), _rule("mount", "ALLOW", 2)], None),
    ("ERRNO", [{**MOUNT, "includes": SYS_ADMIN}, UNLESS_ADMIN], None),
]


@pytest.mark.parametrize(("default", "rules", "why"), ADDED)
def test_a_profile_is_added_only_if_what_it_allows_is_in_its_allow_rules_alone(
    default: str, rules: list[Json], why: str | None
) -> None:
    """A denial or a record that is not in the sum would leave it weaker than its parts."""
    data = json.dumps({"defaultAction": f"SCMP_ACT_{default}", "syscalls": rules}).encode()
    more = composed_profile.Composed(profile_parser.parse(data, "x.json"), "x.json")
    what = composed_profile.parse("moby - mount + x.json")
    context = pytest.raises(ProfileError, match=why) if why else nullcontext()
    with context:
        composed_profile.made("sum", what, lambda name: more if name == "x.json" else _load(name))


NAMED = "@aio @keyring @mount @swap @network-io clone3 ptrace moby containerd"
OPERANDS = st.sampled_from(NAMED.split())


@given(st.sampled_from(("containerd", "moby", "containers-common")), OPERANDS, OPERANDS)
@settings(deadline=None, max_examples=15)
def test_sums_of_real_profiles_commute_and_are_idempotent(base: str, one: str, other: str) -> None:
    """Where libseccomp takes it: beside a denial of the same call it refuses some arguments."""
    try:
        both = _of_text(f"{base} + {one} + {other}")
        texts = (f"{base} + {other} + {one}", f"{base} + {one} + {other} + {one}")
        for text in texts:
            one_way, other_way = map(_compiled, (both.profile, _of_text(text).profile))
            assert profile_difference.find(one_way, other_way, Loader("crun")) == [], text
    except ProfileError as error:
        said = ("no profile can say both", "too many", "another rule gives the same calls")
        assert any(one in str(error) for one in said)  # noqa: PT017


def _compiled(profile: Profile) -> Any:
    return compile_profile(profile, arch="amd64", kernel=(6, 12))


def _file(**keys: Any) -> bytes:
    return json.dumps({"base": "containerd", **keys}).encode()


def test_a_file_adds_first_and_then_removes() -> None:
    more = {"names": ["@keyring"], "includes": {"caps": ["CAP_SYS_ADMIN"]}, "comment": "why"}
    data = _file(remove=[{"names": ["keyctl"]}], add=[more])
    made = composed_profile.made("x.json", composed_profile.parse_file(data, "x.json"), _load)
    assert [part.text for part in made.parts] == ["x.json: add[0]", "x.json: remove[0]"]
    assert made.answers("keyctl", _held()) == ["x.json: remove[0]"]
    assert made.answers("add_key", _held()) == ["containerd"]
    assert made.answers("add_key", _held("CAP_SYS_ADMIN")) == ["x.json: add[0]"]
    assert made.parts[0].rule.names == systemd_sets.calls("@keyring")


def test_each_part_of_a_composed_base_answers_for_itself() -> None:
    what = composed_profile.parse_file(_file(remove=[{"names": ["io_setup"]}]), "y.json")
    base = _of_text("containerd + @aio - keyctl")
    made = composed_profile.made("y.json", what, lambda _: base)
    assert made.answers("io_setup", _held()) == ["y.json: remove[0]"]
    assert made.answers("io_submit", _held()) == ["+ @aio"]
    assert made.answers("keyctl", _held()) == ["- keyctl"]
    assert made.answers("read", _held()) == ["containerd"]


IMPOSSIBLE = [
    (b'{"base": ""}', "base: found"),
    (_file(ad=[]), "ad: the key is not known .did you mean add"),
    (_file(add=[{"names": []}]), r"add\[0\]: names no call"),
    (_file(add=[{"names": ["Read!"]}]), "neither a call like openat nor a group"),
    (_file(remove=[{"names": ["read"], "args": [AT]}]), "a removal is of the whole call"),
    (_file(add=[{"names": ["read"], "action": "SCMP_ACT_KILL"}]), "action: the key is not"),
]


@pytest.mark.parametrize(("data", "why"), IMPOSSIBLE)
def test_what_a_file_cannot_say_is_refused_with_its_place(data: bytes, why: str) -> None:
    with pytest.raises(ProfileError, match=why):
        composed_profile.parse_file(data, "x.json")


def test_groups_are_systemds_expanded() -> None:
    assert {"@aio", "@system-service", "@privileged"} <= {*systemd_sets.names()}
    assert {*systemd_sets.calls("@chown")} < {*systemd_sets.calls("@privileged")}
    every = [call for name in systemd_sets.names() for call in systemd_sets.calls(name)]
    assert not [call for call in every if "@" in call]


CALLS = ("mount", "bpf", "read", "clone3", "keyctl")
CAPS = ("CAP_SYS_ADMIN", "CAP_BPF")
KERNELS = ((4, 8), (6, 1), (6, 12))
MACHINES = ("amd64", "arm64")
ABI = {"amd64": ABIS["x86_64"], "arm64": ABIS["aarch64"]}
NUMBERS = {"amd64": (165, 321, 0, 435, 250), "arm64": (40, 280, 63, 435, 219)}
DENIED = return_codes.ERRNO | 1

conditions = st.builds(
    Condition,
    caps=st.lists(st.sampled_from(CAPS), max_size=2, unique=True).map(tuple),
    arches=st.lists(st.sampled_from(("amd64", "arm64")), max_size=1).map(tuple),
    min_kernel=st.none() | st.sampled_from(KERNELS[1:]),
)
names = st.lists(st.sampled_from(CALLS), min_size=1, max_size=3, unique=True).map(tuple)
# Rules of one profile do not contradict each other: each allows, or denies as the default does not.
rules = st.builds(Rule, names=names, action=st.just("SCMP_ACT_ALLOW"), includes=conditions,
                  excludes=conditions)  # fmt: skip
profiles = st.builds(
    Profile,
    name=st.just("p"),
    version=st.none(),
    default_action=st.sampled_from(("SCMP_ACT_ERRNO", "SCMP_ACT_KILL_PROCESS")),
    rules=st.lists(rules, max_size=4).map(tuple),
)
Case = tuple[str, tuple[int, int], frozenset[str]]


def _cases() -> Iterator[Case]:
    for machine in MACHINES:
        for kernel in KERNELS:
            for held in ((), CAPS[:1], CAPS[1:], CAPS):
                yield machine, kernel, frozenset(held)


def _outcomes(profile: Profile, case: Case) -> list[int]:
    """Return what each of CALLS gets."""
    machine, kernel, held = case
    block = resolve(compile_profile(profile, arch=machine, kernel=kernel), held)
    block["architectures"] = [ABI[machine].oci]
    simulation = Simulation(block, Loader("crun"))
    return [simulation.verdict(ABI[machine], number).code for number in NUMBERS[machine]]


def _applies(rule: Rule, case: Case) -> bool:
    """Tell whether a rule's conditions hold: moby's, written down once more."""
    (machine, kernel, held), yes, no = case, rule.includes, rule.excludes
    wanted = held.issuperset(yes.caps) and (not yes.arches or machine in yes.arches)
    since = yes.min_kernel is None or kernel >= yes.min_kernel
    excluded = held & {*no.caps} or machine in no.arches
    too_late = no.min_kernel is not None and kernel >= no.min_kernel
    return bool(wanted and since and not excluded and not too_late)


@given(profiles, rules)
@settings(deadline=None)
def test_an_addition_allows_its_calls_there_and_nothing_else(profile: Profile, rule: Rule) -> None:
    more = added(profile, rule)
    for case in _cases():
        before, after = _outcomes(profile, case), _outcomes(more, case)
        for call, was, now in zip(CALLS, before, after, strict=True):
            is_meant = call in rule.names and _applies(rule, case)
            assert now == (return_codes.ALLOW if is_meant else was), (call, case)


OLD = Rule(("bpf",), "SCMP_ACT_ALLOW", excludes=Condition(min_kernel=(6, 1)))
NEW = Rule(("bpf",), "SCMP_ACT_ALLOW", includes=Condition(min_kernel=(6, 12)))


@given(profiles, rules)
@example(Profile("p", None, "SCMP_ACT_ERRNO", (OLD,)), NEW)  # rarely drawn
@settings(deadline=None)
def test_a_removal_denies_its_calls_there_and_nothing_else(profile: Profile, rule: Rule) -> None:
    less = removed(profile, rule.names, (rule.includes, rule.excludes))
    default = Profile("d", None, profile.default_action, ())
    for case in _cases():
        before, after = _outcomes(profile, case), _outcomes(less, case)
        denied = _outcomes(default, case)[0]
        for call, was, now in zip(CALLS, before, after, strict=True):
            is_meant = call in rule.names and _applies(rule, case)
            assert now == (denied if is_meant else was), (call, case)


@given(profiles, rules, rules)
@settings(deadline=None)
def test_additions_commute_and_are_idempotent(profile: Profile, one: Rule, other: Rule) -> None:
    both, reverse = added(added(profile, one), other), added(added(profile, other), one)
    for case in _cases():
        assert _outcomes(both, case) == _outcomes(reverse, case)
        assert _outcomes(added(both, one), case) == _outcomes(both, case)


@given(profiles, rules, rules)
@settings(deadline=None)
def test_removals_commute_and_the_last_decides(profile: Profile, one: Rule, other: Rule) -> None:
    def less(source: Profile, rule: Rule) -> Profile:
        return removed(source, rule.names, (rule.includes, rule.excludes))

    both, reverse = less(less(profile, one), other), less(less(profile, other), one)
    again, back = less(added(profile, one), one), added(less(profile, one), one)
    for case in _cases():
        assert _outcomes(both, case) == _outcomes(reverse, case)
        assert _outcomes(less(both, one), case) == _outcomes(both, case)
        assert _outcomes(again, case) == _outcomes(less(profile, one), case)
        assert _outcomes(back, case) == _outcomes(added(profile, one), case)


EVERYWHERE = (Condition(), Condition())
SOCKETCALL = 102
SOCKET, CONNECT = 1, 3  # of socketcall(2), linux/net.h


def _through_socketcall(profile: Profile, call: int) -> int:
    block = resolve(_compiled(profile), frozenset())
    block["architectures"] = ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"]
    meant = Simulation(block, Loader("crun")).meant(ABIS["x86"], SOCKETCALL, (call, *[0] * 5))
    return max(meant)


@pytest.mark.parametrize("default", ["SCMP_ACT_ERRNO", "SCMP_ACT_ALLOW"])
def test_a_removed_call_is_denied_through_its_multiplexer_and_the_others_pass(default: str) -> None:
    named = Rule(("socket", "connect", "socketcall"), "SCMP_ACT_ALLOW")
    profile = Profile("p", None, default, (named,))
    assert _through_socketcall(profile, SOCKET) == return_codes.ALLOW
    less = removed(profile, ["socket"], EVERYWHERE)
    assert _through_socketcall(less, SOCKET) == DENIED
    assert _through_socketcall(less, CONNECT) == return_codes.ALLOW


def test_a_multiplexer_is_removed_with_the_calls_that_pass_through_it_or_not_at_all() -> None:
    every = ["socketcall", *sibling_calls.MULTIPLEXED["socketcall"]]
    less = removed(builtin.load("containerd"), every, EVERYWHERE)
    assert _through_socketcall(less, CONNECT) == DENIED
    with pytest.raises(ProfileError, match="lets through it whatever calls a rule allows, such as"):
        removed(builtin.load("containerd"), ["socketcall"], EVERYWHERE)


@pytest.mark.parametrize("call", ["clone3", "mount"])
def test_an_engines_default_gets_and_loses_a_call_whatever_its_rules_say(call: str) -> None:
    """Docker's denies clone3 by a rule of its own, unless there is CAP_SYS_ADMIN."""
    moby = builtin.load("moby")
    at = CALLS.index(call)
    for case in _cases():
        more = _outcomes(added(moby, Rule((call,), "SCMP_ACT_ALLOW")), case)
        assert more[at] == return_codes.ALLOW
        less = _outcomes(removed(moby, [call], EVERYWHERE), case)[at]
        assert less & return_codes.ACTION_MASK == return_codes.ERRNO


VALUES = (0, 1, 2, 3, 5, (1 << 32) + 1, (1 << 64) - 1)
OPS = ("EQ", "NE", "LT", "LE", "GT", "GE", "MASKED_EQ")
arguments = st.builds(
    Argument,
    index=st.integers(0, 1),
    value=st.sampled_from(VALUES),
    op=st.sampled_from(OPS).map("SCMP_CMP_{}".format),
    value_two=st.integers(0, 3),
)
few = st.builds(Condition, caps=st.lists(st.sampled_from(CAPS), max_size=1).map(tuple))
compared = st.builds(
    Rule, names=st.just(CALLS[:1]), action=st.just("SCMP_ACT_ALLOW"), includes=few, excludes=few,
    args=st.lists(arguments, max_size=2).map(tuple),
)  # fmt: skip
outcomes = st.sampled_from([("ERRNO", 1), ("ERRNO", 38), ("KILL_PROCESS", None), ("LOG", None)])
contradicting = st.builds(
    lambda rule, outcome: replace(rule, action=f"SCMP_ACT_{outcome[0]}", errno_ret=outcome[1]),
    compared,
    outcomes,
)
compared_profiles = st.builds(
    Profile,
    name=st.just("p"),
    version=st.none(),
    default_action=st.sampled_from(("SCMP_ACT_ERRNO", "SCMP_ACT_LOG", "SCMP_ACT_ALLOW")),
    rules=st.lists(compared | contradicting, max_size=3).map(tuple),
)
ARGS = [(one, other, 0, 0, 0, 0) for one in (*VALUES, 4) for other in (*VALUES, 4)]


def _meanings(profile: Profile, held: frozenset[str], number: int) -> list[int]:
    """Return what a call gets for each of ARGS, where rules contradict each other the strictest."""
    block = resolve(compile_profile(profile, arch="amd64", kernel=(6, 12)), held)
    simulation = Simulation(block, Loader("crun"))
    found = (simulation.meant(ABIS["x86_64"], number, args) for args in ARGS)
    return [min(one, key=actions.restriction) for one in found]


def _sum(profile: Profile, *rules: Rule) -> Profile:
    for one in rules:
        profile = added(profile, one)
    return profile


def _equal(*values: int, action: str = "ALLOW") -> Rule:
    args = tuple(Argument(at, one, "SCMP_CMP_EQ") for at, one in enumerate(values))
    return Rule(CALLS[:1], f"SCMP_ACT_{action}", None, args)


def _made(base: Profile, rules: Sequence[Rule]) -> Profile | str:
    what = Composition("b", tuple(Part("it", ADD, one) for one in rules))
    try:
        return composed_profile.made("x", what, lambda _: Composed(base, "b")).profile
    except ProfileError as error:
        return str(error)


LOGGED = Profile("p", None, "SCMP_ACT_ERRNO", (_equal(1, action="LOG"),))
OVERLAPPING = replace(LOGGED, rules=(_equal(0, action="ERRNO"), _equal(0, 1)))  # is refused
WIDTHS = st.sampled_from([("mount", 165), ("ioctl", 16)])  # the kernel uses 64, and 32 bits of args


@given(compared_profiles, st.lists(compared, min_size=1, max_size=3), WIDTHS)
@example(LOGGED, [_equal(1), _equal(2)], ("mount", 165))
@example(OVERLAPPING, [_equal(0, 2)], ("mount", 165))
@settings(deadline=None, max_examples=50)
def test_additions_in_any_order_allow_what_the_kernel_reads_as_their_arguments_and_that_alone(
    profile: Profile, additions: list[Rule], call: tuple[str, int]
) -> None:
    first, *rest = rules = [replace(one, names=call[:1]) for one in additions]
    base = replace(profile, rules=tuple(replace(one, names=call[:1]) for one in profile.rules))
    made = _made(base, rules)
    assert made == _made(base, rules[::-1]) == _made(base, [*rest, first])
    if isinstance(made, str):
        return
    alone = [narrowed(replace(base, default_action="SCMP_ACT_KILL", rules=(one,))) for one in rules]
    before, after = narrowed(base), narrowed(made)
    assert not {*before.calls} & {*after.left}
    if any(one.left for one in (before, after, *alone)):
        return
    for held in (frozenset[str](), frozenset(CAPS[:1]), frozenset(CAPS)):
        each = (_meanings(one.profile, held, call[1]) for one in (after, before, *alone))
        for now, was, *more in zip(*each, strict=True):
            assert now == (return_codes.ALLOW if return_codes.ALLOW in more else was)


def _ioctl(action: str, op: str = "MASKED_EQ", value: int = 0, datum: int = 0) -> Rule:
    args = (Argument(1, value, f"SCMP_CMP_{op}", datum),)
    return Rule(("ioctl",), f"SCMP_ACT_{action}", None, args)


DENIED_ALL = [_ioctl("ERRNO")]
TWO_DENIED = [_ioctl("ERRNO", "EQ", 0x5412), _ioctl("ERRNO", "MASKED_EQ", 0xFF0000, 0x220000)]
FAR = [_ioctl("ALLOW", "EQ", 0x5401 + 7 * place) for place in range(20)]
MIXED = [_ioctl("ALLOW", "MASKED_EQ", 0xFFFFFFFF, 40), _ioctl("ALLOW", "EQ", 5)]
LIMITS = [
    (DENIED_ALL, FAR[:4], 24),
    (DENIED_ALL, [*FAR, _ioctl("ALLOW")], 21),
    (DENIED_ALL, MIXED, "ioctl: it would need more than"),
    (TWO_DENIED, [_ioctl("ALLOW", "EQ", 0x220001)], "only the bits that the kernel uses"),
    (TWO_DENIED, [_ioctl("ALLOW", "MASKED_EQ", 0xFFFFFFFF, 0x220001)], 26),
]


@pytest.mark.parametrize(("rules", "additions", "result"), LIMITS)
def test_a_call_is_left_with_few_rules_that_can_compare_the_kernels_bits_or_refused(
    rules: list[Rule], additions: list[Rule], result: int | str
) -> None:
    base = Profile("b", None, "SCMP_ACT_ALLOW", tuple(rules))
    made = _made(base, additions)
    assert made == _made(base, additions[::-1])
    if isinstance(made, str):
        assert str(result) in made
    else:
        assert (len(made.rules), narrowed(made).left) == (result, ())


def test_what_is_left_of_a_denial_says_it_without_masks_of_upper_halves() -> None:
    """Those 32-bit ABIs do not compare."""
    other = Rule(CALLS[:1], "SCMP_ACT_ALLOW", None, (Argument(1, 5, "SCMP_CMP_LT"),))
    whole = Rule(CALLS[:1], "SCMP_ACT_KILL_PROCESS")
    made = _sum(Profile("b", None, "SCMP_ACT_ERRNO", (whole,)), _equal(2), other)
    ops = {(one.index, one.op, one.value) for rule in made.rules for one in rule.args}
    left = {(0, "SCMP_CMP_NE", 2), (1, "SCMP_CMP_GE", 5)}
    assert ops == left | {(0, "SCMP_CMP_EQ", 2), (1, "SCMP_CMP_LT", 5)}


def test_what_cannot_be_left_of_a_denial_is_refused_with_the_calls() -> None:
    wide = replace(_equal(0, action="KILL"), args=(Argument(0, 1 << 40 | 5, "SCMP_CMP_NE"),))
    base = Profile("b", None, "SCMP_ACT_ERRNO", (wide,))
    with pytest.raises(ProfileError, match="mount: it has SCMP_ACT_KILL for arguments to be added"):
        added(base, _equal(3 << 50 | 7))
    assert [one for one in added(base, Rule(("mount",), "SCMP_ACT_ALLOW")).rules if one.args] == []

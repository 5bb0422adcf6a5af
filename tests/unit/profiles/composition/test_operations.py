"""Additions and removals: what a call gets afterwards, for every capability, machine and kernel."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from runc_wrap.filters.evaluate.block_evaluation import Simulation
from runc_wrap.filters.evaluate.libseccomp_input import Loader
from runc_wrap.hotpath.resolve import resolve
from runc_wrap.profiles import builtin, return_codes
from runc_wrap.profiles.abis import ABIS
from runc_wrap.profiles.bypass import sibling_calls
from runc_wrap.profiles.composition.operations import added, removed
from runc_wrap.profiles.profile_compiler import compile_profile
from runc_wrap.profiles.source_profile import (
    ANYWHERE,
    Argument,
    Condition,
    Profile,
    ProfileError,
    Rule,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

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
    return bool(wanted and since and not excluded) and not (
        no.min_kernel is not None and kernel >= no.min_kernel
    )


@given(profiles, rules)
@settings(deadline=None)
def test_an_addition_allows_its_calls_where_it_applies_and_changes_nothing_else(
    profile: Profile, rule: Rule
) -> None:
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
def test_a_removal_denies_its_calls_where_it_applies_and_changes_nothing_else(
    profile: Profile, rule: Rule
) -> None:
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
def test_additions_commute_and_the_same_twice_is_the_same_as_once(
    profile: Profile, one: Rule, other: Rule
) -> None:
    both, reverse = added(added(profile, one), other), added(added(profile, other), one)
    for case in _cases():
        assert _outcomes(both, case) == _outcomes(reverse, case)
        assert _outcomes(added(both, one), case) == _outcomes(both, case)


@given(profiles, rules, rules)
@settings(deadline=None)
def test_removals_commute_and_the_last_of_an_addition_and_a_removal_decides(
    profile: Profile, one: Rule, other: Rule
) -> None:
    def less(source: Profile, rule: Rule) -> Profile:
        return removed(source, rule.names, (rule.includes, rule.excludes))

    both, reverse = less(less(profile, one), other), less(less(profile, other), one)
    again, back = less(added(profile, one), one), added(less(profile, one), one)
    for case in _cases():
        assert _outcomes(both, case) == _outcomes(reverse, case)
        assert _outcomes(less(both, one), case) == _outcomes(both, case)
        assert _outcomes(again, case) == _outcomes(less(profile, one), case)
        assert _outcomes(back, case) == _outcomes(added(profile, one), case)


SOCKETCALL = 102
SOCKET, CONNECT = 1, 3  # of socketcall(2), linux/net.h


def _through_socketcall(profile: Profile, call: int) -> int:
    block = resolve(compile_profile(profile, arch="amd64", kernel=(6, 12)), frozenset())
    block["architectures"] = ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"]
    meant = Simulation(block, Loader("crun")).meant(ABIS["x86"], SOCKETCALL, (call, *[0] * 5))
    return max(meant)


@pytest.mark.parametrize("default", ["SCMP_ACT_ERRNO", "SCMP_ACT_ALLOW"])
def test_a_removed_call_is_denied_through_its_multiplexer_and_the_others_pass(default: str) -> None:
    named = Rule(("socket", "connect", "socketcall"), "SCMP_ACT_ALLOW")
    profile = Profile("p", None, default, (named,))
    assert _through_socketcall(profile, SOCKET) == return_codes.ALLOW
    less = removed(profile, ["socket"], (ANYWHERE, ANYWHERE))
    assert _through_socketcall(less, SOCKET) == DENIED
    assert _through_socketcall(less, CONNECT) == return_codes.ALLOW


def test_a_multiplexer_is_removed_with_the_calls_that_pass_through_it_or_not_at_all() -> None:
    every = ["socketcall", *sibling_calls.MULTIPLEXED["socketcall"]]
    less = removed(builtin.load("containerd"), every, (ANYWHERE, ANYWHERE))
    assert _through_socketcall(less, CONNECT) == DENIED
    with pytest.raises(ProfileError, match="lets through it whatever calls a rule allows, such as"):
        removed(builtin.load("containerd"), ["socketcall"], (ANYWHERE, ANYWHERE))


def test_a_profile_that_allows_by_default_denies_what_is_removed() -> None:
    open_ = Profile("o", None, "SCMP_ACT_ALLOW", ())
    less = removed(open_, ["mount"], (ANYWHERE, ANYWHERE))
    case = ("amd64", (6, 12), frozenset[str]())
    assert _outcomes(less, case) == [DENIED, *[return_codes.ALLOW] * 4]
    assert _outcomes(added(less, Rule(("mount",), "SCMP_ACT_ALLOW")), case) == [
        return_codes.ALLOW
    ] * len(CALLS)


@pytest.mark.parametrize("call", ["clone3", "mount"])
def test_an_engines_default_gets_and_loses_a_call_whatever_its_rules_say(call: str) -> None:
    """Docker's denies clone3 by a rule of its own, unless there is CAP_SYS_ADMIN."""
    moby = builtin.load("moby")
    at = CALLS.index(call)
    for case in _cases():
        assert _outcomes(added(moby, Rule((call,), "SCMP_ACT_ALLOW")), case)[at] == (
            return_codes.ALLOW
        )
        less = _outcomes(removed(moby, [call], (ANYWHERE, ANYWHERE)), case)[at]
        assert less & return_codes.ACTION_MASK == return_codes.ERRNO


def test_arguments_are_added_beside_others_and_refused_beside_a_denial_of_their_own() -> None:
    def at(value: int, action: str = "SCMP_ACT_ALLOW", errno: int | None = None) -> Rule:
        return Rule(("socket",), action, errno, (Argument(0, value, "SCMP_CMP_EQ"),))

    base = Profile("b", None, "SCMP_ACT_ERRNO", (at(2), at(16, "SCMP_ACT_ERRNO", 22)))
    assert at(10) in added(base, at(10)).rules
    with pytest.raises(ProfileError, match="socket: the profile has SCMP_ACT_ERRNO for arguments"):
        added(base, at(16))
    whole = added(base, Rule(("socket",), "SCMP_ACT_ALLOW"))
    assert [rule for rule in whole.rules if rule.args] == []

"""A profile reduced to recorded calls: no looser than it was, and with everything recorded."""

import json
from functools import cache
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runc_wrap.evidence.sightings import OBSERVE, RECORDED, Sighting
from runc_wrap.evidence.store.call_counts import MOST, Tallies
from runc_wrap.failure import Failure
from runc_wrap.filters.evaluate.libseccomp_input import Loader
from runc_wrap.hotpath.resolve import resolve
from runc_wrap.profiles import builtin, return_codes, syscall_names
from runc_wrap.profiles.abis import ABIS
from runc_wrap.profiles.arguments import narrowed_comparisons
from runc_wrap.profiles.profile_compiler import compile_profile
from runc_wrap.profiles.runtime_spec_names import USUAL
from runc_wrap.profiles.unobserved_calls import BASE
from runc_wrap.report import call_outcomes, merged_call
from runc_wrap.report.enforced_profile import Enforced
from runc_wrap.report.suggestion import profile_reduction
from tests.unit.profiles.resolving import needs_libseccomp

pytestmark = needs_libseccomp
X86_64, X86 = ABIS["x86_64"], ABIS["x86"]
NUMBERS = syscall_names.numbers(X86_64)
LET = return_codes.ALLOW
PROFILES = ("containerd", "moby", "containers-common")
NAMES = ("socket", "socketpair", "personality", "keyctl", "mkdir", "mount", "clone", "ioctl", "ipc")
VALUES = st.sampled_from([0, 1, 2, 8, 9, 16, 38, 39, 40, 0x20000, 0xFFFFFFFF, 2**32 + 2])


@cache
def block(name: str) -> Any:
    made = narrowed_comparisons.narrowed(builtin.load(name)).profile
    return resolve(compile_profile(made, arch="amd64", kernel=(6, 12)), USUAL)


@cache
def enforced(text: str) -> Enforced:
    return Enforced(json.loads(text), Loader("runc"))


def recorded_calls(*calls: tuple[int, Any]) -> Tallies:
    seen = Tallies()
    for number, args in calls:
        words = (X86_64.audit, number, return_codes.USER_NOTIF | RECORDED, args, OBSERVE)
        seen.add(Sighting(1.0, 0, 1, 0, "", "", *words))
    return seen


def rows(*calls: tuple[str, Any]) -> list[merged_call.CallRow]:
    seen = recorded_calls(*((NUMBERS[name], args) for name, args in calls))
    found: dict[tuple[int, int], merged_call.CallRow] = {}
    for call, tally in seen.calls.items():
        merged_call.count_in(found, call, tally, call_outcomes.LET_THROUGH)
    return [*found.values()]


def code(one: Any, abi: Any, name: str, args: Any) -> int:
    return enforced(json.dumps(one)).code(abi, syscall_names.numbers(abi)[name], args)


@settings(max_examples=25)  # each compiles
@given(
    st.sampled_from(PROFILES),
    st.lists(st.tuples(st.sampled_from(NAMES[:7]), VALUES, VALUES), max_size=4),
    st.sampled_from([X86_64, X86]),
    st.sampled_from(NAMES),
    st.tuples(VALUES, VALUES, VALUES, *[st.just(0)] * 3),
)
def test_what_the_profile_denies_stays_denied_and_what_was_recorded_is_allowed(
    name: str, recorded: Any, abi: Any, asked: str, args: Any
) -> None:
    before = block(name)
    calls = [(call, (first, 0, third, 0, 0, 0)) for call, first, third in recorded]
    calls = [one for one in calls if code(before, X86_64, *one) == LET]
    after = profile_reduction.reduced(before, rows(*calls), [])
    if asked in syscall_names.numbers(abi) and code(after, abi, asked, args) == LET:
        assert code(before, abi, asked, args) == LET
    for call in calls:
        assert code(after, X86_64, *call) == LET
    if "mkdir" not in [call for call, _ in calls]:
        assert code(after, X86_64, "mkdir", (0,) * 6) != LET
    assert code(after, X86_64, "clone3", (0,) * 6) == return_codes.ERRNO | 38


def test_the_base_set_stays_and_families_are_limited_to_those_seen() -> None:
    after = profile_reduction.reduced(block("containerd"), rows(("socket", (2, 1, 0, 0, 0, 0))), [])
    for name in BASE & NUMBERS.keys() - {"clone"}:
        assert code(after, X86_64, name, (0,) * 6) == LET
    family = {of: code(after, X86_64, "socket", (of, 0, 0, 0, 0, 0)) for of in (1, 2, 10, 40)}
    assert [of for of, found in family.items() if found == LET] == [2]


def test_arguments_that_are_not_all_known_limit_nothing() -> None:
    calls = [("socket", (of, 1, 0, 0, 0, 0)) for of in (2, 10)]
    unknown = profile_reduction.reduced(block("containerd"), rows(*calls, ("socket", None)), [])
    assert code(unknown, X86_64, "socket", (17, 0, 0, 0, 0, 0)) == LET


def test_entries_that_were_added_stay_and_an_open_profile_is_refused() -> None:
    added = {"names": ["mount"], "action": "SCMP_ACT_ALLOW"}
    whole = {**block("containerd"), "syscalls": [*block("containerd")["syscalls"], added]}
    made = profile_reduction.reduced(whole, [], [added])
    assert added in made["syscalls"]
    kept, asked, more = profile_reduction.sentences(made, [])
    assert more == "It adds 1 call that it would deny: mount."
    assert "mount" not in kept + asked
    with pytest.raises(Failure, match="lets through what no rule names"):
        profile_reduction.reduced({"defaultAction": "SCMP_ACT_ALLOW"}, [], [])


def test_a_call_that_another_profile_allowed_is_named() -> None:
    found = rows(("mount", (0, 0, 0, 0, 0, 0)), ("mkdir", (0,) * 6))
    after = profile_reduction.reduced(block("containerd"), found, [])
    assert profile_reduction.denied(enforced(json.dumps(after)), found) == ["mount"]


def test_a_commands_profile_says_no_to_new_namespaces_it_did_not_make() -> None:
    def made(*flags: int) -> Any:
        calls = ((NUMBERS["clone"], (flag, 0, 0, 0, 0, 0)) for flag in flags)
        return profile_reduction.of_command(recorded_calls(*calls))[0]

    def clone(found: Any, flag: int) -> int:
        return code(found, X86_64, "clone", (flag, 0, 0, 0, 0, 0))

    assert clone(made(17), 17) == LET
    assert clone(made(17), 0x10000011) != LET
    assert clone(made(17, 0x10000011), 0x10000011) == LET
    assert code(made(), X86_64, "clone3", (0,) * 6) == return_codes.ERRNO | 38
    assert code(made(), X86_64, "mkdir", (0,) * 6) == return_codes.ERRNO | 1


def test_of_a_command_with_too_many_kinds_of_calls_it_is_said_that_some_are_missing() -> None:
    seen = recorded_calls(*((number, None) for number in range(1000, 1000 + 2 * MOST + 1)))
    *_, nameless, missing = profile_reduction.of_command(seen)[1]
    assert "1 call of too many kinds" in missing
    assert len(nameless) < 1000


def test_what_the_profile_compares_besides_stays() -> None:
    zero = {"index": 2, "value": 0, "op": "SCMP_CMP_EQ"}
    rule = {"names": ["socket"], "action": "SCMP_ACT_ALLOW", "args": [zero]}
    before = {"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [rule]}
    after = profile_reduction.reduced(before, rows(("socket", (16, 3, 0, 0, 0, 0))), [])
    found = [code(after, X86_64, "socket", (16, 3, of, 0, 0, 0)) for of in (0, 9)]
    assert [one == LET for one in found] == [True, False]

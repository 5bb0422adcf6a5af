"""One block in place of two: what libseccomp makes of it is as strict as both filters together."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runc_wrap.filters import filter_comparison
from runc_wrap.filters.evaluate.block_evaluation import Simulation
from runc_wrap.filters.evaluate.libseccomp_input import Loader
from runc_wrap.profiles import actions, block_merge, syscall_names
from runc_wrap.profiles.abis import ABIS
from runc_wrap.profiles.source_profile import ProfileError
from tests.unit.profiles.resolving import block_of, compare, needs_libseccomp

pytestmark = needs_libseccomp
CRUN, RUNC = Loader("crun"), Loader("runc")
X86_64 = ABIS["x86_64"]
CALLS = ("mount", "keyctl", "clone")
_ACTIONS = st.sampled_from(["SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO", "SCMP_ACT_KILL_PROCESS"])
_OPS, _OF_3 = st.sampled_from(["EQ", "MASKED_EQ", "NE"]), st.integers(0, 3)
_COMPARISONS = st.builds(compare, _OPS, st.integers(1, 3), _OF_3, st.integers(0, 1))
_RULES = st.builds(
    lambda name, action, args: {"names": [name], "action": action, "args": args},
    st.sampled_from(CALLS),
    _ACTIONS,
    st.lists(_COMPARISONS, max_size=2),
)
_BLOCKS = st.builds(
    lambda default, rules: {"defaultAction": default, "syscalls": rules},
    _ACTIONS,
    st.lists(_RULES, max_size=4),
)


@given(_BLOCKS, _BLOCKS, st.integers(0, 4), st.integers(0, 4))
def test_a_merged_block_is_as_strict_as_both(old: Any, new: Any, first: int, second: int) -> None:
    try:
        one = Simulation(block_merge.merged(old, new), CRUN)
    except ProfileError:
        return
    args = (first, second, 0, 0, 0, 0)
    for name in (*CALLS, "read"):
        number = syscall_names.numbers(X86_64)[name]
        found = [Simulation(each, CRUN).verdict(X86_64, number, args) for each in (old, new)]
        verdict = one.verdict(X86_64, number, args)
        if all(each.certain for each in (*found, verdict)):
            wanted = min(actions.restriction(each.code) for each in found)
            assert actions.restriction(verdict.code) == wanted


@pytest.mark.parametrize("loader", [CRUN, RUNC])
def test_engines_profiles_merged_let_through_nothing_that_one_denies(loader: Loader) -> None:
    old, new = block_of("containerd"), block_of("moby")
    assert_is_both(loader, old, new)


@pytest.mark.parametrize("loader", [CRUN, RUNC])
def test_calls_that_only_one_block_names_keep_their_rules_however_many(loader: Loader) -> None:
    old = block_of("containers-common")  # of socket it compares two arguments
    named = {"architectures": old["architectures"], "syscalls": [rule("mkdir", [])]}
    allowing = {"defaultAction": "SCMP_ACT_ALLOW", **named}
    assert_is_both(loader, old, allowing)
    assert_is_both(loader, allowing, old)


def assert_is_both(loader: Loader, old: Any, new: Any) -> None:
    both = tuple(filter_comparison.installed(each, loader) for each in (old, new))
    one = (filter_comparison.installed(block_merge.merged(old, new), loader),)
    assert filter_comparison.weaker(one, both) == ()
    assert filter_comparison.weaker(both, one) == ()


def test_what_a_block_cannot_say_is_refused() -> None:
    denied = [{"index": index, "value": 1, "op": "SCMP_CMP_GT"} for index in (0, 1)]
    old = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule("mount", [])]}
    assert block_merge.merged(old, old)["syscalls"] == [rule("mount", [])]
    one = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule("mount", denied)]}
    allowing = {**rule("mount", []), "action": "SCMP_ACT_ALLOW"}
    strict = {"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [allowing]}
    with pytest.raises(ProfileError, match="too many ranges"):
        block_merge.merged(one, strict)


def rule(name: str, args: list[Any]) -> Any:
    return {"names": [name], "action": "SCMP_ACT_ERRNO", "args": args}

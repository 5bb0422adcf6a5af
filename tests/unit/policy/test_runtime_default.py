"""The policy with captured defaults, and how these differ from the table."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from runc_wrap.policy import runtime_default
from runc_wrap.policy.compiler_facts import PolicyError
from runc_wrap.profiles import builtin, captured_profile
from runc_wrap.profiles.captured_profile import CapturedProfile
from runc_wrap.profiles.runtime_spec_names import CAPABILITIES
from tests.unit.policy.node import PROFILE, compiled, defaults, facts

Json = dict[str, Any]
Change = Callable[[Json], None]
SOURCE = "runtime_default.source"
CAPTURED = {SOURCE: "captured"}
CONTAINERD = {"containerd": "1.7.24"}


def _capture(engine: str, spec: str, change: Change = lambda _: None) -> CapturedProfile:
    """Return what capturing an engine gives whose default is this built-in profile, changed."""
    profile = builtin.load(spec)
    sets = [frozenset(), *(frozenset([name]) for name in CAPABILITIES), CAPABILITIES]
    blocks = {each: captured_profile.resolved(profile, each, "amd64", (6, 12)) for each in sets}
    document = captured_profile.derived(blocks, engine)
    change(document)
    return CapturedProfile(engine, spec.partition("@")[2], "", "amd64", "6.12", "", document)


OURS = _capture("containerd", "containerd@1.7.24")


def test_a_capture_is_used_only_if_the_policy_says_so() -> None:
    there: Json = {"engines": CONTAINERD, "captured": {"containerd": OURS}}
    assert defaults(**there)["containerd"] == "containerd@1.7.24"
    found = compiled(CAPTURED, **there)
    assert found.policy["runtime_default"]["containerd"] == OURS.name
    assert found.policy["runtime_default"]["unknown"] == OURS.name
    assert found.profiles[OURS.name, "enforce"]["rules"]


def test_engines_that_are_not_installed_keep_the_table() -> None:
    found = defaults(CAPTURED, engines=CONTAINERD, captured={"containerd": OURS})
    assert (found["docker"], found["podman"]) == ("moby", "containers-common")


VERSIONED = [
    ({"runtime_default.containerd": "1.7.24"}, CONTAINERD),
    ({"runtime_default.containers_common": "builtin"}, {"podman": "5.4.2"}),
    ({"runtime_default.engine": "docker"}, CONTAINERD),
]


@pytest.mark.parametrize(("settings", "engines"), VERSIONED)
def test_an_engine_with_a_version_needs_no_capture(settings: Json, engines: dict[str, str]) -> None:
    assert not any("captured" in name for name in defaults(CAPTURED | settings, engines=engines))


STALE = {"containerd": replace(OURS, stale="it is of containerd 1.7.20, and 1.7.24 runs")}
ABSENT = "but containerd is installed and its default is not captured; run `runc-wrapctl profile"
OR_WRITE = "or write runtime_default."


MISSING = [
    (CONTAINERD, {}, ABSENT),
    (CONTAINERD, {}, f'{OR_WRITE}containerd = "1.7.24" to use the built-in profile.'),
    (CONTAINERD, STALE, "but it is of containerd 1.7.20, and 1.7.24 runs; run `runc-wrapctl"),
    ({"podman": "5.4.2"}, {}, f'{OR_WRITE}containers_common = "builtin" to use the'),
    ({"crio": "1.34"}, {}, f'apply again, {OR_WRITE}crio = "1.34" to use the'),
]


@pytest.mark.parametrize(("engines", "captured", "said"), MISSING)
def test_a_missing_or_stale_capture_refuses_the_policy(
    engines: dict[str, str], captured: dict[str, CapturedProfile], said: str
) -> None:
    with pytest.raises(PolicyError) as told:
        compiled(CAPTURED, engines=engines, captured=captured)
    assert said in str(told.value)


def test_a_rule_can_name_a_capture_but_not_a_stale_one() -> None:
    asks = {"default.profile": "containerd@captured"}
    assert "containerd@captured" in compiled(asks, captured={"containerd": OURS}).sources
    stale = {"containerd": replace(OURS, stale="the kernel is another")}
    with pytest.raises(PolicyError, match="the kernel is another"):
        compiled(asks, captured=stale)
    with pytest.raises(PolicyError, match="no such profile is captured; captured are: none"):
        compiled(asks)


def _allows(document: Json) -> None:
    document["syscalls"].append({"names": ["mount"], "action": "SCMP_ACT_ALLOW"})


def _moves(document: Json) -> None:
    for rule in document["syscalls"]:
        if rule.get("includes") == {"caps": ["CAP_PERFMON"]}:
            rule["includes"] = {"caps": ["CAP_KILL"]}


def _answers(document: Json) -> None:
    document["defaultErrnoRet"] = 38


PERF, EVERY = "perf_event_open: SCMP_ACT_ALLOW", "every other call: SCMP_ACT_ERRNO"


DIFFERENCES = [
    (_allows, [("captured", "", "mount: SCMP_ACT_ALLOW")]),
    (_moves, [("captured", "CAP_KILL", PERF), ("table", "CAP_PERFMON", PERF)]),
    (_answers, [("captured", "", f"{EVERY}(ENOSYS)"), ("table", "", f"{EVERY}(EPERM)")]),
]


@pytest.mark.parametrize(("change", "differences"), DIFFERENCES)
def test_each_rule_that_only_one_has_is_told_with_its_capability(
    change: Change, differences: list[tuple[str, str, str]]
) -> None:
    changed = _capture("containerd", "containerd@1.7.24", change)
    assert runtime_default.differences_from_table(changed, facts(engines=CONTAINERD)) == differences


def test_podmans_capture_is_compared_with_the_file_that_the_policy_takes() -> None:
    here = facts(engines={"podman": "5.4.2"}, system_profile=("/usr/share/x.json", PROFILE))
    captured = _capture("podman", "containers-common@0.60.0")
    found = runtime_default.differences_from_table(captured, here)
    assert runtime_default.table_name("podman", here) == "containers-common@system"
    assert ("table", "", "every other call: SCMP_ACT_ALLOW") in found

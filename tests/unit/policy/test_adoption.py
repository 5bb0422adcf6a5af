"""`adopt`: which settings may take an engine's default's place, and what `apply` refuses."""

import copy
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from runc_wrap.hotpath.decision import ADOPT, ADOPT_WEAKER
from runc_wrap.hotpath.resolve import resolve
from runc_wrap.policy import adoption
from runc_wrap.policy.compiler_facts import Facts, PolicyError
from runc_wrap.policy.policy_compiler import Compiled, compile_policy
from runc_wrap.policy.policy_store import engine_defaults, put_in_force
from runc_wrap.policy.settings import schema
from runc_wrap.profiles import platform
from runc_wrap.profiles.captured_profile import CapturedProfile
from tests.unit.policy.node import PROFILE, compiled, facts, load_profile

Json = dict[str, Any]
NAME, INSTALLED = "containerd@1.7.24", {"containerd": "1.7.24"}
LOOK = {"name": "look"}


def _denying(*rules: Json) -> bytes:
    return json.dumps({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": rules}).encode()


OWN = {"open.json": PROFILE, "shut.json": _denying()}
OPEN, SHUT = "localhost/open.json", "localhost/shut.json"
WEAKER_MODE = "the mode audit lets through what the engine's default denies"


def _facts(**changes: Any) -> Facts:
    """This machine's architecture: comparing needs libseccomp, which knows that one."""
    usual = {"arch": platform.goarch(), "engines": INSTALLED}
    return facts(**{**usual, **changes})


def _settled(settings: Json, **changes: Any) -> Compiled:
    own = {"own_profiles": OWN} if "localhost/" in repr(settings) else {}
    values, node = {**schema.defaults(), **settings}, _facts(**{**own, **changes})
    return adoption.settle(compile_policy(values, node), values, node, lambda _, find: find())


def test_observe_with_a_candidate_is_as_strict_as_what_stays_enforced() -> None:
    looks = {"default.mode": "observe", "default.candidate": f"{NAME} - sysinfo"}
    own = {"name": "own", "mode": "observe", "profile": NAME}  # the candidate is not for it
    made = _settled({"default.adopt": "runtime-default", **looks, schema.RULES: [LOOK, own]})
    (remark,) = (one for one in made.remarks if "keep it" in one)
    assert "the rule 'own'" in remark
    assert "the mode observe lets through what" in remark


def test_an_own_profile_that_lets_through_more_than_the_default_is_remarked() -> None:
    named = {"default.profile": OPEN, schema.RULES: [{"name": "x", "profile": SHUT}]}
    remarks = _settled(named).remarks
    (remark,) = [one for one in remarks if OPEN in one]
    assert remark.startswith(f"note: profile {OPEN} lets through more than runtime-default (")
    assert " more." in remark
    assert not [one for one in remarks if SHUT in one]
    bpf = _denying({"names": ["bpf", "read"], "action": "SCMP_ACT_ALLOW"})
    (remark,) = _settled({"default.profile": OPEN}, own_profiles={"open.json": bpf}).remarks
    assert remark.endswith(f"runtime-default ({NAME}): bpf.")
    composed = b'{"base": "runtime-default", "add": [{"names": ["mbind"]}]}'
    remarks = _settled({"default.profile": OPEN}, own_profiles={"open.json": composed}).remarks
    said = {one.rpartition("lets through more than ")[2] for one in remarks if OPEN in one}
    assert f"runtime-default ({NAME}): mbind." in said  # each beside the default that it is on
    assert all(one.endswith(": mbind.") for one in said)
    assert any("(moby" in one for one in said)


def _captured(changed: bytes = b"") -> CapturedProfile:
    """Return containerd's default as captured: this one, or one of two calls."""
    found = json.loads(changed) if changed else NEWER
    return CapturedProfile("containerd", "1.7.24", "", platform.goarch(), "6.12", "", found)


TWO_CALLS = {"names": ["read", "write"], "action": "SCMP_ACT_ALLOW"}
NEWER = {"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [TWO_CALLS]}


@pytest.mark.parametrize("source", ["table", "captured"])
def test_the_captured_default_counts_while_it_holds(source: str) -> None:
    captured = _captured()
    asked = {"default.adopt": ADOPT_WEAKER, "runtime_default.source": source}
    made = _settled(asked, captured={"containerd": captured})
    assert made.engine_defaults["containerd"] == [NAME, captured.name]
    block = resolve(made.as_applied[captured.name], frozenset())
    assert block["syscalls"] == NEWER["syscalls"]
    old = replace(captured, stale="it is of containerd 1.6.0")
    if source == "table":
        assert _settled(asked, captured={"containerd": old}).engine_defaults["containerd"] == [NAME]


def test_a_captured_default_that_lets_more_through_is_refused_beside_adopt() -> None:
    captured = _captured(PROFILE)
    asked = {"default.adopt": ADOPT, "runtime_default.source": "captured"}
    with pytest.raises(PolicyError, match=f"the profile {captured.name} lets through more than"):
        _settled(asked, captured={"containerd": captured})


def test_the_default_is_compiled_as_the_engine_applies_it_whatever_the_settings_change() -> None:
    changed = {"default.abis": "native", "overlay.deny": ["splice"], "default.adopt": ADOPT}
    made = _settled(changed)
    machine = {"arch": platform.goarch(), "engines": INSTALLED}
    plain = compiled({"default.int_arguments": "engine"}, **machine).profiles[NAME, "enforce"]
    forms = (made.as_applied[NAME], plain, made.profiles[NAME, "enforce"])
    applied, as_plain, changed_form = (resolve(one, frozenset()) for one in forms)
    assert applied == as_plain != changed_form


DEFAULTS = [
    ({}, "containerd", [NAME]),
    ({"runtime_default.containerd": "2.0.0"}, "containerd", [NAME, "containerd@2.0.0"]),
    ({"runtime_default.engine": "docker"}, "containerd", [NAME]),
    ({}, "unknown", [NAME]),
    ({}, "docker", ["moby"]),
]


@pytest.mark.parametrize(("settings", "engine", "names"), DEFAULTS)
def test_what_counts_as_an_engines_default(settings: Json, engine: str, names: list[str]) -> None:
    made = _settled({"default.adopt": ADOPT_WEAKER, **settings})
    assert made.engine_defaults[engine] == names
    assert made.policy["adoption"]["profiles"][engine] == names
    assert made.as_applied.keys() >= {*names}


def test_the_files_of_a_policy_name_the_engines_defaults(tmp_path: Path) -> None:
    made = _settled({})
    put_in_force(made, tmp_path)
    current = tmp_path / "var/policy.2/current"
    assert load_profile(tmp_path, NAME, "as-applied") == made.as_applied[NAME]
    assert engine_defaults(current)["containerd"] == [NAME]
    (current / "engine-defaults.json").unlink()  # as a former release leaves it
    assert engine_defaults(current) == {}


ASKING = [{"default.adopt": ADOPT}, {schema.RULES: [{**LOOK, "adopt": ADOPT}]}]


@pytest.mark.parametrize("asked", ASKING)
def test_own_profiles_that_let_through_no_more_may_take_its_place(asked: Json) -> None:
    within = _settled(asked, own_profiles=OWN).policy["adoption"]["within"]
    assert within[NAME] == [NAME, SHUT]
    assert within["moby"] == ["moby"]  # not installed: nothing is compared


WEAKER = [
    ({"default.mode": "audit"}, f'default.adopt adopts "{ADOPT}", but {WEAKER_MODE}; '),
    ({"default.mode": "off"}, "the mode off lets through"),
    ({"default.profile": OPEN}, f"the profile {OPEN} lets through more than {NAME}, the def"),
    ({"default.profile": "moby@24.0.0"}, None),  # equal for containerd 1.7.24
    ({"default.profile": SHUT}, None),
    ({"default.profile": "containers-common@0.62.0"}, "pivot_root"),
    ({"default.profile": "containers-common@0.62.0"}, " and 1"),
]


@pytest.mark.parametrize(("settings", "sentence"), WEAKER)
def test_what_is_weaker_is_refused_beside_adopt(settings: Json, sentence: str | None) -> None:
    asked = {"default.adopt": ADOPT, **settings}
    if sentence is None:
        _settled(asked)
        return
    with pytest.raises(PolicyError) as raised:
        _settled(asked)
    assert sentence in str(raised.value)
    assert f'write adopt = "{ADOPT_WEAKER}"' in str(raised.value)
    assert _settled({**asked, "default.adopt": ADOPT_WEAKER}).policy["adoption"]["within"] == {}


@pytest.mark.parametrize("rule", [{"mode": "audit"}, {"profile": OPEN}])
def test_a_rule_with_adopt_of_its_own_is_refused_and_without_is_remarked_on(rule: Json) -> None:
    with pytest.raises(PolicyError, match="the rule 'look' adopts"):
        _settled({"rule": [{**LOOK, **rule, "adopt": ADOPT}]})
    remarks = _settled({"default.adopt": ADOPT, "rule": [{**LOOK, **rule}]}).remarks
    kept = "containers that bring the engine's default keep it"
    assert [kept in one for one in remarks if one.startswith("note: the rule 'look'")] == [True]
    assert _settled({"default.adopt": ADOPT, "rule": [LOOK]}).remarks == ()


def test_a_rule_for_another_engine_is_not_compared_with_this_one() -> None:
    rule = {**LOOK, "adopt": ADOPT, "profile": OPEN, "engine": ["docker"]}
    _settled({"rule": [rule]})
    with pytest.raises(PolicyError):
        _settled({"rule": [{**rule, "engine": ["cont*"]}]})


def test_each_installed_engine_is_compared() -> None:
    asked = {"default.adopt": ADOPT, "default.profile": OPEN}
    with pytest.raises(PolicyError, match="the default profile of podman"):
        _settled(asked, engines={"podman": "5.4.2"})
    _settled(asked, engines={})  # nothing is installed: containers keep what they bring


def test_off_under_also_weaker_is_remarked_on() -> None:
    for mode, is_said in (("off", True), ("audit", False)):
        found = _settled({"default.adopt": ADOPT_WEAKER, "rule": [{**LOOK, "mode": mode}]})
        assert any("takes the filter away" in one for one in found.remarks) is is_said


@pytest.mark.parametrize(("arguments", "is_within"), [("kernel", True), ("engine", False)])
def test_arguments_are_compared_as_the_policy_injects_them(arguments: str, is_within: bool) -> None:
    """An own profile that compares the lower bits only, as the kernel does."""
    block = copy.deepcopy(resolve(_settled({}).as_applied[NAME], frozenset()))
    low = {"index": 0, "value": 0xFFFFFFFF, "op": "SCMP_CMP_MASKED_EQ"}
    for rule in block["syscalls"]:
        if rule["names"] == ["personality"]:
            rule["args"] = [{**low, "valueTwo": rule["args"][0]["value"]}]
    own = {"low.json": json.dumps(block).encode()}
    asked = {"default.adopt": ADOPT, "default.int_arguments": arguments}
    within = _settled(asked, own_profiles=own).policy["adoption"]["within"][NAME]
    assert ("localhost/low.json" in within) == is_within


def test_a_profile_that_cannot_be_compared_is_refused() -> None:
    rules = [
        {"names": ["acct"], "action": "SCMP_ACT_ALLOW", "includes": {"caps": [f"CAP_{name}"]}}
        for name in ("CHOWN", "KILL", "MKNOD", "SETUID", "SETGID", "FOWNER", "SYS_BOOT")
    ]
    asked = {"default.adopt": ADOPT, "default.profile": OPEN}
    with pytest.raises(PolicyError, match="they cannot be compared"):
        _settled(asked, own_profiles={"open.json": _denying(*rules)})

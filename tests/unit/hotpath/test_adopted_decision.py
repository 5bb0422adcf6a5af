"""The decision for a config that brings its engine's default profile, or is of a checkpoint."""

import copy
import json
from typing import Any

import pytest

from runc_wrap.hotpath import main
from runc_wrap.hotpath.argv import Invocation
from runc_wrap.hotpath.block_equivalence import AS_APPLIED
from runc_wrap.hotpath.create_facts import Call
from runc_wrap.hotpath.decision import ADOPT, ADOPT_WEAKER, ENGINE_DEFAULT, Decision, restore
from runc_wrap.hotpath.errors import Forbidden
from runc_wrap.hotpath.main import Outcome
from runc_wrap.hotpath.privileged import CAPABILITIES
from runc_wrap.policy.policy_compiler import Compiled
from runc_wrap.profiles.mode_profiles import modes
from tests.unit.hotpath.test_block_equivalence import block
from tests.unit.policy.node import compiled

Json = dict[str, Any]
NAME = "containerd@1.7.24"
SHIM = "/run/containerd/io.containerd.runtime.v2.task/k8s.io/ID"
OPT_OUT = {"runc-wrap/seccomp": "unconfined"}
HELD = ["CAP_SYS_CHROOT", "CAP_AUDIT_WRITE"]
AUDIT_RULE = {"name": "look", "handler": ["looked"], "mode": "audit"}
KEPT, PUT, GONE = ("keep", None), ("inject", NAME), ("leave", NAME)


def _compiled(settings: Json | None = None, within: tuple[str, ...] = (NAME,)) -> Compiled:
    made = compiled(settings, engines={"containerd": "1.7.24"}, flags=frozenset({modes.LOG_FLAG}))
    if "adoption" in made.policy:
        made.policy["adoption"]["within"] = {NAME: [*within]}
    return made


def _config(seccomp: Json | None = None, annotations: Json | None = None, **more: Any) -> Json:
    brought = block(NAME, frozenset(HELD)) if seccomp is None else seccomp
    return {
        "annotations": annotations or {},
        "linux": {"seccomp": brought, "maskedPaths": ["/proc/kcore"]},
        "process": {"capabilities": {"bounding": HELD}},
        **more,
    }


def _considered(config: Json, made: Compiled, handler: str = "runc-wrap") -> Outcome:
    invocation = Invocation("create", {"bundle": SHIM}, "ID")
    call = Call(invocation, "runc", handler, lambda: frozenset(CAPABILITIES))

    def profile_of(_policy: Any, name: str, mode: str) -> Any:
        return made.as_applied[name] if mode == AS_APPLIED else made.profiles[name, mode]

    return main.consider(json.dumps(config).encode(), call, made.policy, profile_of)


def _result(outcome: Outcome) -> tuple[str, str | None]:
    return outcome.decision.action, outcome.decision.replaced


def test_what_adopt_takes_over() -> None:
    rows: list[tuple[Json, str, Json, tuple[str, str | None]]] = [
        ({}, "", {}, KEPT),
        ({"default.adopt": ADOPT}, "", {}, PUT),
        ({"default.adopt": ADOPT, "default.mode": "enforce-log"}, "", {}, PUT),
        ({"default.adopt": ADOPT, "default.mode": "audit"}, "", {}, KEPT),
        ({"default.adopt": ADOPT, "default.mode": "off"}, "", {}, KEPT),
        ({"default.adopt": ADOPT}, "", OPT_OUT, KEPT),
        ({"default.adopt": ADOPT}, "", {"runc-wrap/seccomp": "runtime-default"}, PUT),
        ({"default.adopt": ADOPT, "rule": [AUDIT_RULE]}, "looked", {}, KEPT),
        ({"default.adopt": ADOPT, "rule": [AUDIT_RULE]}, "other", {}, PUT),
        ({"rule": [{**AUDIT_RULE, "mode": "enforce", "adopt": ADOPT}]}, "looked", {}, PUT),
        ({"rule": [{**AUDIT_RULE, "mode": "enforce", "adopt": ADOPT}]}, "other", {}, KEPT),
        ({"default.adopt": ADOPT, "rule": [{**AUDIT_RULE, "adopt": "none"}]}, "looked", {}, KEPT),
        ({"rule": [{**AUDIT_RULE, "adopt": ADOPT_WEAKER}]}, "looked", {}, PUT),
        ({"default.adopt": ADOPT_WEAKER, "default.mode": "audit"}, "", {}, PUT),
        ({"default.adopt": ADOPT_WEAKER, "default.mode": "off"}, "", {}, GONE),
        ({"default.adopt": ADOPT_WEAKER}, "", OPT_OUT, GONE),
        ({"default.adopt": ADOPT_WEAKER, "opt_out.annotations": False}, "", OPT_OUT, PUT),
    ]
    for settings, handler, annotations, expected in rows:
        made = _compiled(settings)
        outcome = _considered(_config(annotations=annotations), made, handler)
        assert _result(outcome) == expected, settings
        assert (outcome.text is None) == (expected == KEPT)
        assert (outcome.decision.declared == ENGINE_DEFAULT) == ("adoption" in made.policy)


@pytest.mark.parametrize("mode", ["enforce", "observe"])
def test_a_candidate_lets_no_more_through_and_is_adopted_with_its_profile(mode: str) -> None:
    """In observe, too, the profile is enforced where a candidate is beside it."""
    settings = {"default.adopt": ADOPT, "default.candidate": "moby", "default.mode": mode}
    made = _compiled({**settings, "default.profile": NAME})
    made.policy["candidates"] = {"moby": "d" * 64}
    for form in (f"{mode}+{'d' * 12}", f"enforce+{'d' * 12}"):
        made.profiles[NAME, form] = {
            **made.profiles[NAME, "enforce"],
            "rules": [{"rule": {"names": ["socket"], "action": "SCMP_ACT_LOG"}}],
        }
    outcome = _considered(_config(), made)
    assert _result(outcome) == PUT
    assert (outcome.decision.candidate, outcome.decision.mode) == ("moby", mode)
    assert [one["action"] for one in outcome.block["syscalls"]] == ["SCMP_ACT_LOG"]


def test_another_profile_takes_its_place_where_apply_found_that_it_lets_no_more_through() -> None:
    other = "moby@24.0.0"
    for within, expected in (((NAME, other), PUT), ((NAME,), KEPT), ((), KEPT), ((other,), PUT)):
        made = _compiled({"default.adopt": ADOPT, "default.profile": other}, within)
        outcome = _considered(_config(), made)
        assert _result(outcome) == expected
        assert (outcome.decision.profile == other) == (expected == PUT)
        is_kept = "which lets less through than what was asked for" in outcome.decision.reason
        assert is_kept == (expected == KEPT)


def test_the_overlay_denies_on_top_of_an_engines_default_that_is_taken_over() -> None:
    made = _compiled({"default.adopt": ADOPT, "overlay.deny": ["mincore"]})
    outcome = _considered(_config(), made)
    assert _result(outcome) == PUT
    denied = [one for one in outcome.block["syscalls"] if one["names"] == ["mincore"]]
    assert [one["action"] for one in denied] == ["SCMP_ACT_ERRNO"]
    without = _considered(_config(), _compiled({"default.adopt": ADOPT}))
    assert [one for one in without.block["syscalls"] if one["names"] == ["mincore"]] == []


def test_the_new_config_differs_in_its_block_only() -> None:
    rows: list[tuple[str, Json, str]] = [
        (ADOPT, {}, "The policy's default applies"),
        (ADOPT_WEAKER, OPT_OUT, 'The annotation "runc-wrap/seccomp" opts out'),
    ]
    for adopt, annotations, why in rows:
        config = _config(annotations=annotations, more={"x": [1]})
        outcome = _considered(config, _compiled({"default.adopt": adopt}))
        assert outcome.text is not None
        section = {**config["linux"], "seccomp": outcome.block or None}
        assert json.loads(outcome.text) == {**config, "linux": section}
        assert bool(outcome.block) == (adopt == ADOPT)
        told = f"{why}; it replaces the engine's default, containerd@1.7.24."
        assert outcome.decision.reason == told


def test_a_profile_that_differs_in_one_call_stays() -> None:
    own = copy.deepcopy(block(NAME, frozenset(HELD)))
    own["syscalls"][0]["names"].pop()
    for brought in (own, block("moby@26.1.5", frozenset(HELD))):
        for adopt in (ADOPT, ADOPT_WEAKER):
            outcome = _considered(_config(brought, OPT_OUT), _compiled({"default.adopt": adopt}))
            assert (_result(outcome), outcome.decision.declared) == (KEPT, "own profile")
            assert outcome.text is None


def _privileged() -> Json:
    devices = {"devices": [{"allow": True, "access": "rwm"}]}
    linux = {"seccomp": block(NAME, frozenset(CAPABILITIES)), "resources": devices}
    bounding = {"capabilities": {"bounding": sorted(CAPABILITIES)}}
    return _config(linux=linux, process=bounding)


def test_a_privileged_container_never_loses_the_filter_that_it_brings() -> None:
    for privileged, adopt, expected in (
        ("leave", ADOPT, KEPT),
        ("leave", ADOPT_WEAKER, KEPT),
        ("audit", ADOPT, KEPT),
        ("audit", ADOPT_WEAKER, PUT),
        ("confine", ADOPT, PUT),
    ):
        made = _compiled({"default.adopt": adopt, "default.privileged": privileged})
        assert _result(_considered(_privileged(), made)) == expected


def _decided(mode: str | None, candidate: str | None = None) -> Decision:
    decision = Decision("inject", "The default.", "unset")
    decision.mode, decision.profile = mode, "containerd"
    decision.candidate = decision.candidate_digest = candidate
    return decision


def test_what_is_to_be_enforced_is_refused_unless_the_owner_says_as_dumped() -> None:
    """In observe, too, a profile with a candidate is enforced."""
    enforced = (("enforce", None), ("enforce-log", None), ("observe", "next"))
    for setting in ("refuse", None, "anything"):  # None: an older policy
        for mode, candidate in enforced:
            with pytest.raises(Forbidden, match="has the filters that it was dumped with"):
                restore(_decided(mode, candidate), setting)


def test_what_starts_is_said_to_be_restored_and_never_to_be_enforced() -> None:
    for mode, candidate, setting, shown in (
        ("enforce", None, "as-dumped", None),
        ("enforce-log", None, "as-dumped", None),
        ("observe", "next", "as-dumped", None),
        ("audit", None, "refuse", "audit"),
        ("observe", None, None, "observe"),
    ):
        decision = _decided(mode, candidate)
        restore(decision, setting)
        assert (decision.mode, decision.restored) == (shown, True)
        assert (decision.candidate, decision.candidate_digest) == (None, None)
        assert "restored from a checkpoint" in decision.reason

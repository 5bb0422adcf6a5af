"""The decision for a config that brings its engine's default profile, or is of a checkpoint."""

import copy
import json
from typing import Any

import pytest

from runc_wrap.hotpath import main
from runc_wrap.hotpath.argv import Invocation
from runc_wrap.hotpath.create_facts import Call
from runc_wrap.hotpath.decision import ADOPT, ADOPT_WEAKER, ENGINE_DEFAULT, Decision, restore
from runc_wrap.hotpath.engine_default import AS_APPLIED
from runc_wrap.hotpath.errors import Forbidden
from runc_wrap.hotpath.main import Outcome
from runc_wrap.hotpath.privileged import CAPABILITIES
from runc_wrap.policy.policy_compiler import Compiled
from runc_wrap.profiles.mode_profiles import modes
from tests.unit.hotpath.test_engine_default import block
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
    call = Call(
        Invocation("create", {"bundle": SHIM}, "ID"),
        "runc",
        handler,
        lambda: frozenset(CAPABILITIES),
    )

    def profile_of(_policy: Any, name: str, mode: str) -> Any:
        return made.as_applied[name] if mode == AS_APPLIED else made.profiles[name, mode]

    return main.consider(json.dumps(config).encode(), call, made.policy, profile_of)


def _result(outcome: Outcome) -> tuple[str, str | None]:
    return outcome.decision.action, outcome.decision.replaced


@pytest.mark.parametrize(
    ("settings", "handler", "annotations", "expected"),
    [
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
    ],
)
def test_what_adopt_takes_over(
    settings: Json, handler: str, annotations: Json, expected: tuple[str, str | None]
) -> None:
    made = _compiled(settings)
    outcome = _considered(_config(annotations=annotations), made, handler)
    assert _result(outcome) == expected
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


@pytest.mark.parametrize(
    ("within", "expected"),
    [((NAME, "moby@24.0.0"), PUT), ((NAME,), KEPT), ((), KEPT), (("moby@24.0.0",), PUT)],
)
def test_another_profile_takes_its_place_where_apply_found_that_it_lets_no_more_through(
    within: tuple[str, ...], expected: tuple[str, str | None]
) -> None:
    made = _compiled({"default.adopt": ADOPT, "default.profile": "moby@24.0.0"}, within)
    outcome = _considered(_config(), made)
    assert _result(outcome) == expected
    assert (outcome.decision.profile == "moby@24.0.0") == (expected == PUT)
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


@pytest.mark.parametrize(("mode", "action"), [("audit", "keep"), ("enforce", "inject")])
def test_an_opt_out_that_does_not_count_is_recorded_as_ignored(mode: str, action: str) -> None:
    made = _compiled({"default.adopt": ADOPT, "default.mode": mode, "opt_out.annotations": False})
    decision = _considered(_config(annotations=OPT_OUT), made).decision
    assert (decision.action, decision.ignored) == (action, "runc-wrap/seccomp")


def test_the_new_config_differs_in_its_block_only() -> None:
    config = _config(more={"x": [1]})
    outcome = _considered(config, _compiled({"default.adopt": ADOPT}))
    assert outcome.text is not None
    assert json.loads(outcome.text) == {
        **config,
        "linux": {**config["linux"], "seccomp": outcome.block},
    }
    assert outcome.decision.reason == (
        "The policy's default applies; it replaces the engine's default, containerd@1.7.24."
    )


def test_an_opt_out_leaves_a_config_without_a_block() -> None:
    config = _config(annotations=OPT_OUT)
    outcome = _considered(config, _compiled({"default.adopt": ADOPT_WEAKER}))
    assert outcome.text is not None
    assert outcome.block == {}
    assert json.loads(outcome.text) == {**config, "linux": {**config["linux"], "seccomp": None}}
    assert outcome.decision.reason == (
        'The annotation "runc-wrap/seccomp" opts out; it replaces the engine\'s default, '
        "containerd@1.7.24."
    )


@pytest.mark.parametrize("adopt", [ADOPT, ADOPT_WEAKER])
def test_a_profile_that_differs_in_one_call_stays(adopt: str) -> None:
    own = copy.deepcopy(block(NAME, frozenset(HELD)))
    own["syscalls"][0]["names"].pop()
    outcome = _considered(_config(own, OPT_OUT), _compiled({"default.adopt": adopt}))
    assert _result(outcome) == KEPT
    assert outcome.decision.declared == "own profile"
    assert outcome.text is None


def test_another_engines_default_stays() -> None:
    outcome = _considered(
        _config(block("moby@26.1.5", frozenset(HELD))), _compiled({"default.adopt": ADOPT})
    )
    assert (_result(outcome), outcome.decision.declared) == (KEPT, "own profile")


def _privileged() -> Json:
    every = sorted(CAPABILITIES)
    config = _config(block(NAME, frozenset(every)))
    config["linux"] = {
        "seccomp": config["linux"]["seccomp"],
        "resources": {"devices": [{"allow": True, "access": "rwm"}]},
    }
    return {**config, "process": {"capabilities": {"bounding": every}}}


@pytest.mark.parametrize(
    ("privileged", "adopt", "expected"),
    [
        ("leave", ADOPT, KEPT),
        ("leave", ADOPT_WEAKER, KEPT),
        ("audit", ADOPT, KEPT),
        ("audit", ADOPT_WEAKER, PUT),
        ("confine", ADOPT, PUT),
    ],
)
def test_a_privileged_container_never_loses_the_filter_that_it_brings(
    privileged: str, adopt: str, expected: tuple[str, str | None]
) -> None:
    made = _compiled({"default.adopt": adopt, "default.privileged": privileged})
    assert _result(_considered(_privileged(), made)) == expected


def test_without_adopt_no_profile_is_read_for_a_config_with_one() -> None:
    made = _compiled()
    made.profiles.clear()
    made.as_applied.clear()
    assert _result(_considered(_config(), made)) == KEPT


def _decided(mode: str | None, action: str = "inject") -> Decision:
    decision = Decision(action, "The default.", "unset")
    decision.mode, decision.profile = mode, "containerd"
    return decision


@pytest.mark.parametrize("setting", ["refuse", None, "anything"])  # None: an older policy
@pytest.mark.parametrize("mode", ["enforce", "enforce-log"])
def test_what_is_to_be_enforced_is_refused_unless_the_owner_says_as_dumped(
    mode: str, setting: str | None
) -> None:
    with pytest.raises(Forbidden, match="has the filters that it was dumped with"):
        restore(_decided(mode), setting)


def test_a_profile_with_a_candidate_is_enforced_in_observe_too() -> None:
    decision = _decided("observe")
    decision.candidate, decision.candidate_digest = "next", "d" * 64
    with pytest.raises(Forbidden, match="has the filters that it was dumped with"):
        restore(decision, "refuse")
    restore(decision, "as-dumped")
    assert {decision.mode, decision.candidate, decision.candidate_digest} == {None}


@pytest.mark.parametrize(
    ("mode", "setting", "shown"),
    [
        ("enforce", "as-dumped", None),
        ("enforce-log", "as-dumped", None),
        ("audit", "refuse", "audit"),
        ("observe", None, "observe"),
    ],
)
def test_what_starts_is_said_to_be_restored_and_never_to_be_enforced(
    mode: str, setting: str | None, shown: str | None
) -> None:
    decision = _decided(mode)
    restore(decision, setting)
    assert (decision.mode, decision.restored) == (shown, True)
    assert "restored from a checkpoint" in decision.reason

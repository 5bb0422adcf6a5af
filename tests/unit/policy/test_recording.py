"""`record` from the settings to a create: what is compiled, refused, decided and written down."""

from typing import Any

import pytest

from runc_wrap.hotpath import agent_probe, ledger_file, main
from runc_wrap.hotpath.argv import Invocation
from runc_wrap.hotpath.create_facts import Call
from runc_wrap.hotpath.decision import restore
from runc_wrap.hotpath.main import Outcome
from runc_wrap.hotpath.privileged import CAPABILITIES
from runc_wrap.ledger import decision_record
from runc_wrap.policy.compiler_facts import PolicyError
from runc_wrap.policy.policy_compiler import Compiled
from runc_wrap.profiles.mode_profiles import modes
from runc_wrap.profiles.mode_profiles.candidate_mode import previewed
from runc_wrap.profiles.runtime_spec_names import ACTIONS
from tests.unit.policy.node import compiled

LISTENER = "/p/var/agent/notify.sock"
DEFAULT = {"default.record": True}


def _compiled(settings: dict[str, Any], **facts: Any) -> Compiled:
    return compiled(settings, listener=LISTENER, **facts)


@pytest.fixture(autouse=True)
def _an_agent_that_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agent_probe, "has_agent", lambda path: path == LISTENER)


def _forms(settings: dict[str, Any]) -> set[str]:
    return {form for _, form in _compiled(settings).profiles}


WORDS = Invocation("create", {"bundle": "/b"}, "ID")


def _considered(made: Compiled, *, handler: str = "runc-wrap", profile_of: Any = None) -> Outcome:
    call = Call(WORDS, "runc", handler, lambda: frozenset(CAPABILITIES))
    named = profile_of or (lambda _, name, form: made.profiles[name, form])
    return main.consider(b'{"linux": {}, "process": {}}', call, made.policy, named)


def test_the_recording_form_is_compiled_for_the_modes_that_record() -> None:
    rule = {"name": "a", "record": True}
    assert _forms({}) == {"enforce"}
    assert _forms(DEFAULT) == {"enforce", "enforce+record"}
    assert _forms({"rule": [rule]}) == {"enforce", "enforce+record"}
    found = _forms({"rule": [{**rule, "mode": "observe"}]})
    assert found == {"audit", "enforce", "observe", "observe+record"}
    audited = {"name": "b", "mode": "audit"}
    assert _forms({**DEFAULT, "rule": [audited]}) == {"audit", "enforce", "enforce+record"}
    assert _forms({**DEFAULT, "default.privileged": "audit"}) >= {"audit", "enforce+record"}


REFUSED = [
    ({**DEFAULT, "default.mode": "audit"}, {}, "needs the mode enforce or observe, .* audit"),
    ({"rule": [{"name": "a", "record": True, "mode": "off"}]}, {}, "here the mode is off"),
    (DEFAULT, {"actions": ACTIONS - {"SCMP_ACT_NOTIFY"}}, "record needs the action SCMP_ACT"),
    (DEFAULT, {"listener": "/" + "x" * 107}, "record needs the socket"),
]


@pytest.mark.parametrize(("settings", "facts", "said"), REFUSED)
def test_what_cannot_record_is_refused(
    settings: dict[str, Any], facts: dict[str, Any], said: str
) -> None:
    with pytest.raises(PolicyError, match=said):
        compiled(settings, **facts)


def test_a_rule_decides_and_the_ledger_says_so() -> None:
    rules = [
        {"name": "yes", "handler": ["yes"], "record": True},
        {"name": "no", "handler": ["no"], "record": False},
        {"name": "look", "handler": ["look"], "mode": "audit"},
    ]
    made = _compiled({"rule": rules, "default.record": True})
    found = {one: _considered(made, handler=one) for one in ("yes", "no", "look", "other")}
    assert [one.decision.recorded for one in found.values()] == [True, False, False, True]
    modes_of = [one.decision.mode for one in found.values()]
    assert modes_of == ["enforce", "enforce", "audit", "enforce"]
    assert found["yes"].block["listenerMetadata"] == modes.RECORD_METADATA
    assert "listenerPath" not in found["no"].block
    told = ((WORDS, one.who, one.decision, one.block, "cold") for one in found.values())
    records = [decision_record.of(ledger_file.record(*each)) for each in told]
    assert [one.has_listener for one in records] == [True, False, False, True]
    assert [one.form for one in records][:3] == ["enforce+record", "enforce", "audit"]


def test_without_an_agent_it_is_enforced_and_not_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agent_probe, "has_agent", lambda _: False)
    plain = _considered(_compiled({}))
    found = _considered(_compiled(DEFAULT))
    assert found.block == plain.block
    assert (found.decision.mode, found.decision.recorded) == ("enforce", False)
    assert found.decision.reason.endswith("No agent listens, so nothing is recorded.")
    observed = _considered(_compiled({**DEFAULT, "default.mode": "observe"}))
    assert (observed.decision.mode, observed.decision.recorded) == ("audit", False)


def test_a_restored_container_is_not_recorded() -> None:
    decision = _considered(_compiled(DEFAULT)).decision
    restore(decision, "as-dumped")
    assert (decision.mode, decision.recorded) == (None, False)


OWN = """{"defaultAction": "SCMP_ACT_ALLOW", "flags": ["SECCOMP_FILTER_FLAG_TSYNC"], %s
    "syscalls": [{"names": ["mount"], "action": "SCMP_ACT_%s"}]}"""


def _of_own(path: str, action: str) -> Outcome:
    own = {"own.json": (OWN % (path, action)).encode()}
    settings = {**DEFAULT, "default.profile": "localhost/own.json"}
    return _considered(_compiled(settings, own_profiles=own, runtime_kind="crun"))


@pytest.mark.parametrize("path", ['"listenerPath": "/run/own.sock",', ""])
def test_calls_for_which_a_profile_asks_another_process_never_go_to_the_agent(path: str) -> None:
    """The agent lets every call continue; crun finds the other process by an annotation."""
    found = _of_own(path, "NOTIFY")
    assert found.block.get("listenerPath") != LISTENER
    assert not found.decision.recorded
    assert found.decision.reason.endswith("listener of its own, so nothing is recorded.")


def test_a_listener_is_not_asked_for_together_with_tsync() -> None:
    """The kernel refuses both, so the create would fail."""
    found = _of_own("", "ERRNO")
    assert found.decision.recorded
    assert found.block["flags"] == []


def test_without_an_agent_observe_with_candidate_enforces(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The agent would be asked about what the candidate denies; the kernel logs that instead."""
    monkeypatch.setattr(agent_probe, "has_agent", lambda path: path != LISTENER)
    made = _compiled({"default.mode": "observe", "default.candidate": "containerd@1.7.24"})
    made.policy["candidates"] = {"containerd@1.7.24": "d" * 64}
    own = made.profiles["containerd", "enforce"]
    nothing: Any = {**own, "rules": []}
    listener = modes.AgentListener(LISTENER)
    made_of = {mode: previewed(own, nothing, mode, listener) for mode in ("enforce", "observe")}
    forms = {f"{mode}+{'d' * 12}": found.profile for mode, found in made_of.items()}
    found = _considered(made, profile_of=lambda _, _name, form: forms[form])
    assert (found.decision.mode, found.decision.candidate) == ("enforce", "containerd@1.7.24")
    assert found.decision.reason.endswith("so the mode is enforce instead of observe.")
    assert found.block["defaultAction"] == "SCMP_ACT_ERRNO"
    assert {one["action"] for one in found.block["syscalls"]} == {"SCMP_ACT_LOG", "SCMP_ACT_ERRNO"}

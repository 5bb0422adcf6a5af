"""What is decided of a container that is restored from a checkpoint."""

import pytest

from runc_wrap.hotpath.decision import Decision, restore
from runc_wrap.hotpath.errors import Forbidden


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

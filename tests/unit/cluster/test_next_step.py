"""What the installer does next, and what it says of the node: pure decisions."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from runc_wrap.cluster import next_step
from runc_wrap.cluster.kubernetes_api import node_object
from runc_wrap.cluster.next_step import (
    DRIFTED,
    EDITED,
    FAILED,
    INSTALL,
    INSTALLING,
    LOOK,
    NOTHING,
    POLICY,
    POLICY_REFUSED,
    PROVE,
    READY,
    REFUSED,
    REGISTER,
    REVERTED,
    UNPROVED,
    WAITING,
    Attempt,
    Registration,
    Seen,
)

PROVED = Registration(is_registered=True, is_configured=True, is_in_force=True)
GONE = replace(PROVED, is_configured=False, is_in_force=False, is_gone=True)
SETTLED = Seen(
    now=10_000.0,
    obstacle="",
    wanted="new",
    installed="new",
    proved="new",
    is_other_release=False,
    policy="p1",
    policy_in_force="p1",
    machine="m1",
    policy_machine="m1",
    policy_problem="",
    policy_edit="",
    engine_version="1.7.24",
    boot="b2",
    well_boot="b2",
    registration=PROVED,
    handlers=frozenset({"runc", "runc-wrap"}),
)


def _failed(step: str, key: str, word: str = REVERTED, at: float = 9_900.0) -> Any:
    return (Attempt(step, key, at, 1, word, "it broke"),)


# another release was not installed, and an earlier one is in force
EARLIER = {"installed": "old", "proved": "old", "attempts": _failed(INSTALL, "new p1", FAILED)}
# what differs from a settled node -> step, word, whether the label is set
CASES: list[tuple[dict[str, Any], str, str, bool | None]] = [
    ({}, NOTHING, READY, True),
    ({"handlers": None}, NOTHING, READY, True),
    ({"handlers": frozenset({"runc"})}, NOTHING, WAITING, False),
    ({"obstacle": "it is Docker"}, NOTHING, REFUSED, False),
    ({"obstacle": "it is Docker", "is_engine_known": False}, NOTHING, WAITING, None),
    ({"installed": None, "is_engine_known": False}, NOTHING, WAITING, None),
    ({"machine": "m2", "engine_version": "Unknown", "is_engine_known": False},
     NOTHING, WAITING, None),
    ({"installed": None}, INSTALL, INSTALLING, False),
    ({"installed": "old"}, INSTALL, INSTALLING, None),
    ({"installed": "old", "registration": None}, INSTALL, INSTALLING, None),
    (EARLIER, NOTHING, FAILED, True),
    (EARLIER | {"proved": None}, PROVE, INSTALLING, None),
    (EARLIER | {"registration": None}, LOOK, INSTALLING, None),
    (EARLIER | {"registration": Registration()}, REGISTER, INSTALLING, False),
    (EARLIER | {"registration": GONE, "well_boot": "b1"}, REGISTER, INSTALLING, False),
    (EARLIER | {"registration": GONE}, NOTHING, EDITED, False),
    (EARLIER | {"registration": replace(PROVED, is_in_force=False)}, NOTHING, EDITED, False),
    (EARLIER | {"handlers": frozenset({"runc"})}, NOTHING, WAITING, False),
    (EARLIER | {"policy_in_force": "p0"}, POLICY, INSTALLING, None),
    (EARLIER | {"machine": "m2"}, POLICY, INSTALLING, None),
    (EARLIER | {"policy_in_force": "p0", "policy_problem": "too large"}, NOTHING, FAILED, True),
    (EARLIER | {"is_other_release": True}, NOTHING, FAILED, None),
    (EARLIER | {"now": 10_500.0}, INSTALL, INSTALLING, None),
    ({"installed": None, "attempts": _failed(INSTALL, "new p1", FAILED)}, NOTHING, FAILED, False),
    ({"installed": "old", "attempts": _failed(INSTALL, "x p1", FAILED)}, INSTALL, INSTALLING, None),
    ({"installed": None, "policy": "p2", "attempts": _failed(INSTALL, "new p1", REFUSED)},
     INSTALL, INSTALLING, False),
    ({"is_other_release": True}, NOTHING, EDITED, None),
    ({"policy": "p2"}, POLICY, INSTALLING, None),
    ({"policy": "p2", "registration": Registration()}, POLICY, INSTALLING, None),
    ({"policy": "p2", "policy_edit": "config.toml"}, NOTHING, EDITED, True),
    ({"policy": "p2", "policy_problem": "too large"}, NOTHING, POLICY_REFUSED, True),
    ({"policy_in_force": None, "policy_problem": "a typo"}, NOTHING, POLICY_REFUSED, False),
    ({"policy_in_force": None, "policy_edit": "config.toml"}, NOTHING, EDITED, True),
    ({"policy": "p2", "attempts": _failed(POLICY, "new p2 m1")}, NOTHING, POLICY_REFUSED, True),
    ({"policy": "p3", "attempts": _failed(POLICY, "new p2 m1", FAILED)}, POLICY, INSTALLING, None),
    ({"policy_machine": ""}, POLICY, INSTALLING, None),
    ({"machine": "m2", "registration": replace(PROVED, is_upgraded=True)},
     POLICY, INSTALLING, None),
    ({"machine": "m2", "attempts": _failed(POLICY, "new p1 m1")}, POLICY, INSTALLING, None),
    ({"machine": "m2", "attempts": _failed(POLICY, "new p1 m2")}, NOTHING, POLICY_REFUSED, True),
    ({"machine": "m2", "policy_edit": "config.toml"}, NOTHING, EDITED, True),
    ({"proved": "old"}, PROVE, INSTALLING, None),
    ({"proved": None, "handlers": frozenset({"runc"})}, PROVE, INSTALLING, None),
    ({"proved": "old", "registration": replace(PROVED, is_upgraded=True)},
     PROVE, INSTALLING, None),
    ({"proved": "old", "attempts": _failed(PROVE, "new 1.7.24", UNPROVED)},
     NOTHING, UNPROVED, False),
    ({"proved": "old", "attempts": _failed(PROVE, "new 1.7.23", UNPROVED)},
     PROVE, INSTALLING, None),
    ({"registration": GONE}, NOTHING, EDITED, False),
    ({"registration": GONE, "well_boot": ""}, NOTHING, EDITED, False),
    ({"registration": GONE, "well_boot": "b1"}, REGISTER, INSTALLING, False),
    ({"registration": GONE, "well_boot": "b1", "attempts": _failed(REGISTER, "new 1.7.24")},
     NOTHING, REVERTED, False),
    ({"registration": replace(GONE, is_gone=False), "well_boot": "b1"}, NOTHING, EDITED, False),
    ({"registration": None}, LOOK, INSTALLING, None),
    ({"registration": Registration()}, REGISTER, INSTALLING, False),
    ({"registration": Registration(is_interrupted=True)}, REGISTER, INSTALLING, False),
    ({"registration": replace(PROVED, is_interrupted=True)}, REGISTER, INSTALLING, False),
    ({"registration": replace(PROVED, is_configured=False)}, NOTHING, EDITED, False),
    ({"registration": replace(PROVED, is_in_force=False)}, NOTHING, EDITED, False),
    ({"registration": replace(PROVED, is_configured=None)}, NOTHING, READY, True),
    ({"registration": replace(PROVED, drift="it was changed")}, NOTHING, DRIFTED, True),
    ({"registration": replace(PROVED, drift="it was changed"), "handlers": frozenset({"runc"})},
     NOTHING, WAITING, False),
    ({"registration": replace(PROVED, drift="it was changed"), "policy": "p2",
      "policy_problem": "too large"}, NOTHING, POLICY_REFUSED, True),
    ({"registration": replace(PROVED, is_in_force=None, drift="no answer")}, NOTHING, READY, True),
    ({"registration": replace(PROVED, is_configured=None, is_in_force=None, drift="no TOML")},
     NOTHING, EDITED, None),
    ({"registration": replace(PROVED, is_upgraded=True)}, PROVE, INSTALLING, None),
    ({"registration": Registration(), "attempts": _failed(REGISTER, "new 1.7.24")},
     NOTHING, REVERTED, False),
    ({"registration": Registration(), "attempts": _failed(REGISTER, "new 1.7.23")},
     REGISTER, INSTALLING, False),
    ({"registration": replace(PROVED, is_upgraded=True),
      "attempts": _failed(PROVE, "new 1.7.24", UNPROVED)}, NOTHING, UNPROVED, False),
]  # fmt: skip


@pytest.mark.parametrize(("differs", "step", "word", "is_ready"), CASES)
def test_what_is_seen_decides(
    differs: dict[str, Any], step: str, word: str, is_ready: bool | None
) -> None:
    found = next_step.decide(replace(SETTLED, **differs))
    assert (found.step, found.word, found.is_ready) == (step, word, is_ready)


@pytest.mark.parametrize(("differs", "step", "word", "is_ready"), CASES)
def test_what_stops_the_installer_says_why(
    differs: dict[str, Any], step: str, word: str, is_ready: bool | None
) -> None:
    del is_ready
    drifted = {"drift": "containerd: it differs"}
    if registration := differs.get("registration"):
        differs = {**differs, "registration": replace(registration, **drifted)}
    found = next_step.decide(replace(SETTLED, **differs))
    assert found.why or word == READY or step != NOTHING


def test_what_else_is_wrong_is_said_beside_an_installation_that_failed() -> None:
    differs = EARLIER | {"policy_in_force": "p0", "policy_problem": "it is too large"}
    assert next_step.decide(replace(SETTLED, **differs)).why == "it broke; it is too large"


PAUSES = [(1, 600.0), (2, 1200.0), (3, 2400.0), (9, 86400.0), (10**6, 86400.0)]


@pytest.mark.parametrize(("count", "pause"), PAUSES)
def test_what_failed_waits_longer_each_time(count: int, pause: float) -> None:
    last = Attempt(REGISTER, "new 1.7.24", 1000.0, count, REVERTED, "it broke")
    seen = replace(SETTLED, registration=Registration(), attempts=(last,))
    assert next_step.decide(replace(seen, now=1000.0 + pause - 1)).step == NOTHING
    assert next_step.decide(replace(seen, now=1000.0 + pause)).step == REGISTER


_FLAG = some.booleans()
_MAYBE = some.sampled_from([True, False, None])
_REGISTRATIONS = some.builds(
    Registration,
    _FLAG,
    _MAYBE,
    _MAYBE,
    _FLAG,
    _FLAG,
    some.sampled_from(["", "alice"]),
    is_gone=_FLAG,
)


_SEEN = some.builds(
    Seen,
    now=some.just(0.0),
    obstacle=some.sampled_from(["", "no"]),
    wanted=some.just("new"),
    installed=some.sampled_from([None, "old", "new"]),
    proved=some.sampled_from([None, "old", "new"]),
    is_other_release=_FLAG,
    policy=some.just("p"),
    policy_in_force=some.sampled_from([None, "p", "q"]),
    machine=some.just("m"),
    policy_machine=some.sampled_from(["", "m", "n"]),
    policy_problem=some.sampled_from(["", "bad"]),
    policy_edit=some.sampled_from(["", "edited"]),
    engine_version=some.just("1"),
    boot=some.just("b"),
    well_boot=some.sampled_from(["", "a", "b"]),
    registration=some.none() | _REGISTRATIONS,
    handlers=some.sampled_from([None, frozenset({"runc"}), frozenset({"runc-wrap"})]),
    attempts=some.sampled_from([(), _failed(INSTALL, "new p", FAILED, at=0.0)]),
)


@given(_SEEN)
def test_a_node_becomes_ready_only_if_its_handler_was_proved(seen: Seen) -> None:
    if next_step.decide(seen).is_ready:
        found = seen.registration
        assert found is not None
        assert found.is_registered
        assert found.is_configured is not False
        assert found.is_in_force is not False
        assert not any((found.is_interrupted, found.is_upgraded))
        assert seen.handlers is None or "runc-wrap" in seen.handlers
        assert seen.installed == seen.proved
        assert seen.installed == seen.wanted or seen.attempts


OURS = {"handler": "runc-wrap", "configured": True, "in_force": True}
STATUS: list[tuple[Any, Registration]] = [
    ([{"engine": "containerd", "handlers": [OURS]}], PROVED),
    ([{"engine": "crio", "handlers": [OURS]}], Registration()),
    ([{"engine": "containerd", "handlers": [OURS | {"handler": "other"}]}], Registration()),
    ([{"engine": "containerd", "handlers": [OURS | {"configured": False}], "drift": ["a", "b"]}],
     replace(PROVED, is_configured=False, drift="a; b")),
    ([{"engine": "containerd", "handlers": [OURS | {"configured": False, "gone": True}]}],
     replace(PROVED, is_configured=False, is_gone=True)),
    ([{"engine": "containerd", "handlers": [OURS | {"upgraded": True}], "upgraded": True}],
     replace(PROVED, is_upgraded=True)),
    ([{"engine": "containerd", "handlers": [OURS], "upgraded": True}], PROVED),  # another handler
    ([{"engine": "containerd", "handlers": [OURS], "transaction": {"handler": "runc-wrap"}}],
     replace(PROVED, is_interrupted=True)),
    ([{"engine": "containerd", "handlers": [], "transaction": {"handler": "runc-wrap"}}],
     Registration(is_interrupted=True)),
    ([], Registration()),
    (None, Registration()),
    ({"engine": "containerd"}, Registration()),
    ([None, 3, {"engine": "containerd"}], Registration()),
]  # fmt: skip


@pytest.mark.parametrize(("document", "found"), STATUS)
def test_what_engine_status_says_of_our_handler(document: Any, found: Registration) -> None:
    assert next_step.registration(document, "containerd") == found


def test_of_two_engines_of_a_kind_the_one_that_was_named_counts() -> None:
    document = [
        {"engine": "containerd", "config": "/a", "handlers": []},
        {"engine": "containerd", "config": "/b", "handlers": [OURS]},
    ]
    assert next_step.registration(document, "containerd", "/b") == PROVED
    assert next_step.registration(document, "containerd", "/a") == Registration()
    assert next_step.registration(document, "containerd", "/c") == Registration()


ENGINES = [
    ("containerd://1.7.24", ("containerd", "1.7.24")),
    ("containerd://2.2.2-bd1.34", ("containerd", "2.2.2-bd1.34")),
    ("cri-o://1.34.1", ("crio", "1.34.1")),
    ("containerd://1.6.20~ds1", ("containerd", "1.6.20~ds1")),
    ("containerd://1.5.18", ("", "")),
    ("containerd://v0.9", ("", "")),
    ("containerd://unknown", ("containerd", "unknown")),
    ("docker://26.1", ("", "")),
    ("", ("", "")),
    ("containerd", ("", "")),
    ("containerd://\x1b[31m", ("", "")),
]


KNOWN = [
    ("containerd://1.7.24", True),
    ("docker://26.1", True),
    ("containerd://Unknown", False),
    ("cri-o://unknown", False),
    ("containerd://", False),
    ("Unknown", False),
    ("", False),
]


@pytest.mark.parametrize(("told", "is_known"), KNOWN)
def test_an_engine_that_is_down_has_no_version(told: str, *, is_known: bool) -> None:
    assert next_step.is_known(told) == is_known


@pytest.mark.parametrize(("told", "found"), ENGINES)
def test_the_engine_that_the_kubelet_names(told: str, found: tuple[str, str]) -> None:
    *engine, why = next_step.engine(told)
    assert tuple(engine) == found
    assert bool(why) == (not found[0])
    assert why.isprintable()


@given(_SEEN, some.booleans(), some.sampled_from([None, True]))
def test_whatever_is_seen_the_installer_never_has_a_node_selected_no_more(
    seen: Seen, is_ready: bool, is_installed: bool | None
) -> None:
    """A pod of the RuntimeClass may run there, and a kubelet that starts would reject it."""
    labels = {node_object.INSTALLED: "true"} | ({node_object.READY: "true"} if is_ready else {})
    node = node_object.read({"metadata": {"labels": labels}})
    found = next_step.decide(seen)
    wanted = node_object.Wanted(found.word, "1", found.is_ready, is_installed)
    change = node_object.change(node, wanted) or {}
    assert node_object.INSTALLED not in change.get("metadata", {}).get("labels", {})

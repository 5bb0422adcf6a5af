"""What the installer does next, and what it says of the node: pure decisions."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from runc_wrap.cluster import next_step as steps
from runc_wrap.cluster.next_step import NodeEngine, Registration, Seen
from runc_wrap.cluster.state_file import Attempt, NodeRecord

LISTED = frozenset({"runc", "runc-wrap"})
M1 = "containerd 1.7.24, kernel 6.1"
WELL = NodeRecord("new", "r1", machine=M1, proved="new", boot="b2", was_ready=True)
SETTLED = Seen(
    record=WELL, engine=NodeEngine("containerd", "1.7.24"), kernel="6.1", boot="b2", wanted="new",
    release="r1", policy="p1", policy_problem="", policy_in_force="p1", handlers=LISTED,
    registration=Registration(steps.IN_FORCE), now=10_000.0,
)  # fmt: skip
RECORDED = NodeRecord.__dataclass_fields__.keys() - Seen.__dataclass_fields__.keys()


def _seen(**differs: Any) -> Seen:
    """Return a settled node that differs in this, in its record or in what was seen."""
    differs = {"well_boot": "b2", **differs}
    record = {name: value for name, value in differs.items() if name in RECORDED}
    record["boot"] = differs.pop("well_boot")
    others = {name: value for name, value in differs.items() if name not in RECORDED}
    if isinstance(word := others.get("registration"), str):
        others["registration"] = Registration(word)
    if isinstance(version := others.get("engine"), str):
        others["engine"] = NodeEngine("containerd", version)
    return replace(SETTLED, record=replace(WELL, **record), **others)


def _failed(step: str, key: str, word: str = steps.REVERTED, at: float = 9_900.0) -> Any:
    return (Attempt(step, key, at, 1, word, "it broke"),)


# another release was not installed, and an earlier one is in force
EARLIER = {"archive": "old", "proved": "old",
           "failed": _failed(steps.INSTALL, "new p1", steps.FAILED)}  # fmt: skip
NEW: dict[str, Any] = {"release": None}
REGISTERING = {"registration": steps.ABSENT, "failed": _failed(steps.REGISTER, "new 1.7.24")}
# what differs from a settled node -> step, word, whether the label is set
CASES: list[tuple[dict[str, Any], str, str, bool | None]] = [
    ({}, steps.NOTHING, "ready", True),
    ({"handlers": None}, steps.NOTHING, "ready", True),
    ({"handlers": frozenset({"runc"})}, steps.NOTHING, "waiting", False),
    ({"engine": NodeEngine(obstacle="it is Docker")}, steps.NOTHING, "refused", False),
    (NEW | {"engine": NodeEngine(is_known=False)}, steps.NOTHING, "waiting", None),
    ({"engine": NodeEngine(is_known=False)}, steps.NOTHING, "waiting", None),  # it is down
    (NEW, steps.INSTALL, "installing", False),
    ({"archive": "old", "registration": None}, steps.INSTALL, "installing", None),
    (EARLIER, steps.NOTHING, "failed", True),
    (EARLIER | {"proved": None}, steps.PROVE, "installing", None),
    (EARLIER | {"registration": None}, steps.LOOK, "", None),
    (EARLIER | {"registration": steps.ABSENT}, steps.REGISTER, "installing", False),
    (EARLIER | {"registration": steps.GONE}, steps.NOTHING, "edited", False),
    (EARLIER | {"handlers": frozenset({"runc"})}, steps.NOTHING, "waiting", False),
    (EARLIER | {"policy_in_force": "p0"}, steps.POLICY, "", None),
    (EARLIER | {"release": "by hand"}, steps.NOTHING, "failed", None),
    (EARLIER | {"now": 10_500.0}, steps.INSTALL, "installing", None),
    (NEW | {"failed": EARLIER["failed"]}, steps.NOTHING, "failed", False),
    (NEW | {"failed": EARLIER["failed"], "policy": "p2"}, steps.INSTALL, "installing", False),
    ({"release": "by hand"}, steps.NOTHING, "edited", None),
    ({"policy": "p2"}, steps.POLICY, "", None),
    ({"policy": "p2", "registration": steps.ABSENT}, steps.POLICY, "", None),
    ({"policy": "p2", "policy_problem": "too large"}, steps.NOTHING, "policy-refused", True),
    ({"policy_in_force": None, "policy_problem": "x"}, steps.NOTHING, "policy-refused", False),
    ({"policy": "p2", "failed": _failed(steps.POLICY, f"new p2 {M1}")},
     steps.NOTHING, "policy-refused", True),
    ({"policy": "p3", "failed": _failed(steps.POLICY, f"new p2 {M1}")}, steps.POLICY, "", None),
    ({"machine": "another kernel"}, steps.POLICY, "", None),
    ({"machine": "x", "registration": steps.UPGRADED}, steps.POLICY, "", None),  # and then proved
    ({"proved": "old"}, steps.PROVE, "installing", None),
    ({"proved": "old", "failed": _failed(steps.PROVE, "new 1.7.24", steps.UNPROVED)},
     steps.NOTHING, "unproved", False),
    ({"proved": "old", "failed": _failed(steps.PROVE, "new 1.7.23", steps.UNPROVED)},
     steps.PROVE, "installing", None),
    ({"registration": steps.GONE}, steps.NOTHING, "edited", False),
    ({"registration": steps.GONE, "well_boot": ""}, steps.NOTHING, "edited", False),
    ({"registration": steps.GONE, "well_boot": "b1"}, steps.REGISTER, "installing", False),
    ({"registration": steps.GONE, "is_asked": True}, steps.REGISTER, "installing", False),
    ({"registration": steps.CHANGED, "is_asked": True}, steps.REGISTER, "installing", False),
    ({"registration": steps.UNREADABLE, "is_asked": True}, steps.NOTHING, "edited", None),
    ({"release": "by hand", "is_asked": True}, steps.NOTHING, "edited", None),
    ({"registration": steps.INTERRUPTED}, steps.REGISTER, "installing", False),
    ({"registration": steps.OTHER_FILES}, steps.NOTHING, "drifted", True),
    ({"registration": steps.UPGRADED}, steps.PROVE, "installing", None),
    (REGISTERING, steps.NOTHING, "reverted", False),
    (REGISTERING | {"engine": "1.7.25", "machine": "containerd 1.7.25, kernel 6.1"},
     steps.REGISTER, "installing", False),
    (REGISTERING | {"since": 9_901.0}, steps.REGISTER, "installing", False),
    (REGISTERING | {"since": 9_900.0}, steps.NOTHING, "reverted", False),
    (REGISTERING | {"since": 10_001.0}, steps.NOTHING, "reverted", False),  # the clock was set back
    (REGISTERING | {"now": 9_899.0}, steps.REGISTER, "installing", False),
    (REGISTERING | {"now": 10_499.0}, steps.NOTHING, "reverted", False),
    (REGISTERING | {"now": 10_500.0}, steps.REGISTER, "installing", False),
]  # fmt: skip


@pytest.mark.parametrize(("differs", "step", "word", "is_ready"), CASES)
def test_what_is_seen_decides(
    differs: dict[str, Any], step: str, word: str, is_ready: bool | None
) -> None:
    found = steps.decide(_seen(**differs))
    assert (found.step, found.word, found.is_ready) == (step, word, is_ready)


def test_what_else_is_wrong_is_said_beside_an_installation_that_failed() -> None:
    differs = EARLIER | {"policy_in_force": "p0", "policy_problem": "it is too large"}
    assert steps.decide(_seen(**differs)).why == "it broke; it is too large"


PODS, LEFT = {"needed": "a pod runs"}, {"needed": "", "left": "it is busy"}
# what a removal differs in -> step, word, whether the RuntimeClass selects the node
GOING: list[tuple[dict[str, Any], str, str, bool | None]] = [
    ({}, steps.LOOK, "", None),
    ({"release": None}, steps.NOTHING, "removed", False),
    ({"engine": NodeEngine(is_known=False)}, steps.NOTHING, "removing", None),
    (PODS, steps.NOTHING, "removing", True),
    (PODS | {"was_ready": False}, steps.NOTHING, "removing", None),
    ({"needed": "", "is_offered": True}, steps.WITHDRAW, "", None),
    (LEFT | {"is_offered": True}, steps.NOTHING, "removing", None),
    (LEFT, steps.NOTHING, "removing", False),
    ({"needed": "", "registration": None}, steps.LOOK, "", None),
    ({"needed": ""}, steps.UNREGISTER, "", False),
    ({"needed": "", "failed": _failed(steps.UNREGISTER, "1.7.24", "removing"), "wanted": ""},
     steps.NOTHING, "removing", False),
    ({"needed": "", "registration": steps.ABSENT}, steps.UNINSTALL, "", None),
    ({"needed": "", "engine": NodeEngine(obstacle="Docker"), "registration": None},
     steps.UNINSTALL, "", None),
]  # fmt: skip


@pytest.mark.parametrize(("differs", "step", "word", "is_installed"), GOING)
def test_what_is_seen_decides_what_goes(
    differs: dict[str, Any], step: str, word: str, is_installed: bool | None
) -> None:
    found = steps.remove(_seen(**differs))
    assert (found.step, found.word, found.is_installed) == (step, word, is_installed)


PAUSES = [(1, 600.0), (2, 1200.0), (3, 2400.0), (9, 86400.0), (10**6, 86400.0)]


@pytest.mark.parametrize(("count", "pause"), PAUSES)
def test_what_failed_waits_longer_each_time(count: int, pause: float) -> None:
    assert Attempt("register", "", 1000.0, count, "", "").again == 1000.0 + pause


def test_new_pods_try_at_once_three_times_an_hour() -> None:
    record, now = NodeRecord(), 5000.0
    for at in (now, now + 1, now + 2):
        tries = record.tries_at(at)
        assert tries is not None
        record = NodeRecord(tries=tries)
    assert record.tries_at(now + 3599) is None
    assert record.tries_at(now + 3600) == (now + 1, now + 2, now + 3600)


_SEEN = some.builds(
    _seen,
    engine=some.sampled_from([NodeEngine("containerd", "1"), NodeEngine(obstacle="no")]),
    archive=some.sampled_from([None, "old", "new"]),
    proved=some.sampled_from([None, "old", "new"]),
    release=some.sampled_from([None, "r1", "by hand"]),
    policy_in_force=some.sampled_from([None, "p1", "q"]),
    policy_problem=some.sampled_from(["", "bad"]),
    machine=some.sampled_from(["", "containerd 1, kernel 6.1"]),
    registration=some.none() | some.builds(Registration, some.sampled_from([
        steps.ABSENT, steps.GONE, steps.CHANGED, steps.UPGRADED, steps.UNREADABLE,
        steps.INTERRUPTED, steps.IN_FORCE, steps.OTHER_FILES,
    ])),
    handlers=some.sampled_from([None, frozenset({"runc"}), LISTED]),
    failed=some.sampled_from([(), EARLIER["failed"]]),
    is_asked=some.booleans(),
)  # fmt: skip


@given(_SEEN)
def test_a_node_becomes_ready_only_if_its_handler_was_proved(seen: Seen) -> None:
    found = steps.decide(seen)
    if found.is_ready:
        assert seen.registration is not None
        assert seen.registration.word in (steps.IN_FORCE, steps.OTHER_FILES)
        assert seen.handlers is None or "runc-wrap" in seen.handlers
        assert seen.installed == seen.record.proved
        assert seen.installed == seen.wanted or seen.record.failed
    assert found.is_installed is None  # the installer never has a node selected no more


ENGINES = [
    ("containerd://1.7.24", NodeEngine("containerd", "1.7.24")),
    ("containerd://2.2.2-bd1.34", NodeEngine("containerd", "2.2.2-bd1.34")),
    ("cri-o://1.34.1", NodeEngine("crio", "1.34.1")),
    ("containerd://1.6.20~ds1", NodeEngine("containerd", "1.6.20~ds1")),
    *((told, None) for told in ("containerd://1.5.18", "docker://26.1", "containerd://\x1b[31m")),
    *((told, NodeEngine(is_known=False)) for told in ("containerd://Unknown", "cri-o://", "", "x")),
]


@pytest.mark.parametrize(("told", "found"), ENGINES)
def test_the_engine_that_the_kubelet_names(told: str, found: NodeEngine | None) -> None:
    engine = steps.engine(told)
    assert engine == (found or NodeEngine(obstacle=engine.obstacle))
    assert bool(engine.obstacle) == (found is None)
    assert engine.obstacle.isprintable()

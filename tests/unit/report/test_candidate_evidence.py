"""What is said of candidates is not said of what is enforced, and the other way round."""

from dataclasses import replace
from typing import Any

import pytest

from runc_wrap.evidence.sightings import AUDIT, OBSERVE
from runc_wrap.evidence.store.evidence_memory import Evidence
from runc_wrap.ledger.decision_record import Ledger, Record
from runc_wrap.profiles import return_codes
from runc_wrap.report import candidate_evidence
from runc_wrap.report.call_outcomes import Filter
from tests.unit.evidence.samples import GETPID, MOUNT, UNSHARE, sighting
from tests.unit.report import test_verdict
from tests.unit.report.test_verdict import BEGIN, HOUR, Case

DAY = 86400.0
DIGEST = "d" * 64
PRESENT = {"next": DIGEST}
LOG, EPERM, NOTIFY = return_codes.LOG, return_codes.ERRNO | 1, return_codes.USER_NOTIF
SOCKET = 41


profile = test_verdict.profile  # denies mount and unshare, and some families of socket


class Node(Case):
    """Ledger and evidence, and the two reports on them."""

    def __init__(self, profile: Filter) -> None:
        super().__init__(profile)
        self.now = BEGIN + DAY
        self.evidence.add_watched(AUDIT, BEGIN, self.now)
        self.left: dict[str, list[str]] = {}

    def container(self, name: str = "c1", mode: str = "enforce", **changes: Any) -> None:
        beside = {"candidate": "next", "candidate_digest": DIGEST}
        super().container(name, mode=mode, **{**beside, **changes})

    def saw(self, name: str, number: int, code: int, at: float = HOUR) -> None:
        source = OBSERVE if code == NOTIFY else AUDIT
        one = sighting(number, code=code, time=BEGIN + at, source=source)
        self.evidence.add(("/run/test", name), one)

    def _judged(self, decided: Ledger, evidence: Evidence) -> dict[str, Any]:
        judging = self.judging(unpreviewed=self.unpreviewed)
        found = replace(judging, ledger=decided, evidence=evidence).judge()
        return {one.workload.container or "": one.as_json() for one in found}

    def unpreviewed(self, record: Record) -> list[str]:
        return self.left.get(record.id, [])

    def plain(self) -> dict[str, Any]:
        return self._judged(self.decided(), self.evidence)

    def beside(self) -> dict[str, Any]:
        ledger, evidence, _ = candidate_evidence.of(self.decided(), self.evidence, PRESENT)
        return self._judged(ledger, evidence)

    def notes(self) -> list[str]:
        ledger, _, others = candidate_evidence.of(self.decided(), self.evidence, PRESENT)
        return list(candidate_evidence.notes(ledger.records.values(), others, self.unpreviewed))


@pytest.fixture
def node(profile: Filter) -> Node:
    return Node(profile)


def test_a_logged_call_counts_for_the_candidate_and_not_for_what_is_enforced(node: Node) -> None:
    node.container("c1")
    node.saw("c1", MOUNT, LOG)
    node.saw("c1", SOCKET, LOG)  # audit has no family: the profile would deny some
    found = node.beside()["c1"]
    assert {one["syscall"] for one in found["calls"]} == {"mount", "socket"}
    assert (found["verdict"], found["profile"], found["modes"]) == ("denied", "next", ["candidate"])
    plain = node.plain()["c1"]
    assert (plain["verdict"], plain["calls"], plain["modes"]) == (None, [], ["enforce"])
    assert plain["reason"].startswith("Already enforced")


def test_a_logged_denial_counts_for_what_is_enforced_and_not_for_the_candidate(node: Node) -> None:
    node.container("c1", mode="enforce-log")
    node.saw("c1", MOUNT, EPERM)
    node.saw("c1", UNSHARE, LOG)
    assert [one["syscall"] for one in node.plain()["c1"]["calls"]] == ["mount"]
    assert [one["syscall"] for one in node.beside()["c1"]["calls"]] == ["unshare"]


def test_observe_looks_by_the_agent_only(node: Node) -> None:
    node.container("c1", mode="observe")
    assert node.beside()["c1"]["reason"] == test_verdict.UNWATCHED["reason"]
    node.evidence.add_watched(OBSERVE, BEGIN, BEGIN + DAY)
    node.saw("c1", MOUNT, NOTIFY)
    found = node.beside()["c1"]
    assert (found["verdict"], found["modes"]) == ("denied", ["observe"])
    plain = node.plain()["c1"]  # nobody sees what the profile itself denies
    assert (plain["verdict"], plain["calls"], plain["modes"]) == (None, [], ["enforce"])


def test_what_is_not_previewed_is_not_safe(node: Node) -> None:
    node.container("c1")
    node.left["c1"] = ["socket", "any call through x32"]
    found, told = node.beside()["c1"], "any call through x32, socket is not previewed"
    assert found["verdict"] is None
    assert found["reason"] == f"Unknown: what its candidate would deny of {told}."
    node.saw("c1", MOUNT, LOG)
    assert node.beside()["c1"]["verdict"] == "denied"  # which is not all that it would deny
    assert told in node.notes()[0]


ABSENT = [
    {"candidate": None, "candidate_digest": None},
    {"candidate": "before"},
    {"candidate_digest": "e" * 64},  # of the same name, with another text
]


@pytest.mark.parametrize("changes", ABSENT)
def test_a_container_without_the_present_candidate_is_not_looked_at(
    node: Node, changes: dict[str, Any]
) -> None:
    node.container("c1", **changes)
    node.saw("c1", MOUNT, LOG)
    assert node.beside() == {}
    (note,) = node.notes()
    assert note.startswith("not looked at: 1 running container of ")
    assert "c1; no candidate is for them, or they were created before it" in note


def test_what_came_before_the_last_start_is_not_the_candidates(node: Node) -> None:
    """The container was in audit then: engines start one again under the same id."""
    node.container("c1", time="2026-11-18T02:00:00Z")
    node.saw("c1", MOUNT, LOG, at=HOUR)
    node.saw("c1", UNSHARE, LOG, at=3 * HOUR)
    assert [one["syscall"] for one in node.beside()["c1"]["calls"]] == ["unshare"]


def test_of_an_earlier_start_with_a_candidate_nothing_counts_for_audit_now(node: Node) -> None:
    none: dict[str, Any] = {"candidate": None, "candidate_digest": None, "had_candidate": True}
    node.container("c1", mode="audit", time="2026-11-18T02:00:00Z", **none)
    node.saw("c1", SOCKET, LOG, at=HOUR)
    assert node.plain()["c1"]["calls"] == []
    node.saw("c1", MOUNT, LOG, at=3 * HOUR)
    assert [one["syscall"] for one in node.plain()["c1"]["calls"]] == ["mount"]


def test_a_call_that_the_candidate_allows_is_another_filters(node: Node) -> None:
    node.container("c1")
    node.saw("c1", GETPID, LOG)
    assert node.beside()["c1"]["verdict"] == "safe"

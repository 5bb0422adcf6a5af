"""What a node's report remembers while it judges."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from runc_wrap.ledger import decision_record as ledger_record
from runc_wrap.node.paths import Places
from runc_wrap.report import evidence_gathering
from tests.unit.evidence.samples import line

if TYPE_CHECKING:
    from pathlib import Path

    from runc_wrap.ledger.decision_record import Record


@pytest.mark.parametrize(
    ("other", "times"),
    [
        ({}, 1),
        ({"id": "c2"}, 1),
        ({"digest": "of the policy before"}, 2),
        ({"profile": "moby"}, 2),
        ({"mode": "observe"}, 2),
        ({"root": "/run/other"}, 2),
    ],
)
def test_containers_are_judged_by_the_profile_that_each_was_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, other: dict[str, Any], times: int
) -> None:
    asked: list[Record] = []

    class Profiles:
        def __init__(self, _: object) -> None:
            pass

        def of(self, record: Record) -> str:
            asked.append(record)
            return f"the {len(asked)}. profile"

    monkeypatch.setattr(evidence_gathering, "Profiles", Profiles)
    profile_of = evidence_gathering.profiles(Places(tmp_path))
    records = [
        ledger_record.of(line(digest="now")),
        ledger_record.of({**line(digest="now"), **other}),
    ]
    found = [profile_of(one) for one in (*records, *records)]
    assert (len(asked), len(set(found))) == (times, times)

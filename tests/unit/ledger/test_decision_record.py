"""The typed value of a ledger line."""

from __future__ import annotations

import pytest

from runc_wrap.ledger import decision_record

LINE = {"id": "a", "action": "inject", "mode": "audit", "via": "agent", "pid": 77}


def test_the_origin_is_who_decided_and_the_runtimes_pid() -> None:
    found = decision_record.of(LINE)
    assert (found.via, found.pid) == ("agent", 77)
    assert found.origin == ("agent", 77)
    assert found.key == ("", "a")


@pytest.mark.parametrize(
    ("action", "filters", "read"),
    [
        ("inject", None, 1),
        ("keep", None, 1),
        ("leave", None, 0),
        ("inject", 2, 2),
        ("leave", -1, 0),
    ],
)
def test_without_a_number_of_filters_the_action_tells_whether_there_is_one(
    action: str, filters: int | None, read: int
) -> None:
    assert decision_record.of({**LINE, "action": action, "filters": filters}).filters == read

"""The record of nightly targets: what is written is read again, and what is old is said."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

import pytest

from tests import nightly

if TYPE_CHECKING:
    from pathlib import Path

TODAY = dt.date(2026, 11, 29)


def _one(date: dt.date = TODAY, result: str = "passed") -> dict[str, object]:
    return {"date": date, "commit": "abc1234+", "result": result, "minutes": 1.5}


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    found = {"test-page": _one(), "test-perf": _one(result="failed")}
    nightly.save(found, tmp_path / "nightly.toml")
    assert nightly.load(tmp_path / "nightly.toml") == found


@pytest.mark.parametrize(
    ("one", "old"),
    [
        (None, True),
        (_one(), False),
        (_one(TODAY - dt.timedelta(10)), False),
        (_one(TODAY - dt.timedelta(11)), True),
        (_one(result="failed"), True),
    ],
)
def test_what_did_not_pass_within_ten_days_is_old(
    one: dict[str, object] | None, *, old: bool
) -> None:
    assert nightly.is_old(one, TODAY) is old


def test_a_command_that_fails_is_recorded_and_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nightly, "RECORD", tmp_path / "nightly.toml")
    assert nightly.main(["test-page", "false"]) == 1
    assert nightly.load(nightly.RECORD)["test-page"]["result"] == "failed"

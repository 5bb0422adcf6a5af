"""Error messages."""

import json
import os
from datetime import datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runc_wrap.hotpath import errors
from runc_wrap.hotpath.argv import Invocation


def _called(log: Path | str, log_format: str = "json") -> Invocation:
    return Invocation("create", {"log": str(log), "log-format": log_format}, "ID")


def test_the_log_is_text_unless_json_is_requested(tmp_path: Path) -> None:
    errors.report("x", _called(tmp_path / "log", ""))
    assert 'level=error msg="runc-wrap: x"' in (tmp_path / "log").read_text()


@pytest.mark.parametrize("log", ["", "/nowhere/at/all"])
def test_a_log_that_is_not_a_regular_file_is_harmless(
    log: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    errors.report("x", _called(log))
    assert list(tmp_path.iterdir()) == []
    assert capfd.readouterr().err == "runc-wrap: x\n"


def test_a_fifo_as_log_does_not_block(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "log")
    errors.report("x", _called(tmp_path / "log"))


def test_a_warning_is_only_logged(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "log").write_text("{}\n")
    errors.report("x", _called(tmp_path / "log"), level="warning")
    before, line = (tmp_path / "log").read_text().splitlines()
    assert (before, json.loads(line)["level"]) == ("{}", "warning")
    assert capfd.readouterr().err == ""


@given(st.text())
def test_foreign_text_is_short_and_harmless_however_it_is_written(text: str) -> None:
    shown = errors.quoted(text)
    assert shown.isprintable()
    assert len(shown) < 1300


@given(st.text(st.characters(blacklist_categories=())))
def test_a_message_of_any_characters_is_one_json_line(text: str) -> None:
    line = errors._line(errors.quoted(text), "error", "json")  # noqa: SLF001 - pure, its own test
    assert line.count(b"\n") == 1
    found = json.loads(line)
    assert (found.keys(), found["level"]) == ({"level", "msg", "time"}, "error")
    assert datetime.fromisoformat(found["time"]).utcoffset() is not None

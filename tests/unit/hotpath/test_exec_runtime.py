"""The launcher's arguments before the caller's, and the log: what is written and what goes."""

import json
import os
from datetime import datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runc_wrap.hotpath import errors
from runc_wrap.hotpath.argv import Invocation
from runc_wrap.hotpath.exec_runtime import Launch

VALUES = ["/prefix", "runc", "/usr/sbin/runc", "runc-wrap", "p", "=C"]
NAMES = "--prefix --kind --runtime --called-as --ignored --locale".split()
NAMED = [word for pair in zip(NAMES, VALUES, strict=True) for word in pair]
WORDS = ["--log", "x", "create", "ID"]


def _said(launch: Launch) -> list[str]:
    named = [launch.prefix, launch.kind, launch.runtime, launch.called_as]
    return [*named, launch.ignored, launch.locale, launch.ahead]


@pytest.mark.parametrize("called", [WORDS, [], ["--", "create"]])
def test_a_value_follows_each_name_and_the_callers_words_two_dashes(called: list[str]) -> None:
    for ahead, *more in (
        ("",),
        ("", "--ahead", ""),
        ("7:9", "--ahead", "7:9"),
        ("7:9", "--of-a-later-release", "--", "--ahead", "7:9"),
    ):
        launch = Launch([*NAMED, *more, "--", *called])
        assert _said(launch) == [*VALUES, ahead]
        assert launch.arguments == called


def test_a_value_may_look_like_a_name_or_be_two_dashes() -> None:
    """An engine may call us by any name."""
    for value in ("--", "--kind", "", "=C"):
        launch = Launch([*NAMED[:6], "--called-as", value, *NAMED[8:], "--", *WORDS])
        assert _said(launch) == [*VALUES[:3], value, *VALUES[4:], ""]
        assert launch.arguments == WORDS


def test_only_the_launchers_line_goes(tmp_path: Path) -> None:
    log = tmp_path / "log"
    for before, now, left in (
        ("ours\n", "ours\n", ""),
        ("ours\n", "ours\nanother's\n", "    \nanother's\n"),
        ("before\nours\n", "before\nours\n", "before\n"),
        ("ours\n", "new\n", "new\n"),  # another process removed it
    ):
        log.write_text("")
        descriptor = os.open(log, os.O_WRONLY | os.O_APPEND)
        os.write(descriptor, before.encode())
        log.write_text(now)
        Launch([*NAMED, "--ahead", f"{descriptor}:5", "--", *WORDS]).take_back()
        assert log.read_text() == left
        assert not Path(f"/proc/self/fd/{descriptor}").exists()


def test_a_log_that_cannot_be_truncated_is_still_closed(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("ours\n")
    descriptor = os.open(tmp_path / "log", os.O_RDONLY)  # as one that may only grow
    Launch([*NAMED, "--ahead", f"{descriptor}:5", "--", *WORDS]).take_back()
    assert (tmp_path / "log").read_text() == "ours\n"
    assert not Path(f"/proc/self/fd/{descriptor}").exists()


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

"""What the launcher says before the caller's words, and the log that is given back."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from runc_wrap.hotpath.exec_runtime import Launch

if TYPE_CHECKING:
    from pathlib import Path

FIRST = ["/prefix", "runc", "/usr/sbin/runc", "runc-wrap", "p", "=C"]
WORDS = ["--log", "x", "create", "ID"]


def _written(log: Path, before: str, line: str, since: str) -> int:
    """Return the descriptor through which the line was appended, between what others did."""
    log.write_text(before)
    descriptor = os.open(log, os.O_WRONLY | os.O_APPEND)
    os.write(descriptor, line.encode())
    with log.open("a") as other:
        other.write(since)
    return descriptor


def _is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


@pytest.mark.parametrize(("word", "ahead"), [([""], ""), (["7:9"], "7:9"), ([], "")])
def test_the_callers_words_follow_ours_also_from_the_launcher_of_the_release_before(
    word: list[str], ahead: str
) -> None:
    launch = Launch([*FIRST, *word, *WORDS])
    assert (launch.ahead, launch.arguments, launch.locale) == (ahead, WORDS, "=C")


@pytest.mark.parametrize("word", [[""], []])
def test_no_words_of_the_caller_are_none(word: list[str]) -> None:
    assert Launch([*FIRST, *word]).arguments == []


OTHERS = [
    ("", "", ""),
    ("", "another's\n", "    \nanother's\n"),
    ("before\n", "", "before\n"),
    ("before\n", "another's\n", "before\n    \nanother's\n"),
]


@pytest.mark.parametrize(("before", "since", "left"), OTHERS)
def test_the_line_is_taken_back_and_what_others_wrote_stays(
    tmp_path: Path, before: str, since: str, left: str
) -> None:
    log = tmp_path / "log"
    descriptor = _written(log, before, "ours\n", since)
    Launch([*FIRST, f"{descriptor}:5", *WORDS]).take_back()
    assert log.read_text() == left
    assert not _is_open(descriptor)


def test_a_line_that_another_has_cut_off_is_not_looked_for(tmp_path: Path) -> None:
    log = tmp_path / "log"
    descriptor = _written(log, "", "ours\n", "")
    log.write_text("new\n")
    Launch([*FIRST, f"{descriptor}:5", *WORDS]).take_back()
    assert log.read_text() == "new\n"


def test_a_log_that_cannot_be_cut_is_closed_all_the_same(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("ours\n")
    descriptor = os.open(tmp_path / "log", os.O_RDONLY)  # as one that may only grow
    Launch([*FIRST, f"{descriptor}:5", *WORDS]).take_back()
    assert (tmp_path / "log").read_text() == "ours\n"
    assert not _is_open(descriptor)

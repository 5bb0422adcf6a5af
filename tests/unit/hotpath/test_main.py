"""The launcher's arguments before the caller's, and the log that is restored."""

import os
import subprocess
import sys
from pathlib import Path
from signal import SIGPIPE, SIGXFSZ

import pytest

from runc_wrap.hotpath.exec_runtime import Launch

VALUES = ["/prefix", "runc", "/usr/sbin/runc", "runc-wrap", "p", "=C"]
NAMES = "--prefix --kind --runtime --called-as --ignored --locale".split()
NAMED = [word for pair in zip(NAMES, VALUES, strict=True) for word in pair]
WORDS = ["--log", "x", "create", "ID"]


def _is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


def _said(launch: Launch) -> list[str]:
    return [
        *[launch.prefix, launch.kind, launch.runtime, launch.called_as],
        *[launch.ignored, launch.locale, launch.ahead],
    ]


@pytest.mark.parametrize("called", [WORDS, [], ["--", "create"]])
@pytest.mark.parametrize(
    ("more", "ahead"),
    [
        ([], ""),
        (["--ahead", ""], ""),
        (["--ahead", "7:9"], "7:9"),
        (["--of-a-later-release", "--", "--ahead", "7:9"], "7:9"),
    ],
)
def test_each_name_is_followed_by_its_value_and_the_callers_words_by_two_dashes(
    more: list[str], ahead: str, called: list[str]
) -> None:
    launch = Launch([*NAMED, *more, "--", *called])
    assert _said(launch) == [*VALUES, ahead]
    assert launch.arguments == called


@pytest.mark.parametrize("value", ["--", "--kind", "", "=C"])
def test_a_value_may_look_like_a_name_or_be_two_dashes(value: str) -> None:
    """An engine may call us by any name."""
    launch = Launch([*NAMED[:6], "--called-as", value, *NAMED[8:], "--", *WORDS])
    assert _said(launch) == [*VALUES[:3], value, *VALUES[4:], ""]
    assert launch.arguments == WORDS


@pytest.mark.parametrize(
    ("before", "now", "left"),
    [
        ("ours\n", "ours\n", ""),
        ("ours\n", "ours\nanother's\n", "    \nanother's\n"),
        ("before\nours\n", "before\nours\n", "before\n"),
        ("ours\n", "new\n", "new\n"),  # another process removed it
    ],
)
def test_only_the_launchers_line_goes(tmp_path: Path, before: str, now: str, left: str) -> None:
    log = tmp_path / "log"
    log.touch()
    descriptor = os.open(log, os.O_WRONLY | os.O_APPEND)
    os.write(descriptor, before.encode())
    log.write_text(now)
    Launch([*NAMED, "--ahead", f"{descriptor}:5", "--", *WORDS]).take_back()
    assert log.read_text() == left
    assert not _is_open(descriptor)


def test_a_log_that_cannot_be_truncated_is_still_closed(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("ours\n")
    descriptor = os.open(tmp_path / "log", os.O_RDONLY)  # as one that may only grow
    Launch([*NAMED, "--ahead", f"{descriptor}:5", "--", *WORDS]).take_back()
    assert (tmp_path / "log").read_text() == "ours\n"
    assert not _is_open(descriptor)


@pytest.mark.parametrize("ignored", ["", "p", "x", "px"])
def test_the_runtime_ignores_the_signals_that_its_caller_ignored(ignored: str) -> None:
    """Python ignores both at its start."""
    words = [*NAMED[:4], "--runtime", "/bin/grep", "--ignored", ignored, "--"]
    launch = f"Launch({[*words, 'SigIgn', '/proc/self/status']})"
    code = f"from runc_wrap.hotpath.exec_runtime import *; hand_over({launch})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    mask = int(done.stdout.split()[1], 16)
    found = [bool(mask >> number - 1 & 1) for number in (SIGPIPE, SIGXFSZ)]
    assert found == ["p" in ignored, "x" in ignored]

"""How commands end by Ctrl-C, and when the reader of their output has enough: no traceback."""

from __future__ import annotations

import os
import subprocess
import time
from typing import TYPE_CHECKING

import pytest

from harness.host.processes import environment
from harness.shown.terminal import Session

if TYPE_CHECKING:
    from pathlib import Path

    from harness.node.install import Installed

INTERRUPTED, UNREAD = 130, 141  # as a shell says of a program that the signal ended


def test_ctrl_c_ends_watch_with_130_and_no_words(installed: Installed) -> None:
    session = Session([installed.ctl, "watch"])
    time.sleep(1)
    session.type("\x03")
    shown, status = session.end()
    assert status == INTERRUPTED, shown
    assert shown.replace("^C", "").strip() == ""


@pytest.mark.parametrize("command", ["report", "suggest"])
def test_ctrl_c_ends_a_long_report_with_130_and_no_words(
    installed: Installed, long_log: Path, command: str
) -> None:
    words = ["x"] if command == "suggest" else []
    session = Session([installed.ctl, command, *words, "--audit-log", long_log])
    time.sleep(0.7)
    session.type("\x03")
    shown, status = session.end()
    assert status == INTERRUPTED, shown
    assert "Traceback" not in shown


@pytest.mark.parametrize(
    "words",
    [
        ["profile", "show", "containerd"],
        ["profile", "list"],
        ["policy", "reference"],
        ["metrics"],
        ["status"],
        ["engine", "list"],
    ],
)
def test_a_reader_that_has_enough_ends_a_command_without_words(
    installed: Installed, words: list[str]
) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [installed.ctl, *words],
        stdout=writing,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
        check=False,
    )
    os.close(writing)
    assert (done.returncode, done.stderr) == (UNREAD, "")

"""How commands end by Ctrl-C: no traceback."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from harness.shown.terminal import Session

if TYPE_CHECKING:
    from pathlib import Path

    from harness.node.install import Installed

INTERRUPTED = 130  # as a shell says of a program that SIGINT ended


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

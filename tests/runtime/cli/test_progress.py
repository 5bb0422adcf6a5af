"""What a command shows on a terminal while it works, and that it shows it nowhere else."""

from __future__ import annotations

import re
import subprocess
from typing import TYPE_CHECKING

import pytest

from harness.host.processes import environment
from harness.shown.terminal import Session

if TYPE_CHECKING:
    from pathlib import Path

    from harness.node.install import Installed

SHOWN = "Reading records of calls"
ERASED = "\x1b[?25h\r\x1b[1A\x1b[2K"  # the cursor is visible again, and the line is gone
COLOUR = re.compile(r"\x1b\[[0-9;]*[1-9][0-9;]*m")


def _report(installed: Installed, log: Path, *words: str, **env: str) -> str:
    """Return all that `report` shows on a terminal."""
    argv: list[str | Path] = [installed.ctl, *words, "report", "--audit-log", log]
    shown, status = Session(argv, 100, **{"TERM": "xterm", **env}).end()
    assert status == 0, shown
    return shown


def test_a_terminal_shows_how_far_it_is_and_nothing_remains(
    installed: Installed, long_log: Path
) -> None:
    shown = _report(installed, long_log)
    before, found, after = shown.partition(ERASED)
    assert found, shown
    parts = [int(number) for number in re.findall(r"(\d+)%", before)]
    assert parts == sorted(parts)
    assert 0 < parts[0] < parts[-1] <= 100
    assert SHOWN in before
    assert "\x1b" not in after
    assert after.strip()


@pytest.mark.parametrize(
    ("words", "env"), [(["--quiet"], {}), ([], {"TERM": "dumb"}), ([], {"TERM": ""})]
)
def test_nothing_is_shown_if_it_is_not_wanted_or_cannot_be_taken_back(
    installed: Installed, long_log: Path, words: list[str], env: dict[str, str]
) -> None:
    assert "\x1b" not in _report(installed, long_log, *words, **env)


def test_nothing_is_coloured_with_no_color(installed: Installed, long_log: Path) -> None:
    assert COLOUR.search(_report(installed, long_log))
    shown = _report(installed, long_log, NO_COLOR="1")
    assert SHOWN in shown
    assert not COLOUR.search(shown)


def test_a_pipe_gets_the_documents_bytes_alone(installed: Installed, long_log: Path) -> None:
    done = subprocess.run(
        [installed.ctl, "report", "--json", "--audit-log", long_log],
        capture_output=True,
        env=environment(TERM="xterm"),
        check=True,
    )
    assert done.stdout.startswith(b"[")
    assert b"\x1b" not in done.stdout + done.stderr


def test_stdout_in_a_pipe_is_the_same_while_the_terminal_shows_it(
    installed: Installed, long_log: Path, tmp_path: Path
) -> None:
    line = f'"{installed.ctl}" report --audit-log "{long_log}" > "$0"'
    shown, status = Session(["sh", "-c", line, tmp_path / "out"], 100, TERM="xterm").end()
    assert (status, SHOWN in shown) == (0, True)
    assert "\x1b" not in (tmp_path / "out").read_text()


def test_json_on_a_terminal_shows_none(installed: Installed, long_log: Path) -> None:
    argv: list[str | Path] = [installed.ctl, "report", "--json", "--audit-log", long_log]
    shown, _ = Session(argv, 100, TERM="xterm").end()
    assert "\x1b" not in shown


def test_ctrl_c_takes_it_back_too(installed: Installed, long_log: Path) -> None:
    session = Session([installed.ctl, "report", "--audit-log", long_log], 100, TERM="xterm")
    session.until(SHOWN)
    session.type("\x03")
    shown, status = session.end()
    assert (status, ERASED in shown) == (130, True)
    assert "Traceback" not in shown

"""What a command shows on a terminal while it works, and how it ends by Ctrl-C."""

import re
from pathlib import Path

import pytest

from harness.node.install import Installed
from harness.shown.terminal import Session
from runc_wrap.cli.output import MOMENT

LOG = "type=SYSCALL msg=audit(1700000000.000:%d): arch=c000003e syscall=59 success=yes exit=0\n"
SHOWN = "Reading records of calls"
ERASED = "\x1b[?25h\r\n\x1b[1A\x1b[2K"  # the cursor is visible again, and the line is gone
INTERRUPTED = 130  # as a shell says of a program that SIGINT ended


@pytest.fixture(scope="session")
def long_log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A log that takes seconds to read."""
    path = tmp_path_factory.mktemp("log") / "audit.log"
    with path.open("w") as file:
        for number in range(2_000_000):
            file.write(LOG % number)
    return path


def _parts(shown: str) -> list[int]:
    return [int(number) for number in re.findall(r"(\d+)%", shown)]


def _report(installed: Installed, log: Path, *words: str, **env: str) -> Session:
    argv: list[str | Path] = [installed.ctl, *words, "report", "--audit-log", log]
    return Session(argv, 100, **{"TERM": "xterm", **env})


def test_a_terminal_shows_how_far_it_is_and_nothing_remains(
    installed: Installed, long_log: Path
) -> None:
    report = _report(installed, long_log)
    report.slowly(lambda text: len(set(_parts(text)) - {0}) > 1)
    shown, status = report.end()
    before, found, after = shown.partition(ERASED)
    assert (status, bool(found)) == (0, True), shown
    parts = _parts(before)
    assert parts == sorted(parts)
    assert parts[-1] <= 100
    assert SHOWN in before
    assert "\x1b" not in after
    assert after.strip()


@pytest.mark.parametrize(("words", "env"), [(["--quiet"], {}), ([], {"TERM": "dumb"})], ids=str)
def test_nothing_is_shown_if_it_is_not_wanted_or_cannot_be_taken_back(
    installed: Installed, long_log: Path, words: list[str], env: dict[str, str]
) -> None:
    report = _report(installed, long_log, *words, **env)
    report.reading(long_log)
    report.hold(2 * MOMENT)  # so long that it would show how far it is
    shown, status = report.end()
    assert (status, "\x1b" in shown) == (0, False), shown


@pytest.mark.parametrize("command", ["report", "suggest"])
def test_ctrl_c_ends_a_long_report_with_130_and_no_words(
    installed: Installed, long_log: Path, command: str
) -> None:
    words = ["x"] if command == "suggest" else []
    session = Session([installed.ctl, command, *words, "--audit-log", long_log])
    session.reading(long_log)
    session.type("\x03")
    shown, status = session.end()
    assert status == INTERRUPTED, shown
    assert "Traceback" not in shown

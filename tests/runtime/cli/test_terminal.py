"""What a command shows on a terminal while it works, and how it ends by Ctrl-C."""

import re
import subprocess
from pathlib import Path

import pytest

from harness.host.processes import environment
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


class _Report(Session):
    """`report` on a terminal, over a log that takes a second or more to read."""

    def __init__(self, log: Path, argv: list[str | Path], **env: str) -> None:
        self._log = log
        super().__init__(argv, 100, **{"TERM": "xterm", **env})

    def all_of_it(self) -> str:
        """Return all that it shows, to its end."""
        shown, status = self.end()
        assert status == 0, shown
        return shown

    def beyond_the_moment(self) -> None:
        """Let so much time pass while it works that it would show how far it is."""
        self.reading(self._log)
        self.hold(2 * MOMENT)


def _argv(installed: Installed, log: Path, *words: str) -> list[str | Path]:
    return [installed.ctl, *words, "report", "--audit-log", log]


def _parts(shown: str) -> list[int]:
    return [int(number) for number in re.findall(r"(\d+)%", shown)]


def test_a_terminal_shows_how_far_it_is_and_nothing_remains(
    installed: Installed, long_log: Path
) -> None:
    report = _Report(long_log, _argv(installed, long_log))
    report.slowly(lambda text: len(set(_parts(text)) - {0}) > 1)
    shown = report.all_of_it()
    before, found, after = shown.partition(ERASED)
    assert found, shown
    parts = _parts(before)
    assert parts == sorted(parts)
    assert parts[-1] <= 100
    assert SHOWN in before
    assert "\x1b" not in after
    assert after.strip()


@pytest.mark.parametrize(
    ("words", "env"), [(["--quiet"], {}), ([], {"TERM": "dumb"}), ([], {"TERM": ""})]
)
def test_nothing_is_shown_if_it_is_not_wanted_or_cannot_be_taken_back(
    installed: Installed, long_log: Path, words: list[str], env: dict[str, str]
) -> None:
    report = _Report(long_log, _argv(installed, long_log, *words), **env)
    report.beyond_the_moment()
    assert "\x1b" not in report.all_of_it()


def test_a_pipe_gets_the_documents_bytes_alone(installed: Installed, long_log: Path) -> None:
    done = subprocess.run(
        [installed.ctl, "report", "--json", "--audit-log", long_log],
        capture_output=True,
        env=environment(TERM="xterm"),
        check=True,
    )
    assert done.stdout.startswith(b"[")
    assert b"\x1b" not in done.stdout + done.stderr


def test_json_on_a_terminal_shows_none(installed: Installed, long_log: Path) -> None:
    report = _Report(long_log, [*_argv(installed, long_log), "--json"])
    report.beyond_the_moment()
    assert "\x1b" not in report.all_of_it()


def test_ctrl_c_ends_watch_with_130_and_no_words(installed: Installed) -> None:
    session = Session([installed.ctl, "watch"])
    session.listening()
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
    session.reading(long_log)
    session.type("\x03")
    shown, status = session.end()
    assert status == INTERRUPTED, shown
    assert "Traceback" not in shown

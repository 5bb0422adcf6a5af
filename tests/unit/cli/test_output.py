"""What all commands print: foreign text, tables, failures, and how far they are."""

import contextlib
import subprocess
import sys
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runc_wrap import safe_text
from runc_wrap.cli import output, verify
from runc_wrap.host.container_discovery import RUNNING, RuntimeContainer
from runc_wrap.host.progress_meter import Meter
from runc_wrap.node.container_state.container_status import Entry, Node
from tests.unit.cli import ctl
from tests.unit.node import machine


@given(st.text())
def test_control_characters_are_escaped(text: str) -> None:
    shown = safe_text.lines(text)
    assert all(c.isprintable() or c == "\n" for c in shown)
    assert safe_text.lines(shown) == shown
    assert shown.count("\n") == text.count("\n")


ROWS = [("name", "what", "n"), ("some", "lots of some words", "1"), ("", "a\nb", "22")]


WIDE = ["name  what                n", "some  lots of some words  1"]
LAID_OUT = {
    80: [*WIDE, "      a                   22", "      b"],
    15: ["name  what   n", "some  lots   1", "      of"],
    12: ["name: some", "what: lots", "of some", "words"],
}


@pytest.mark.parametrize("width", LAID_OUT)
def test_what_is_too_wide_goes_on_in_its_column(width: int) -> None:
    lines = LAID_OUT[width]
    assert list(output.laid_out(ROWS, width))[: len(lines)] == lines


TEXT = st.text("ab \n", max_size=12)


@given(st.lists(st.tuples(TEXT, TEXT, TEXT), min_size=1, max_size=4), st.integers(11, 60))
def test_no_line_is_too_wide_and_no_character_lost(rows: list[tuple[str, ...]], width: int) -> None:
    rows = [("X", "long", "XYZ"), *rows]
    lines = list(output.laid_out(rows, width))
    assert all(len(line) <= width for line in lines)
    given = "".join(cell for row in rows for cell in row)
    assert all("".join(lines).count(one) == given.count(one) for one in "ab")


ERRORS: list[tuple[Exception, str]] = [
    (ValueError("a\x1b"), "a\\x1b"),
    (ValueError("b\nc: it has\nlines"), "b\\nc: it has\nlines"),
    (OSError(28, "No room", "/f"), "/f: No room; try: make room on that file system (df -h shows"),
    (PermissionError(13, "No", "/f"), "/f: No; try: run it as root"),
]


@pytest.mark.parametrize(("error", "said"), ERRORS)
def test_a_failure_exits_with_2_and_is_a_sentence(
    error: Exception, said: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["", "b\nc"])
    with pytest.raises(SystemExit) as ended:
        output.end(error)
    assert ended.value.code == output.IMPOSSIBLE
    assert capsys.readouterr().err.startswith(f"Error: {said}")


SHORT = """
import os, sys, threading
sys.stderr.isatty = lambda: True
os.environ["TERM"] = "xterm"
from runc_wrap.cli import output
with output.progress("Working"):
    assert threading.active_count() == 2
assert threading.active_count() == 1
print([name for name in sys.modules if name == "click._termui_impl"])
"""


def test_what_is_done_in_a_moment_shows_nothing_and_loads_nothing() -> None:
    done = subprocess.run([sys.executable, "-c", SHORT], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("[]\n", "")


class Reached(Exception):
    """The slow part of a command was called."""


# A command's words, then what of it takes so long if that is several; what that calls
SLOW = {
    "verify": "node.container_state.container_status.gather",
    "verify --deep": "node.container_state.deep_verify.Comparing.compare",
    "status": "node.container_state.container_status.gather",
    "selftest": "cli.selftest._result",
    "doctor": "doctor.checks.run",
    "report": "report.evidence_gathering.gather",
    "apply": "apply.apply_policy.put_in_force",
    "metrics": "cli.metrics.metrics_collector.gather",
    "engine list": "engines.engine_status.listed",
    "engine status": "engines.engine_status.survey",
    "engine add docker --config F: its version": "engines.engine_class.Engine.facts",
    "engine add docker --config F: its own check":
        "engines.registration.registration_plan.carry_out_checked",
    "engine add docker --config F: what it shows": "engines.docker.docker_engine.Docker.problem",
    "engine add docker --config F --restart": "engines.transaction.transaction_run.run",
    "engine remove docker --config F": "engines.handler_removal.plan",
    "uninstall": "installation.uninstaller.plan",
}  # fmt: skip


@pytest.mark.parametrize("command", SLOW)
def test_each_command_that_may_take_long_shows_progress_while_it_does(
    command: str, node: ctl.Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = [word if word != "F" else str(node.places.prefix / "daemon.json")
             for word in command.partition(":")[0].split()]  # fmt: skip
    assert node.ctl("apply").exit_code == 0
    machine.fake(node.places.wrapper.parent, "runc-wrap", "true")
    shown: list[str] = []

    @contextlib.contextmanager
    def showing(what: str) -> Iterator[Meter]:
        shown.append(what)
        try:
            yield Meter()
        finally:
            shown.remove(what)

    def reached(*_words: object, **_named: object) -> None:
        raise Reached(*shown)

    if command == "verify --deep":
        one = RuntimeContainer("/run/runc", "one", "runc", RUNNING, 1, None, 0)
        found = Node([Entry(one, None, [])], 0, [])
        monkeypatch.setattr(verify, "look", lambda _places: found)
    monkeypatch.setattr(output, "progress", showing)
    monkeypatch.setattr(f"runc_wrap.{SLOW[command]}", reached)
    ended = node.ctl(*words).exception
    assert isinstance(ended, Reached), ended
    assert len(ended.args) == 1

"""When progress is shown, and what it counts."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from runc_wrap.cli import progress, verify
from runc_wrap.host.container_discovery import RUNNING, RuntimeContainer
from runc_wrap.host.progress_meter import Meter
from runc_wrap.node.container_state.container_status import Entry, Node
from tests.unit.node import machine

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.unit.cli import ctl

SHORT = """
import os, sys, threading
sys.stderr.isatty = lambda: True
os.environ["TERM"] = "xterm"
from runc_wrap.cli import progress
with progress.shown("Working"):
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
    "engine list": "engines.engine_list.survey",
    "engine status": "engines.transaction.engine_status.survey",
    "engine add docker --config F: its version": "engines.engine_class.Engine.facts",
    "engine add docker --config F: its own check":
        "engines.registration.plan_execution.carry_out_checked",
    "engine add docker --config F: what it shows": "engines.docker.docker_engine.Docker.problem",
    "engine add docker --config F --restart": "engines.transaction.transaction_run.run",
    "engine remove docker --config F": "engines.handler_removal.plan",
    "uninstall": "installation.uninstaller.plan",
    "uninstall --dry-run": "installation.uninstaller.plan",
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
        found = Node(
            [Entry(RuntimeContainer("/run/runc", "one", "runc", RUNNING, 1, None, 0), None, [])],
            0,
            [],
        )
        monkeypatch.setattr(verify, "look", lambda _places: found)
    monkeypatch.setattr(progress, "shown", showing)
    monkeypatch.setattr(f"runc_wrap.{SLOW[command]}", reached)
    ended = node.ctl(*words).exception
    assert isinstance(ended, Reached), ended
    assert len(ended.args) == 1

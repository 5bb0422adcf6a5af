"""`engine prove`: a canary through the registered handler; nothing is changed or left behind."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from runc_wrap.cli import engine as engine_command
from runc_wrap.cli.root_command import main
from runc_wrap.engines.handler import EngineError
from runc_wrap.engines.transaction.canary_proof import NotProved
from tests.unit.engines.engine_node import snapshot
from tests.unit.engines.transaction.killed_node import (
    UNIT,
    FakeEngine,
    interrupted,
    proved,
)

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.engines.transaction.killed_node import FakeNode


pytestmark = pytest.mark.usefixtures("registered")


def test_it_tells_what_a_canary_proves_and_leaves_the_node_as_it_was(
    one: FakeNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = snapshot(one.directory)
    monkeypatch.setattr(one, "restart", pytest.fail)
    assert one.prove() == "canary-runc-wrap runc-wrap"
    assert (snapshot(one.directory), one.canaries, one.timers) == (before, [], {})


@pytest.mark.parametrize("fault", ["it hangs", "it is unconfined"])
def test_a_canary_that_proves_nothing_changes_nothing(
    one: FakeNode, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    before = snapshot(one.directory)
    if fault == "it hangs":
        one.hangs = True
    else:
        proved(monkeypatch, NotProved("it is unconfined"))
    with pytest.raises((NotProved, EngineError), match=fault[3:]):
        one.prove()
    assert (snapshot(one.directory), one.canaries, one.timers) == (before, [], {})


def test_a_handler_that_is_the_default_is_proved_without_its_name_too(
    one: FakeNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    one.run(default=True)
    names: list[str] = []
    started = FakeEngine.canary

    def canary(engine: FakeEngine, handler: str, var: Path) -> object:
        names.append(handler)
        return started(engine, handler, var)

    monkeypatch.setattr(FakeEngine, "canary", canary)
    one.prove()
    assert names == ["runc-wrap", ""]


def test_what_is_not_registered_or_being_changed_is_not_proved(one: FakeNode) -> None:
    with pytest.raises(EngineError, match="other is not registered"):
        one.prove("other")
    interrupted(one)
    with pytest.raises(EngineError, match="is being changed by"):
        one.prove()


@pytest.mark.parametrize("is_well", [True, False])
def test_the_command_says_what_is_proved_or_why_not(
    one: FakeNode, monkeypatch: pytest.MonkeyPatch, *, is_well: bool
) -> None:
    monkeypatch.setattr(engine_command, "Systemd", lambda: one)
    monkeypatch.setattr(one, "access", lambda *_: FakeEngine(one, UNIT))
    if not is_well:
        proved(monkeypatch, NotProved("it is unconfined"))
    words = ["--prefix", str(one.places.prefix), "engine", "prove", "containerd", "--json"]
    result = CliRunner().invoke(main, [*words, "--config", str(one.config)])
    document = json.loads(result.stdout)
    told = ("canary-runc-wrap runc-wrap", None) if is_well else (None, "it is unconfined")
    assert (document["proved"], document["reason"]) == told
    assert result.exit_code == (0 if is_well else 1)

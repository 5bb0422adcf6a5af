"""`engine prove`: a canary through the registered handler; nothing is changed or left behind."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from runc_wrap.cli import engine_transaction
from runc_wrap.cli.main import main
from runc_wrap.engines.handler import EngineError
from runc_wrap.engines.transaction import canary_proof
from runc_wrap.engines.transaction.canary_proof import NotProved
from tests.unit.engines.engine_node import snapshot
from tests.unit.engines.transaction.killed_node import (
    UNIT,
    FakeEngine,
    interrupted,
    job,
    node,
    proved,
    run,
)

if TYPE_CHECKING:
    from pathlib import Path

    from runc_wrap.engines.registration.registration_state import Where
    from runc_wrap.node.paths import Places
    from tests.unit.engines.transaction.killed_node import FakeNode

TEXT = "# the owner's\nversion = 2\n"
Made = tuple["FakeNode", "Places", "Where"]


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Made:
    """A node with a registered handler whose engine may not be restarted any more."""
    proved(monkeypatch)
    one, places = node(tmp_path, TEXT)
    added = job(places, one.config)
    run(added, one)
    return one, places, added.where


def _prove(made: Made, handler: str = "runc-wrap") -> str:
    one, places, where = made
    return canary_proof.alone(places, where, handler, one)


def test_it_tells_what_a_canary_proves_and_leaves_the_node_as_it_was(
    made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, _, _ = made
    before = snapshot(one.directory)
    monkeypatch.setattr(one, "restart", pytest.fail)
    assert _prove(made) == "canary-runc-wrap runc-wrap"
    assert (snapshot(one.directory), one.canaries, one.timers) == (before, [], {})


@pytest.mark.parametrize("fault", ["it hangs", "it is unconfined"])
def test_a_canary_that_proves_nothing_changes_nothing(
    made: Made, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    one, _, _ = made
    before = snapshot(one.directory)
    if fault == "it hangs":
        one.hangs = True
    else:
        proved(monkeypatch, NotProved("it is unconfined"))
    with pytest.raises((NotProved, EngineError), match=fault[3:]):
        _prove(made)
    assert (snapshot(one.directory), one.canaries, one.timers) == (before, [], {})


def test_a_handler_that_is_the_default_is_proved_without_its_name_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    proved(monkeypatch)
    one, places = node(tmp_path, TEXT)
    added = job(places, one.config, default=True)
    run(added, one)
    names: list[str] = []
    started = FakeEngine.canary

    def canary(engine: FakeEngine, handler: str, var: Path) -> object:
        names.append(handler)
        return started(engine, handler, var)

    monkeypatch.setattr(FakeEngine, "canary", canary)
    canary_proof.alone(places, added.where, "runc-wrap", one)
    assert names == ["runc-wrap", ""]


def test_what_is_not_registered_or_being_changed_is_not_proved(made: Made) -> None:
    one, places, _ = made
    with pytest.raises(EngineError, match="other is not registered"):
        _prove(made, "other")
    interrupted(one, places)
    with pytest.raises(EngineError, match="is being changed by"):
        _prove(made)


@pytest.mark.parametrize("is_well", [True, False])
def test_the_command_says_what_is_proved_or_why_not(
    made: Made, monkeypatch: pytest.MonkeyPatch, *, is_well: bool
) -> None:
    one, places, where = made
    monkeypatch.setattr(engine_transaction, "Systemd", lambda: one)
    monkeypatch.setattr(one, "access", lambda *_: FakeEngine(one, UNIT))
    if not is_well:
        proved(monkeypatch, NotProved("it is unconfined"))
    words = ["--prefix", str(places.prefix), "engine", "prove", "containerd", "--json"]
    result = CliRunner().invoke(main, [*words, "--config", str(where.config)])
    document = json.loads(result.stdout)
    told = ("canary-runc-wrap runc-wrap", None) if is_well else (None, "it is unconfined")
    assert (document["proved"], document["reason"]) == told
    assert result.exit_code == (0 if is_well else 1)

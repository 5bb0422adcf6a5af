"""`engine prove`: a canary through the registered handler; nothing is changed or left behind."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from runc_wrap.cli import engine_transaction
from runc_wrap.cli.main import main
from runc_wrap.node.engines.canary.canary_proof import NotProved
from runc_wrap.node.engines.handler import EngineError
from runc_wrap.node.engines.transaction import (
    boot_unit,
    canary_alone,
    left_canaries,
    unfinished,
)
from tests.unit.node.engines.engine_node import snapshot
from tests.unit.node.engines.transaction.killed_node import (
    UNIT,
    FakeEngine,
    job,
    killed,
    node,
    proved,
    run,
)

if TYPE_CHECKING:
    from pathlib import Path

    from runc_wrap.node.engines.registration.registration_state import Where
    from runc_wrap.node.paths import Places
    from tests.unit.node.engines.transaction.killed_node import FakeNode

TEXT = "# the owner's\nversion = 2\n"
Made = tuple["FakeNode", "Places", "Where"]
MANY, MOST_CHANGES = 10, 100


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
    return canary_alone.run(places, where, handler, one, pytest.fail)


def test_it_tells_what_a_canary_proves_and_leaves_the_node_as_it_was(
    made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, places, _ = made
    before = snapshot(one.directory)
    monkeypatch.setattr(one, "restart", pytest.fail)
    assert _prove(made) == "canary-runc-wrap runc-wrap"
    assert (snapshot(one.directory), one.canaries, one.timers) == (before, [], {})
    assert left_canaries.noted(places) == {}


@pytest.mark.parametrize("fault", ["it hangs", "it is unconfined"])
def test_a_canary_that_proves_nothing_changes_nothing(
    made: Made, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    one, places, _ = made
    before = snapshot(one.directory)
    if fault == "it hangs":
        one.hangs = True
    else:
        proved(monkeypatch, NotProved("it is unconfined"))
    with pytest.raises((NotProved, EngineError), match=fault[3:]):
        _prove(made)
    assert (snapshot(one.directory), one.canaries, one.timers) == (before, [], {})
    assert left_canaries.noted(places) == {}


def test_a_handler_that_is_the_default_is_proved_without_its_name_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    proved(monkeypatch)
    one, places = node(tmp_path, TEXT)
    added = job(places, one.config, default=True)
    run(added, one)
    names: list[str] = []
    started = FakeEngine.canary

    def canary(engine: FakeEngine, handler: str) -> object:
        names.append(handler)
        return started(engine, handler)

    monkeypatch.setattr(FakeEngine, "canary", canary)
    canary_alone.run(places, added.where, "runc-wrap", one, pytest.fail)
    assert names == ["runc-wrap", ""]


def test_what_is_not_registered_or_being_changed_is_not_proved(made: Made) -> None:
    one, places, _ = made
    with pytest.raises(EngineError, match="other is not registered"):
        _prove(made, "other")
    run(job(places, one.config, tries=600.0), one)
    with pytest.raises(EngineError, match="is being changed by"):
        _prove(made)


@pytest.mark.parametrize("few", range(MOST_CHANGES // MANY))
def test_killed_anywhere_its_canary_is_noted_until_it_is_removed(made: Made, few: int) -> None:
    """The engine's own list of canaries is the parent's here: the note stands for it."""
    one, places, _ = made
    for at in range(few * MANY, (few + 1) * MANY):
        if not killed(at, lambda: _prove(made)):
            break
        assert len(left_canaries.noted(places)) <= 1
        one.canaries.append("left")
        if left_canaries.noted(places):
            _boot(made)
        _prove(made)
        assert one.canaries == []
        assert left_canaries.noted(places) == {}
        assert [*one.directory.rglob("*.new")] == []
        assert not _boot_unit(made).exists()


def _boot(made: Made) -> None:
    """Do what systemd does at the next boot, and see that canaries are removed later."""
    one, places, _ = made
    one.timers.clear()  # transient
    assert _boot_unit(made).exists()
    assert unfinished.revert_due(places, one) == []
    assert [*one.timers] == [left_canaries.timer(places)]


def _boot_unit(made: Made) -> Path:
    one, places, _ = made
    return one.units / "multi-user.target.wants" / boot_unit.name_of(places)


def test_what_a_power_cut_left_is_removed_by_the_timer_that_the_boot_starts(
    made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, places, _ = made
    monkeypatch.setattr(canary_alone, "_tidy", lambda *_: None)
    _prove(made)
    _boot(made)
    assert unfinished.clear_canaries(places, one).left == []
    assert left_canaries.noted(places) == {}
    assert not _boot_unit(made).exists()


@pytest.mark.parametrize("error", [OSError("read-only"), EngineError("a path", "one", "another")])
def test_where_no_unit_can_be_written_a_canary_proves_all_the_same(
    made: Made, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    one, places, _ = made

    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(one, "guard_boot", fail)
    monkeypatch.setattr(one, "release_boot", fail)
    assert _prove(made) == "canary-runc-wrap runc-wrap"
    assert left_canaries.noted(places) == {}


def test_an_engine_that_is_gone_meanwhile_has_its_canary_removed_later(
    made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, places, _ = made

    def stops(*_: object) -> str:
        one.stopped = True
        raise NotProved("it went away")

    monkeypatch.setattr("runc_wrap.node.engines.canary.canary_proof.check", stops)
    with pytest.raises(NotProved):
        _prove(made)
    (command,) = one.timers.values()
    assert [*command][-2:] == ["revert", "--canaries"]
    assert [left.engine for left in left_canaries.noted(places).values()] == ["containerd"]


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

"""A transaction is done whole or taken back whole, wherever it fails, and wherever it is killed."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.host.processes import short_directory
from runc_wrap.host import files
from runc_wrap.node.engines.canary.canary_proof import NotProved
from runc_wrap.node.engines.handler import EngineError
from runc_wrap.node.engines.registration import plan_execution, registration_state
from runc_wrap.node.engines.transaction import journal, steps, taking_back, unfinished
from tests.unit.node.engines.engine_node import snapshot
from tests.unit.node.engines.transaction.killed_node import UNIT, job, killed, node, proved, run

if TYPE_CHECKING:
    from pathlib import Path

    from runc_wrap.node.paths import Places
    from tests.unit.node.engines.transaction.killed_node import FakeNode

TEXT = "# the owner's\nversion = 2\n"
MANY, MOST_CHANGES = 30, 400
FAULTS: dict[str, tuple[dict[str, Any], str]] = {
    "it refuses its files": ({"refuses": "containerd refuses its files"}, "refuses its files"),
    "it does not come back": ({"breaks": lambda text: "runc-wrap" in text}, "it failed"),
    "the canary hangs": ({"hangs": True}, "the canary hangs"),
}


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[FakeNode, Places]:
    proved(monkeypatch)
    return node(tmp_path, TEXT)


def _engine(one: FakeNode) -> tuple[str, str]:
    """Return the engine's file, and what the engine has read of it."""
    return one.config.read_text(), one.read.read_text()


def _remains(one: FakeNode) -> list[str]:
    """Return what a transaction must not leave."""
    where = registration_state.Where(
        "containerd", one.config, one.directory, one.directory / "var/engines"
    )
    plan_execution.settle(where.change)  # as the next command does
    found = [*one.directory.rglob("*.new"), *one.directory.rglob(".runc-wrap-*")]
    found = [path for path in found if path.parent.name != "changes"]
    found += one.units.rglob("*.service")
    return [str(path) for path in found] + [*one.timers]


def test_a_change_that_is_proved_stays(made: tuple[FakeNode, Places]) -> None:
    one, places = made
    outcome = run(job(places, one.config), one)
    assert outcome.proof == "canary-runc-wrap runc-wrap"
    file, read = _engine(one)
    assert file == read != TEXT
    assert journal.unfinished(places) == {}
    assert _remains(one) == []
    (recorded,) = journal.all_of(places).values()
    assert (recorded.step, recorded.by, recorded.version) == ("done", journal.author(), "1.7.24")


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("action", [steps.ADD, steps.REMOVE])
def test_what_fails_is_taken_back_whole(
    made: tuple[FakeNode, Places], fault: str, action: str
) -> None:
    one, places = made
    if action == steps.REMOVE:
        run(job(places, one.config), one)
    before, changes = snapshot(one.directory), dict(FAULTS[fault][0])
    if action == steps.REMOVE and "breaks" in changes:
        changes["breaks"] = lambda text: "runc-wrap" not in text
    for name, value in changes.items():
        setattr(one, name, value)
    with pytest.raises(steps.TakenBack, match=FAULTS[fault][1]):
        run(job(places, one.config, action), one)
    assert snapshot(one.directory) == before
    assert one.answers()
    assert journal.unfinished(places) == {}
    assert len(journal.all_of(places)) == (action == steps.REMOVE)  # the one before counts again
    assert _remains(one) == []


def test_an_unconfined_canary_takes_the_change_back(
    made: tuple[FakeNode, Places], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, places = made
    proved(monkeypatch, NotProved("the ledger has no decision about the canary"))
    with pytest.raises(steps.TakenBack, match="no decision about the canary"):
        run(job(places, one.config), one)
    assert _engine(one) == (TEXT, TEXT)


def test_a_removal_is_the_same_backwards(made: tuple[FakeNode, Places]) -> None:
    one, places = made
    run(job(places, one.config), one)
    outcome = run(job(places, one.config, steps.REMOVE), one)
    assert outcome.proof == "the engine's default starts a container"
    assert _engine(one) == (TEXT, TEXT)
    assert _remains(one) == []


def test_a_restart_that_ends_containers_is_refused_unless_it_is_asked_for(
    made: tuple[FakeNode, Places],
) -> None:
    one, places = made
    before, one.ended = snapshot(one.directory), "3 containers"
    with pytest.raises(EngineError, match=r"ends 3 containers.*--stop-containers"):
        run(job(places, one.config), one)
    assert (snapshot(one.directory), one.timers) == (before, {})
    run(job(places, one.config, stops=True), one)
    assert _engine(one)[1] != TEXT


def test_without_systemd_nothing_is_changed(made: tuple[FakeNode, Places]) -> None:
    one, places = made
    one.has_systemd = False
    before = snapshot(one.directory)
    with pytest.raises(EngineError, match=r"no engine\.service"):
        run(job(places, one.config), one)
    assert snapshot(one.directory) == before
    assert journal.all_of(places) == {}


def test_a_timer_is_armed_before_anything_is_written(made: tuple[FakeNode, Places]) -> None:
    one, places = made
    armed: list[str] = []

    def arm(_name: str, _seconds: float, command: list[str], **_: object) -> None:
        assert not [*places.var.rglob("*.json")]
        armed.append(" ".join(command))
        raise EngineError("no timer", "a timer", "nothing")

    one.arm = arm  # type: ignore[method-assign, assignment]
    with pytest.raises(EngineError, match="no timer"):
        run(job(places, one.config), one)
    assert _engine(one) == (TEXT, TEXT)
    assert "engine revert --transaction" in armed[0]


def test_a_try_waits_to_be_confirmed(made: tuple[FakeNode, Places]) -> None:
    one, places = made
    outcome = run(job(places, one.config, tries=600.0), one)
    assert outcome.until
    assert [name.endswith("-try") for name in one.timers] == [True]
    (unit,) = one.units.glob("*.service")
    assert (one.units / "multi-user.target.wants" / unit.name).resolve() == unit
    assert "Before=containerd.service" in unit.read_text()
    assert f"runc-wrapctl --prefix {places.prefix} engine revert --due" in unit.read_text()
    assert unfinished.revert_due(places, one) == []
    with pytest.raises(EngineError, match=r"being changed by .* \(trying\)"):
        run(job(places, one.config), one)
    unfinished.confirm(places, None, one, pytest.fail)
    assert _engine(one)[1] != TEXT
    assert _remains(one) == []
    with pytest.raises(EngineError, match="no transaction waits"):
        unfinished.confirm(places, None, one, pytest.fail)


@pytest.mark.parametrize("why", ["its timer", "its time", "another boot", "its owner"])
def test_a_try_that_is_not_confirmed_is_taken_back(
    made: tuple[FakeNode, Places], monkeypatch: pytest.MonkeyPatch, why: str
) -> None:
    one, places = made
    run(job(places, one.config, tries=600.0), one)
    (trying,) = journal.unfinished(places).values()
    if why == "its timer":
        unfinished.revert_one(places, "another", one)
        assert _engine(one)[0] != TEXT
        unfinished.revert_one(places, trying.id, one)
    elif why == "its owner":
        unfinished.revert(places, "containerd", one, pytest.fail)
    else:
        if why == "another boot":
            monkeypatch.setattr(journal, "boot", lambda: "another")
        else:
            monkeypatch.setattr(time, "time", lambda: (trying.until or 0) + 1)
        unfinished.revert_due(places, one)
    assert _engine(one) == (TEXT, TEXT)
    assert journal.all_of(places) == {}
    assert _remains(one) == []


def test_at_boot_an_engine_that_does_not_run_is_not_started(
    made: tuple[FakeNode, Places], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, places = made
    run(job(places, one.config, tries=600.0), one)
    monkeypatch.setattr(journal, "boot", lambda: "another")
    one.state = lambda unit: "" if unit != UNIT else "inactive"  # type: ignore[method-assign]
    one.restart = lambda unit, how: pytest.fail(unit + how)  # type: ignore[method-assign]
    unfinished.revert_due(places, one)
    assert one.config.read_text() == TEXT


def test_a_file_that_its_owner_changed_meanwhile_is_not_overwritten(
    made: tuple[FakeNode, Places],
) -> None:
    one, places = made
    run(job(places, one.config, tries=600.0), one)
    own = one.config.read_text() + "# the owner's again\n"
    one.config.write_text(own)
    with pytest.raises(taking_back.NotTakenBackError, match="changed since"):
        unfinished.revert(places, None, one, pytest.fail)
    assert one.config.read_text() == own
    unfinished.confirm(places, None, one, pytest.fail)
    assert journal.unfinished(places) == {}


def test_a_full_disk_changes_nothing(
    made: tuple[FakeNode, Places], monkeypatch: pytest.MonkeyPatch
) -> None:
    """From any write on, the disk is full: a revert needs no room."""
    one, places = made
    replace, left = files.replace, 0

    def full(path: Path, *words: Any, **named: Any) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise OSError(28, "No space left on device", str(path))
        replace(path, *words, **named)

    monkeypatch.setattr(files, "replace", full)
    for room in range(MOST_CHANGES):
        left = room
        try:
            run(job(places, one.config), one)
        except (steps.TakenBack, OSError):
            left = MOST_CHANGES
            assert _engine(one) == (TEXT, TEXT), room
            assert (journal.all_of(places), _remains(one)) == ({}, []), room
        else:
            break
    assert room > 4


def test_killed_before_any_change_it_is_taken_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    proved(monkeypatch)
    for at in range(MOST_CHANGES):
        directory = tmp_path / str(at)
        directory.mkdir()
        one, places = node(directory, TEXT)
        was_killed = killed(at, lambda: run(job(places, one.config), one))  # noqa: B023 - called at once
        unfinished.revert_due(places, one)
        assert _whole(one, places) is not was_killed or at > MANY, at
        if not was_killed:
            break
    assert at > MANY


def _whole(one: FakeNode, places: Places) -> bool:
    """Tell whether a change is done; it must be either that, or taken back, in every place."""
    file, read = _engine(one)
    assert file == read
    assert journal.unfinished(places) == {}
    assert len([*places.engines.glob("*.json")]) == (file != TEXT)
    assert not _remains(one)
    return file != TEXT


@settings(max_examples=40, deadline=None)
@given(
    first=st.integers(0, 60), second=st.integers(0, 25), action=st.sampled_from(["add", "remove"])
)
def test_killed_while_it_is_taken_back_it_is_taken_back_later(
    first: int, second: int, action: str
) -> None:
    with short_directory("kill") as directory, pytest.MonkeyPatch.context() as patch:
        proved(patch)
        one, places = node(directory, TEXT)
        if action == "remove":
            run(job(places, one.config), one)
        before = _engine(one)
        killed(first, lambda: run(job(places, one.config, action), one))
        killed(second, lambda: unfinished.revert_due(places, one))
        unfinished.revert_due(places, one)
        file, read = _engine(one)
        assert file == read
        assert journal.unfinished(places) == {}
        if file != before[0]:
            assert action == "add" or file == TEXT

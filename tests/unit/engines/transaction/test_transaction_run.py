"""A transaction is done whole or taken back whole, wherever it fails, and wherever it is killed."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.host.processes import short_directory
from runc_wrap.engines.handler import EngineError
from runc_wrap.engines.registration import plan_execution, registration_state
from runc_wrap.engines.transaction import last_transaction, taking_back, transaction_run
from runc_wrap.host import change_set, files, locks
from tests.unit.engines.engine_node import snapshot
from tests.unit.engines.transaction.killed_node import (
    interrupted,
    job,
    killed,
    node,
    proved,
    run,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from runc_wrap.engines.handler import Handler
    from runc_wrap.node.paths import Places
    from tests.unit.engines.transaction.killed_node import FakeNode

TEXT = "# the owner's\nversion = 2\n"
MANY, MOST_CHANGES = 20, 400
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
    found = [*one.directory.rglob(".*.new"), *one.directory.rglob(".runc-wrap-*")]
    found = [path for path in found if path.parent.name != "proofs"]  # the next one replaces it
    found += one.units.rglob("*.service")
    return [str(path) for path in found] + [*one.timers]


def test_a_change_that_is_proved_stays(made: tuple[FakeNode, Places]) -> None:
    one, places = made
    outcome = run(job(places, one.config), one)
    assert outcome.proof == "canary-runc-wrap runc-wrap"
    file, read = _engine(one)
    assert file == read != TEXT
    assert taking_back.unfinished(places) == {}
    assert _remains(one) == []
    recorded = last_transaction.read(job(places, one.config).where)
    assert recorded
    assert (recorded.by, recorded.versions) == (last_transaction.author(), {"runc-wrap": "1.7.24"})


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("action", [transaction_run.ADD, transaction_run.REMOVE])
def test_what_fails_is_taken_back_whole(
    made: tuple[FakeNode, Places], fault: str, action: str
) -> None:
    one, places = made
    if action == transaction_run.REMOVE:
        run(job(places, one.config), one)
    before, changes = snapshot(one.directory), dict(FAULTS[fault][0])
    if action == transaction_run.REMOVE and "breaks" in changes:
        changes["breaks"] = lambda text: "runc-wrap" not in text
    for name, value in changes.items():
        setattr(one, name, value)
    with pytest.raises(transaction_run.TakenBack, match=FAULTS[fault][1]):
        run(job(places, one.config, action), one)
    assert snapshot(one.directory) == before
    assert one.answers()
    assert taking_back.unfinished(places) == {}
    assert _remains(one) == []


def test_a_container_that_came_meanwhile_takes_a_removal_back(
    made: tuple[FakeNode, Places],
) -> None:
    """It was started after the plan had been made, and before the engine read the new files."""
    one, places = made
    run(job(places, one.config), one)
    before = _engine(one)

    def came() -> None:
        raise EngineError("runc-wrap is needed by 1 container: new", "none", "stop it")

    with pytest.raises(transaction_run.TakenBack, match="needed by 1 container: new"):
        run(replace(job(places, one.config, transaction_run.REMOVE), look_again=came), one)
    assert _engine(one) == before


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


def test_timer_and_boot_are_there_before_anything_is_written(
    made: tuple[FakeNode, Places],
) -> None:
    one, places = made
    guard, armed = one.guard, list[str]()

    def fails(places: Places, unit: str, timer: str, command: Sequence[str]) -> None:
        assert not [*places.var.rglob("*.json")]
        guard(places, unit, timer, command)
        armed.append(" ".join(command))
        (written,) = one.units.glob("*.service")
        assert (one.units / "multi-user.target.wants" / written.name).resolve() == written
        assert "Before=containerd.service" in written.read_text()
        own = f"runc-wrapctl --prefix {places.prefix} engine revert --boot"
        assert own in written.read_text()
        raise EngineError("no timer", "a timer", "nothing")

    one.guard = fails  # type: ignore[method-assign]
    with pytest.raises(EngineError, match="no timer"):
        run(job(places, one.config), one)
    assert _engine(one) == (TEXT, TEXT)
    assert armed[0].endswith("engine revert")


def test_what_the_engine_refuses_beforehand_is_never_in_place(
    made: tuple[FakeNode, Places], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, places = made
    one.refuses_new = "containerd refuses its new file"
    monkeypatch.setattr(one, "restart", pytest.fail)
    monkeypatch.setattr(change_set, "_put", pytest.fail)
    with pytest.raises(transaction_run.TakenBack, match="refuses its new file"):
        run(job(places, one.config), one)
    assert _engine(one) == (TEXT, TEXT)
    assert _remains(one) == []


def test_at_boot_only_the_files_are_put_back(
    made: tuple[FakeNode, Places], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The engines start after that: none could be asked, or would be right to be started."""
    one, places = made
    interrupted(one, places)
    for name in ("access", "restart", "state"):
        monkeypatch.setattr(one, name, pytest.fail)
    (note,) = taking_back.everything(places, one, is_boot=True)
    assert (note.by, note.handler) == ("alice", "runc-wrap")
    assert one.config.read_text() == TEXT
    assert _remains(one) == []
    assert taking_back.everything(places, one, is_boot=True) == []


def test_a_stopped_engine_is_not_started(made: tuple[FakeNode, Places]) -> None:
    one, places = made
    interrupted(one, places)
    one.stopped = True
    one.restart = lambda unit, how: pytest.fail(unit + how)  # type: ignore[method-assign]
    taking_back.everything(places, one)
    assert one.config.read_text() == TEXT


def test_a_file_that_its_owner_changed_meanwhile_is_left_and_named(
    made: tuple[FakeNode, Places],
) -> None:
    one, places = made
    interrupted(one, places)
    own = one.config.read_text() + "# the owner's again\n"
    one.config.write_text(own)
    with pytest.raises(taking_back.NotTakenBackError, match=f"but for {one.config}"):
        taking_back.everything(places, one)
    assert one.config.read_text() == own
    assert taking_back.unfinished(places) == {}
    assert not [*places.engines.glob("*.json")]
    assert _remains(one) == []


def test_the_next_command_takes_back_what_was_interrupted(made: tuple[FakeNode, Places]) -> None:
    one, places = made
    interrupted(one, places)
    one.canaries.append("left")
    run(job(places, one.config, handler="other"), one)
    names = [each.name for each in _registered(places)]
    assert (names, one.canaries, _remains(one)) == (["other"], [], [])


def test_a_change_without_a_restart_that_another_command_is_at_is_not_undone(
    made: tuple[FakeNode, Places], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It holds its lock until the engine has checked its files; without it, it was killed."""
    one, places = made
    work = job(places, one.config)
    change_set.begin(work.where.change, [change_set.PathChange(one.config, TEXT.encode(), b"#\n")])
    monkeypatch.setattr(locks, "PATIENCE", 0.1)
    with (
        locks.locked(places.var, "engines"),
        pytest.raises(taking_back.NotTakenBackError, match="has held this lock"),
    ):
        taking_back.everything(places, one)
    assert one.config.read_text() == "#\n"
    assert taking_back.everything(places, one) == []
    assert one.config.read_text() == TEXT


def _registered(places: Places) -> list[Handler]:
    (state,) = registration_state.states(places.engines)
    return state.handlers


def test_a_full_disk_changes_nothing(
    made: tuple[FakeNode, Places], monkeypatch: pytest.MonkeyPatch
) -> None:
    """From any write on, the disk is full: a revert needs no room."""
    one, places = made
    write, left = files._write, 0  # noqa: SLF001 - of every file

    def full(path: str, *words: Any, **named: Any) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise OSError(28, "No space left on device", path)
        write(path, *words, **named)

    monkeypatch.setattr(files, "_write", full)
    for room in range(MOST_CHANGES):
        left = room
        try:
            run(job(places, one.config), one)
        except (transaction_run.TakenBack, OSError):
            left = MOST_CHANGES
            assert _engine(one) == (TEXT, TEXT), room
            assert (taking_back.unfinished(places), _remains(one)) == ({}, []), room
        else:
            break
    assert room > 3


def test_killed_before_any_change_it_is_taken_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    proved(monkeypatch)
    for at in range(MOST_CHANGES):
        directory = tmp_path / str(at)
        directory.mkdir()
        one, places = node(directory, TEXT)
        was_killed = killed(at, lambda: run(job(places, one.config), one))  # noqa: B023 - called at once
        taking_back.everything(places, one)
        plan_execution.settle(job(places, one.config).where.change)  # as the next command does
        assert _whole(one, places) is not was_killed or at > MANY, at
        if not was_killed:
            break
    assert at > MANY


def _whole(one: FakeNode, places: Places) -> bool:
    """Tell whether a change is done; it must be either that, or taken back, in every place."""
    file, read = _engine(one)
    assert file == read
    assert taking_back.unfinished(places) == {}
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
        killed(second, lambda: taking_back.everything(places, one))
        taking_back.everything(places, one)
        file, read = _engine(one)
        assert file == read
        assert taking_back.unfinished(places) == {}
        if file != before[0]:
            assert action == "add" or file == TEXT

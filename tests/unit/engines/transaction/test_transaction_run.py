"""A transaction is done whole or taken back whole, wherever it fails, and wherever it is killed."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.host.processes import short_directory
from runc_wrap.engines.handler import EngineError
from runc_wrap.engines.registration import registration_plan, registration_state
from runc_wrap.engines.transaction import transaction_record, transaction_revert, transaction_run
from runc_wrap.host import change_set, files, locks
from runc_wrap.node.paths import Places
from tests.unit.engines.engine_node import snapshot
from tests.unit.engines.transaction.killed_node import TEXT, FakeNode, killed, node, proved

MANY, MOST_CHANGES = 20, 400
FAULTS: dict[str, tuple[dict[str, Any], str]] = {
    "it refuses its files": ({"refuses": "containerd refuses its files"}, "refuses its files"),
    "it does not come back": ({"breaks": lambda text: "runc-wrap" in text}, "it failed"),
    "the canary hangs": ({"hangs": True}, "the canary hangs"),
    "no systemd": ({"has_systemd": False}, r"no engine\.service"),
}


def _engine(one: FakeNode) -> tuple[str, str]:
    """Return the engine's file, and what the engine has read of it."""
    return one.config.read_text(), one.read.read_text()


def _recorded(one: FakeNode) -> list[bytes]:
    """Return our records of the engine's handlers."""
    return [path.read_bytes() for path in one.places.engines.glob("*.json")]


def _remains(one: FakeNode) -> list[str]:
    """Return what a transaction must not leave."""
    found = [*one.directory.rglob(".*.new"), *one.directory.rglob(".runc-wrap-*")]
    found = [path for path in found if path.parent.name != "proofs"]  # the next one replaces it
    found += one.units.rglob("*.service")
    return [str(path) for path in found] + [*one.timers]


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("action", [transaction_run.ADD, transaction_run.REMOVE])
def test_what_fails_is_taken_back_whole(one: FakeNode, fault: str, action: str) -> None:
    if action == transaction_run.REMOVE:
        one.run()
    before, changes = snapshot(one.directory), dict(FAULTS[fault][0])
    if action == transaction_run.REMOVE and "breaks" in changes:
        changes["breaks"] = lambda text: "runc-wrap" not in text
    for name, value in changes.items():
        setattr(one, name, value)
    is_done = EngineError if fault == "no systemd" else transaction_run.TakenBack
    with pytest.raises(is_done, match=FAULTS[fault][1]):
        one.run(action)
    assert snapshot(one.directory) == before
    assert one.answers()
    assert transaction_record.unfinished(one.places) == {}
    assert _remains(one) == []


def test_a_container_that_came_meanwhile_takes_a_removal_back(one: FakeNode) -> None:
    """It was started after the plan had been made, and before the engine read the new files."""
    one.run()
    before = _engine(one)

    def came() -> None:
        raise EngineError("runc-wrap is needed by 1 container: new")

    with pytest.raises(transaction_run.TakenBack, match="needed by 1 container: new"):
        one.run(transaction_run.REMOVE, look_again=came)
    assert _engine(one) == before


def test_a_restart_that_ends_containers_is_refused_unless_it_is_asked_for(one: FakeNode) -> None:
    before, one.ended = snapshot(one.directory), "3 containers"
    with pytest.raises(EngineError, match=r"ends 3 containers.*--stop-containers"):
        one.run()
    assert (snapshot(one.directory), one.timers) == (before, {})
    one.run(stops=True)
    assert _engine(one)[1] != TEXT


def test_timer_and_boot_are_there_before_anything_is_written(one: FakeNode) -> None:
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
        raise EngineError("no timer")

    one.guard = fails  # type: ignore[method-assign]
    with pytest.raises(EngineError, match="no timer"):
        one.run()
    assert _engine(one) == (TEXT, TEXT)
    assert armed[0].endswith("engine revert")


def test_what_the_engine_refuses_beforehand_is_never_in_place(
    one: FakeNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    one.refuses_new = "containerd refuses its new file"
    monkeypatch.setattr(one, "restart", pytest.fail)
    monkeypatch.setattr(change_set, "_put", pytest.fail)
    with pytest.raises(transaction_run.TakenBack, match="refuses its new file"):
        one.run()
    assert _engine(one) == (TEXT, TEXT)
    assert _remains(one) == []


def test_at_boot_only_files_are_put_back(one: FakeNode, monkeypatch: pytest.MonkeyPatch) -> None:
    """The engines start after that: none could be asked, or would be right to be started."""
    one.interrupted()
    for name in ("access", "restart", "state"):
        monkeypatch.setattr(one, name, pytest.fail)
    (note,) = one.take_back(is_boot=True)
    assert (note.by, note.handler) == ("alice", "runc-wrap")
    assert one.config.read_text() == TEXT
    assert _remains(one) == []
    assert one.take_back(is_boot=True) == []


def test_a_stopped_engine_is_not_started(one: FakeNode) -> None:
    one.interrupted()
    one.stopped = True
    one.restart = lambda unit, how: pytest.fail(unit + how)  # type: ignore[method-assign]
    one.take_back()
    assert one.config.read_text() == TEXT


def test_a_file_that_its_owner_changed_meanwhile_is_left_and_named(one: FakeNode) -> None:
    one.interrupted()
    own = one.config.read_text() + "# the owner's again\n"
    one.config.write_text(own)
    with pytest.raises(transaction_revert.NotTakenBackError, match=f"but for {one.config}"):
        one.take_back()
    assert one.config.read_text() == own
    assert transaction_record.unfinished(one.places) == {}
    assert not [*one.places.engines.glob("*.json")]
    assert _remains(one) == []


def test_the_next_command_takes_back_what_was_interrupted(one: FakeNode) -> None:
    one.interrupted()
    one.canaries.append("left")
    one.run(handler="other")
    (state,) = registration_state.states(one.places.engines)
    assert (state.names, one.canaries, _remains(one)) == (["other"], [], [])


def test_a_change_without_a_restart_that_another_command_is_at_is_not_undone(
    one: FakeNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It holds its lock until the engine has checked its files; without it, it was killed."""
    change_set.begin(one.where.change, [change_set.PathChange(one.config, TEXT.encode(), b"#\n")])
    monkeypatch.setattr(locks, "PATIENCE", 0.1)
    with (
        locks.locked(one.places.var, "engines"),
        pytest.raises(transaction_revert.NotTakenBackError, match="has held this lock"),
    ):
        one.take_back()
    assert one.config.read_text() == "#\n"
    assert one.take_back() == []
    assert one.config.read_text() == TEXT


@pytest.mark.parametrize("is_second", [False, True])
def test_a_full_disk_changes_nothing(
    one: FakeNode, monkeypatch: pytest.MonkeyPatch, *, is_second: bool
) -> None:
    """From any write on, the disk is full: a revert needs no room, of our own record neither."""
    write, left = files.write_new, 0
    if is_second:
        one.run()
        one.hangs = True
    before = _engine(one), _recorded(one)

    def full(path: str, *words: Any, **named: Any) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise OSError(28, "No space left on device", path)
        write(path, *words, **named)

    monkeypatch.setattr(files, "write_new", full)
    for room in range(MOST_CHANGES):
        left = room
        try:
            one.run(default=is_second)
        except (transaction_run.TakenBack, OSError):
            is_full, left = left <= 0, MOST_CHANGES
            assert (_engine(one), _recorded(one)) == before, room
            assert (transaction_record.unfinished(one.places), _remains(one)) == ({}, []), room
            if not is_full:  # the canary's end
                break
        else:
            break
    assert room > 3


def test_killed_anywhere_it_is_taken_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    proved(monkeypatch)
    for at in range(MOST_CHANGES):
        (tmp_path / str(at)).mkdir()
        one = node(tmp_path / str(at))
        was_killed = killed(at, one.run)
        one.take_back()
        registration_plan.settle(one.where.change)  # as the next command does
        file, read = _engine(one)
        left = (transaction_record.unfinished(one.places), _remains(one))
        assert (file, *left) == (read, {}, []), at
        assert len([*one.places.engines.glob("*.json")]) == (file != TEXT), at
        assert (file == TEXT) is was_killed or at > MANY, at
        if not was_killed:
            break
    assert at > MANY


@settings(max_examples=40, deadline=None)
@given(
    first=st.integers(0, 60), second=st.integers(0, 25), action=st.sampled_from(["add", "remove"])
)
def test_killed_on_the_way_back_it_goes_back_later(first: int, second: int, action: str) -> None:
    with short_directory("kill") as directory, pytest.MonkeyPatch.context() as patch:
        proved(patch)
        one = node(directory)
        if action == "remove":
            one.run()
        before = _engine(one)
        killed(first, lambda: one.run(action))
        killed(second, one.take_back)
        one.take_back()
        registration_plan.settle(one.where.change)  # as the next command does
        file, read = _engine(one)
        assert file == read
        assert (transaction_record.unfinished(one.places), _remains(one)) == ({}, [])
        if file != before[0]:
            assert action == "add" or file == TEXT

"""A canary that outlives a power cut is removed once its engine runs, and named until then."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, cast

import pytest

from runc_wrap.node.engines.handler import EngineError
from runc_wrap.node.engines.transaction import (
    engine_status,
    journal,
    left_canaries,
    steps,
    taking_back,
    unfinished,
)
from runc_wrap.node.installation import uninstaller
from runc_wrap.node.installation.installation_record import Record
from tests.unit.node.engines.engine_node import snapshot
from tests.unit.node.engines.transaction.killed_node import (
    job,
    killed,
    node,
    proved,
    run,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from runc_wrap.node.engines.transaction.unit_control import Systemd
    from runc_wrap.node.paths import Places
    from tests.unit.node.engines.transaction.killed_node import FakeNode

TEXT = "version = 2\n"
NONE = left_canaries.Cleared([], [])
Cut = tuple["FakeNode", "Places"]


@pytest.fixture
def cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cut:
    """A node that lost its power while a change was proved, and boots: no engine runs yet."""
    proved(monkeypatch)
    one, places = node(tmp_path, TEXT)
    run(job(places, one.config, tries=600.0), one)
    ((path, trying),) = journal.unfinished(places).items()
    journal.write(path, replace(trying, step=journal.PROVING))
    monkeypatch.setattr(journal, "boot", lambda: "another")
    one.timers.clear()
    one.canaries.append("left")
    one.stopped = True
    return one, places


def _remains(one: FakeNode, places: Places) -> list[str]:
    notes = [str(path) for path in left_canaries.noted(places)]
    return [*one.canaries, *notes, *map(str, one.units.rglob("*.service"))]


def _booted(one: FakeNode, places: Places) -> list[str]:
    """Take back what the boot finds, and start the engine; return the timer's command."""
    unfinished.revert_due(places, one)
    assert one.config.read_text() == TEXT
    assert one.canaries == ["left"]
    assert [*one.units.rglob("*.service")] != []  # in case of another power cut
    one.stopped = False
    one.restart("engine.service", "restart")
    (command,) = one.timers.values()
    return [*command]


def _by_the_timer(one: FakeNode, places: Places) -> None:
    assert unfinished.clear_canaries(places, one) == NONE


def _by_the_uninstaller(one: FakeNode, places: Places) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(uninstaller, "Systemd", lambda: one)
        todo = uninstaller.Plan(places, Record(), [], {}, None, purges=False)
        first = next(uninstaller.steps(todo))
        assert first.what == "remove the canaries that a power cut left"
        first.do()
    assert (one.timers, todo.left) == ({}, [])


def _by_revert(one: FakeNode, places: Places) -> None:
    assert unfinished.revert(places, None, one, pytest.fail) == []


def _by_the_next_change(one: FakeNode, places: Places) -> None:
    run(job(places, one.config), one)


@pytest.mark.parametrize(
    "remove", [_by_the_timer, _by_revert, _by_the_next_change, _by_the_uninstaller]
)
def test_it_is_removed_when_its_engine_runs(
    cut: Cut, remove: Callable[[FakeNode, Places], None]
) -> None:
    one, places = cut
    command = _booted(one, places)
    assert command[-2:] == ["revert", "--canaries"]
    remove(one, places)
    assert _remains(one, places) == []


def test_as_long_as_its_engine_does_not_run_it_is_named_and_tried_again(cut: Cut) -> None:
    one, places = cut
    unfinished.revert_due(places, one)
    (left,) = unfinished.clear_canaries(places, one).left
    assert left == ("containerd", str(one.config), 1)
    before = snapshot(one.directory)
    (shown,) = (each.as_json() for each in engine_status.survey(places, cast("Systemd", one)))
    assert shown["drift"] == [left.told()]
    assert "1 of 100 tries" in left.told()
    assert snapshot(one.directory) == before
    unfinished.revert_due(places, one)  # another boot
    assert len(left_canaries.noted(places)) == 1


def test_an_engine_that_never_answers_again_is_given_up_and_that_is_said(cut: Cut) -> None:
    one, places = cut
    unfinished.revert_due(places, one)
    tries = 1
    while not (cleared := unfinished.clear_canaries(places, one)).given_up:
        assert [each.tries for each in cleared.left] == [tries]
        tries += 1
    assert tries == left_canaries.MOST_TRIES
    assert "did not answer in 100 tries" in cleared.given_up[0].given_up()
    assert cleared.left == []
    assert [*left_canaries.noted(places), *one.units.rglob("*.service")] == []


def _confirmed(one: FakeNode, places: Places, tell: Callable[[str], None]) -> None:
    run(job(places, one.config, tries=600.0), one)
    one.stopped = True
    _almost_given_up(one, places)
    unfinished.confirm(places, None, one, tell)


def _reverted(one: FakeNode, places: Places, tell: Callable[[str], None]) -> None:
    one.stopped = True
    _almost_given_up(one, places)
    assert unfinished.revert(places, None, one, tell) == []


def _changed_in_vain(one: FakeNode, places: Places, tell: Callable[[str], None]) -> None:
    one.stopped = True
    _almost_given_up(one, places)
    with pytest.raises(taking_back.NotTakenBackError):
        steps.run(job(places, one.config), one, lambda _: None, tell)


def _reverted_in_vain(one: FakeNode, places: Places, tell: Callable[[str], None]) -> None:
    """Also where the command then fails."""
    run(job(places, one.config, tries=600.0), one)
    one.stopped = True
    _almost_given_up(one, places)
    with pytest.raises(EngineError, match="no transaction of docker"):
        unfinished.revert(places, "docker", one, tell)


def _almost_given_up(one: FakeNode, places: Places) -> None:
    where = journal.directory(places) / "canaries" / "gone.json"
    where.parent.mkdir(exist_ok=True)
    note = left_canaries.Left("containerd", str(one.config), left_canaries.MOST_TRIES - 1)
    where.write_text(json.dumps(note._asdict()))


@pytest.mark.parametrize("command", [_confirmed, _changed_in_vain, _reverted, _reverted_in_vain])
def test_whichever_command_gives_up_a_canary_says_so(
    cut: Cut, command: Callable[[FakeNode, Places, Callable[[str], None]], None]
) -> None:
    one, places = cut
    one.stopped = False
    unfinished.revert_due(places, one)
    told: list[str] = []
    command(one, places, told.append)
    (sentence,) = told
    assert f"containerd ({one.config}) did not answer in 100 tries" in sentence
    assert left_canaries.noted(places) == {}


def test_an_uninstall_says_what_it_could_not_remove(
    cut: Cut, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, places = cut
    unfinished.revert_due(places, one)
    monkeypatch.setattr(uninstaller, "Systemd", lambda: one)
    todo = uninstaller.Plan(places, Record(), [], {}, None, purges=False)
    next(uninstaller.steps(todo)).do()
    (left,) = todo.left
    assert left.what == f"perhaps a canary in containerd ({one.config})"
    assert "`crictl rmp --force` the pod canary" in left.why
    assert one.timers == {}


def test_status_reads_where_nothing_can_be_written(cut: Cut) -> None:
    """A file system that is read-only, or full; the canary is left to the timer."""
    one, places = cut
    _booted(one, places)

    def shows() -> None:
        (shown,) = engine_status.survey(places, cast("Systemd", one))
        assert "may still have a canary of ours" in shown.drift[0]

    assert not killed(0, shows)  # it would be before its first change of a file
    assert one.canaries == ["left"]


def test_a_change_that_is_taken_back_by_an_engine_that_runs_leaves_no_note(cut: Cut) -> None:
    one, places = cut
    one.stopped = False
    unfinished.revert_due(places, one)
    assert _remains(one, places) == []


@pytest.mark.parametrize("why", ["its file was changed", "its journal is damaged"])
def test_a_change_that_stays_does_not_keep_what_others_left(cut: Cut, why: str) -> None:
    """Another engine's change is over, its canary and a second name of its file are left."""
    one, places = cut
    ((path, entry),) = journal.unfinished(places).items()
    left_canaries.note(places, path.with_name("another.json"), entry)
    over = replace(entry, id="over", step=journal.DONE)
    over.snapshot.id = "over"
    journal.write(path.with_name("over.json"), over)
    second = over.snapshot.former(0)
    second.write_text("left by a kill")
    if why == "its file was changed":
        one.config.write_text("# the owner's\n")
    else:
        path.write_text("{")
    with pytest.raises((taking_back.NotTakenBackError, EngineError)):
        unfinished.revert_due(places, one)
    assert not second.exists()
    assert {command[-1] for command in one.timers.values()} == {"--canaries", "--due"}
    assert [*one.units.rglob("*.service")] != []  # for the change that stays


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{",
        '{"engine": 1}',
        '{"engine": "x"}',
        '{"engine": "x", "config": "/y", "tries": []}',
    ],
)
def test_a_note_that_cannot_be_read_keeps_nothing_from_being_done(cut: Cut, text: str) -> None:
    one, places = cut
    unfinished.revert_due(places, one)
    (path,) = left_canaries.noted(places)
    path.with_name("another.json").write_text(text)
    one.stopped = False
    assert unfinished.clear_canaries(places, one) == NONE
    assert one.canaries == []

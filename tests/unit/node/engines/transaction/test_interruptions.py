"""Whatever ends a transaction's steps, it is taken back: a terminal that is gone, a defect."""

from __future__ import annotations

import json
import os
import signal
import tempfile
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from runc_wrap.host import files
from runc_wrap.node import installed_programs
from runc_wrap.node.engines import docker_config
from runc_wrap.node.engines.canary import canary_proof
from runc_wrap.node.engines.handler import EngineError
from runc_wrap.node.engines.registration import registration_plan, registration_state
from runc_wrap.node.engines.transaction import (
    file_snapshot,
    journal,
    steps,
    taking_back,
    unfinished,
    unit_control,
)
from runc_wrap.node.engines.transaction.file_snapshot import File, Snapshot
from tests.unit.node.engines.transaction.killed_node import UNIT, job, node, proved, run

if TYPE_CHECKING:
    from pathlib import Path

    from runc_wrap.node.paths import Places
    from tests.unit.node.engines.transaction.killed_node import FakeNode

TEXT = "# the owner's\nversion = 2\n"


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[FakeNode, Places]:
    proved(monkeypatch)
    return node(tmp_path, TEXT)


def _is_as_before(one: FakeNode, places: Places) -> bool:
    texts = {one.config.read_text(), one.read.read_text()}
    return texts == {TEXT} and not journal.all_of(places) and not one.timers


@pytest.mark.parametrize("said", range(6))
def test_a_terminal_that_is_gone_does_not_keep_it_from_being_taken_back(
    made: tuple[FakeNode, Places], said: int
) -> None:
    """Its HUP interrupts, and whatever is said from then on fails, as on a pipe without reader."""
    one, places = made
    one.hangs = True
    left = said

    def tell(_sentence: str) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise BrokenPipeError(32, "Broken pipe")

    with pytest.raises(steps.TakenBack):
        steps.run(job(places, one.config), one, tell, pytest.fail)
    assert _is_as_before(one, places)


def test_a_defect_of_ours_does_not_keep_it_from_being_taken_back(
    made: tuple[FakeNode, Places], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, places = made

    def defect(*_words: object) -> str:
        raise LookupError("a defect")

    monkeypatch.setattr(canary_proof, "check", defect)
    with pytest.raises(steps.TakenBack, match="LookupError: a defect"):
        run(job(places, one.config), one)
    assert _is_as_before(one, places)


def test_a_second_interruption_waits_until_it_is_taken_back(
    made: tuple[FakeNode, Places],
) -> None:
    one, places = made
    restart, interrupting = one.restart, [signal.SIGINT, signal.SIGTERM, signal.SIGINT]

    def interrupted(unit: str, how: str) -> str:
        if interrupting:
            os.kill(os.getpid(), interrupting.pop(0))
        return restart(unit, how)

    one.restart = interrupted  # type: ignore[method-assign]
    former = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with pytest.raises(steps.TakenBack, match=steps.INTERRUPTED):
            run(job(places, one.config), one)
    finally:
        signal.signal(signal.SIGTERM, former)
    assert interrupting == [signal.SIGINT]
    assert _is_as_before(one, places)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_text_that_only_a_reload_reads_is_put_back_after_a_kill(tmp_path: Path) -> None:
    config = tmp_path / "etc/daemon.json"
    config.parent.mkdir()
    file = File(str(config), '{"debug": true}', "{}", docker_config.neutral('{"debug": true}'))
    before = Snapshot("1", [file], str(tmp_path / "var/record"))
    config.write_text("{}")
    assert file_snapshot.write_neutral(before) == config.read_text()
    said = json.loads(config.read_text())
    assert said == {"debug": True, "runtimes": {}, "default-runtime": "runc"}
    file_snapshot.put_back(before)
    assert config.read_text() == '{"debug": true}'
    config.write_text("[]")
    with pytest.raises(EngineError, match="changed since"):
        file_snapshot.write_neutral(before)
    assert config.read_text() == "[]"


def test_only_what_a_reload_of_the_former_file_would_keep_needs_more(tmp_path: Path) -> None:
    own = '{"runtimes": {"other": {"path": "/x"}}, "default-runtime": "other"}'
    for text, default, needs in (
        ("{}", False, True), (own, True, False), ('{"runtimes": {}}', False, False),
        ('{"runtimes": {}}', True, True),
    ):  # fmt: skip
        (tmp_path / "bin").mkdir(exist_ok=True)
        (tmp_path / "bin/runc-wrap").touch()
        config = tmp_path / "daemon.json"
        config.write_text(text)
        where = registration_state.Where("docker", config, tmp_path / "bin", tmp_path / "var")
        plan = registration_plan.plan_add(where, "runc-wrap", {}, default=default)
        (file,) = file_snapshot.of(plan, "1").files
        assert (file.neutral is not None) is needs, (text, default)


def test_at_boot_an_engine_that_reads_its_files_by_itself_is_not_waited_for(
    made: tuple[FakeNode, Places], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As k0s: it starts after the boot's unit, which would wait for it in vain."""
    one, places = made
    run(job(places, one.config, tries=600.0), one)
    ((path, trying),) = journal.unfinished(places).items()
    journal.write(path, replace(trying, how=taking_back.NOTHING, how_back=taking_back.NOTHING))
    monkeypatch.setattr(journal, "boot", lambda: "another")
    one.state = lambda unit: "inactive" if unit == UNIT else ""  # type: ignore[method-assign]
    one.breaks = lambda _text: True
    unfinished.revert_due(places, one)
    assert one.config.read_text() == TEXT
    assert journal.all_of(places) == {}


def test_a_second_registration_is_taken_back_on_a_full_disk(
    made: tuple[FakeNode, Places], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Our record of the first one is put back as the engine's file is: by a rename."""
    one, places = made
    run(job(places, one.config), one)
    before = [one.config.read_bytes(), *(path.read_bytes() for path in places.engines.iterdir())]
    restart = one.restart

    def full(path: Path, *_words: object, **_named: object) -> None:
        raise OSError(28, "No space left on device", str(path))

    def fills(unit: str, how: str) -> str:
        monkeypatch.setattr(files, "replace", full)
        return restart(unit, how)

    one.restart, one.hangs = fills, True  # type: ignore[method-assign]
    with pytest.raises(steps.TakenBack, match="No space left"):
        run(job(places, one.config, default=True), one)
    assert before == [one.config.read_bytes(), *(p.read_bytes() for p in places.engines.iterdir())]
    assert (one.read.read_bytes(), one.timers) == (before[0], {})
    assert journal.unfinished(places) == {}
    assert [*one.directory.rglob(".runc-wrap-*")] == []


def test_a_program_is_run_where_no_file_can_be_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "systemctl"
    program.write_text("#!/bin/sh\necho said; echo complained >&2; exit 3\n")
    program.chmod(0o755)
    monkeypatch.setattr(tempfile, "TemporaryFile", _no_room)
    monkeypatch.setattr(tempfile, "mkstemp", _no_room)
    ended = installed_programs.run(str(program), seconds=20)
    assert (ended.status, ended.printed, ended.said) == (3, "said\n", "complained")


def _no_room(*_words: object, **_named: object) -> None:
    raise FileNotFoundError(2, "No usable temporary directory found")


@pytest.mark.parametrize("vanishing", [1, 4, 5])
def test_a_canary_that_a_kubelet_ended_is_started_again_a_few_times(
    made: tuple[FakeNode, Places], monkeypatch: pytest.MonkeyPatch, vanishing: int
) -> None:
    one, places = made
    one.canaries.append("of a node that lost its power")
    left = vanishing

    def check(*_words: object) -> str:
        nonlocal left
        left -= 1
        if left >= 0:
            raise canary_proof.Vanished("it has no process any more")
        return "proved"

    monkeypatch.setattr(canary_proof, "check", check)
    if vanishing == 5:
        with pytest.raises(steps.TakenBack, match="no process any more"):
            run(job(places, one.config), one)
        assert _is_as_before(one, places)
    else:
        assert run(job(places, one.config), one).proof == "proved"
    assert one.canaries == []


def test_what_a_reload_does_not_mend_is_restarted_when_it_is_taken_back(
    made: tuple[FakeNode, Places],
) -> None:
    """As a dockerd that died of the new file: systemd does not reload what does not run."""
    one, places = made
    run(job(places, one.config, tries=600.0), one)
    ((path, trying),) = journal.unfinished(places).items()
    journal.write(path, replace(trying, how="reload", how_back="reload"))
    restart, asked = one.restart, list[str]()

    def dead(unit: str, how: str) -> str:
        asked.append(how)
        return restart(unit, how) if how == "restart" else f"{unit} is not active"

    one.restart = dead  # type: ignore[method-assign]
    unfinished.revert(places, None, one, pytest.fail)
    assert asked == ["reload", "restart"]
    assert _is_as_before(one, places)


@pytest.mark.parametrize("is_of_earlier_release", [False, True])
def test_what_needed_a_restart_is_taken_back_by_a_reload_where_that_is_enough(
    made: tuple[FakeNode, Places], *, is_of_earlier_release: bool
) -> None:
    """As Docker's last handler: only its removal needs one, which ends containers."""
    one, places = made
    run(job(places, one.config, tries=600.0), one)
    ((path, trying),) = journal.unfinished(places).items()
    assert (trying.how, trying.how_back) == ("restart", "restart")
    recorded = "" if is_of_earlier_release else "reload"
    journal.write(path, replace(trying, how_back=recorded))
    restart, asked = one.restart, list[str]()

    def notes(unit: str, how: str) -> str:
        asked.append(how)
        return restart(unit, "restart")

    one.restart = notes  # type: ignore[method-assign]
    unfinished.revert(places, None, one, pytest.fail)
    assert asked == (["restart"] if is_of_earlier_release else ["reload"])
    assert _is_as_before(one, places)


def test_a_masked_unit_that_runs_is_not_restarted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """systemd would refuse both the restart and the one that takes it back."""
    (tmp_path / "systemctl").write_text(
        '#!/bin/sh\n[ "$1" = is-active ] && echo active || cat "${0%/*}/enabled"\n'
    )
    (tmp_path / "systemctl").chmod(0o755)
    monkeypatch.setattr(installed_programs, "FIXED_PATH", (str(tmp_path), "/usr/bin", "/bin"))
    monkeypatch.setattr(unit_control, "RUNNING", tmp_path)
    for enabled, refusal in (("enabled", None), ("masked", "masked"), ("masked-runtime", "masked")):
        (tmp_path / "enabled").write_text(f"{enabled}\n")
        why = unit_control.Systemd().obstacle("docker.service")
        assert (why is None) is (refusal is None)
        assert why is None or "`systemctl unmask docker.service`" in str(why)


@pytest.mark.parametrize("text", ["", '{"format": 1', "[]", "soon", "never"])
def test_a_journal_that_cannot_be_read_does_not_keep_another_from_being_taken_back(
    made: tuple[FakeNode, Places], monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    one, places = made
    run(job(places, one.config, tries=600.0), one)
    (path,) = journal.unfinished(places)
    hostile = path.with_name("another.json")
    wrong = {"soon": ("until", "soon"), "never": ("step", "never")}
    hostile.write_text(text)
    if text in wrong:
        key, value = wrong[text]
        hostile.write_text(json.dumps(json.loads(path.read_text()) | {key: value}))
    monkeypatch.setattr(journal, "boot", lambda: "another")
    with pytest.raises(EngineError, match=r"another\.json.*then remove this one"):
        unfinished.revert_due(places, one)
    assert (one.config.read_text(), one.read.read_text()) == (TEXT, TEXT)
    assert not path.exists()
    hostile.unlink()
    unfinished.revert_due(places, one)
    assert [*one.units.rglob("*.service")] == []

"""Whatever ends a transaction's steps, it is taken back: a terminal that is gone, a defect."""

import json
import os
import signal
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn

import pytest

from runc_wrap.engines.docker import daemon_json
from runc_wrap.engines.handler import EngineError
from runc_wrap.engines.registration import registration_plan, registration_state
from runc_wrap.engines.transaction import canary_proof, transaction_revert, transaction_run
from runc_wrap.engines.transaction.engine_restart import Systemd
from runc_wrap.engines.transaction.transaction_record import Note, unfinished
from runc_wrap.host import files, program, systemd
from runc_wrap.node.paths import Places
from tests.unit.engines.transaction.killed_node import TEXT, FakeNode


def _is_as_before(one: FakeNode) -> bool:
    texts = {one.config.read_text(), one.read.read_text()}
    return texts == {TEXT} and not unfinished(one.places) and not one.timers


@pytest.mark.parametrize("said", range(6))
def test_without_its_terminal_it_is_taken_back_all_the_same(one: FakeNode, said: int) -> None:
    """Its HUP interrupts, and whatever is said from then on fails, as on a pipe without reader."""
    one.hangs = True
    left = said

    def tell(_sentence: str) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise BrokenPipeError(32, "Broken pipe")

    with pytest.raises(transaction_run.TakenBack):
        transaction_run.run(one.job(transaction_run.ADD), one, tell)
    assert _is_as_before(one)


def test_what_is_over_is_not_taken_back(one: FakeNode, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C comes between the record's end and the removal of what it names."""
    sync = files.sync

    def interrupted(directory: Path) -> None:
        has_read = "runc-wrap" in one.read.read_text()
        if directory == one.places.var / "changes" and has_read:
            os.kill(os.getpid(), signal.SIGINT)
        sync(directory)

    monkeypatch.setattr(files, "sync", interrupted)
    assert one.run()[0].after.names == ["runc-wrap"]
    assert "runc-wrap" in one.config.read_text()


def test_a_second_interruption_waits_until_it_is_taken_back(one: FakeNode) -> None:
    restart, interrupting = one.restart, [signal.SIGINT, signal.SIGTERM, signal.SIGINT]

    def interrupted(unit: str, how: str) -> str:
        if interrupting:
            os.kill(os.getpid(), interrupting.pop(0))
        return restart(unit, how)

    one.restart = interrupted  # type: ignore[method-assign]
    former = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with pytest.raises(transaction_run.TakenBack, match=transaction_run.INTERRUPTED):
            one.run()
    finally:
        signal.signal(signal.SIGTERM, former)
    assert interrupting == [signal.SIGINT]
    assert _is_as_before(one)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


class DockerNode(Systemd):
    """A node whose dockerd reads its file at each reload; `asked` is what it read, and how."""

    patience = 0.05

    def __init__(self, config: Path) -> None:
        self.config = config
        self.asked: list[tuple[str, str]] = []

    def access(self, engine: str, config: Path) -> Any:
        assert (engine, config) == ("docker", self.config)
        asked = {"has_read": lambda text, _: self.asked[-1][1] == text, "silence": str}
        return SimpleNamespace(unit="docker.service", remove_probes=lambda: None, **asked)

    def state(self, unit: str) -> str:
        assert unit == "docker.service"
        return "active"

    def restart(self, unit: str, how: str) -> str:
        assert unit == "docker.service"
        self.asked.append((how, self.config.read_text()))
        return ""

    def release(self, places: Places, timer: str = "") -> None:
        """No timer was armed, and no unit written."""


@pytest.mark.parametrize(
    ("killed", "is_boot"), [(False, False), (True, False), (True, True)], ids=["", "killed", "boot"]
)
def test_a_docker_that_would_keep_ours_reads_first_what_says_that_it_is_gone(
    tmp_path: Path, *, killed: bool, is_boot: bool
) -> None:
    """By a reload, which ends no container; also after a kill then. At a boot nothing runs."""
    former, config, places = '{"debug": true}', tmp_path / "etc/daemon.json", Places(tmp_path)
    for name, text in (("bin/runc-wrap", ""), ("etc/daemon.json", former)):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text(text)
    where = registration_state.Where("docker", config, places.wrapper.parent, places.engines)
    named = ("1", "docker", str(config), "runc-wrap", "add", "docker.service")
    plan = registration_plan.plan_add(where, "runc-wrap", {}, default=killed)
    registration_plan.carry_out(plan, asdict(Note(*named, "reload", "restart", 1e9, "alice")))
    if killed:
        config.write_text(daemon_json.neutral(former) or "")
    one = DockerNode(config)
    transaction_revert.everything(places, one, is_boot=is_boot)
    told = {"debug": True, "runtimes": {}, "default-runtime": "runc"}
    assert [(how, json.loads(text)) for how, text in one.asked] == [("reload", told)][is_boot:]
    assert config.read_text() == former


@pytest.mark.parametrize("vanishing", [1, 4, 5])
def test_a_canary_that_a_kubelet_ended_is_started_again_a_few_times(
    one: FakeNode, monkeypatch: pytest.MonkeyPatch, vanishing: int
) -> None:
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
        with pytest.raises(transaction_run.TakenBack, match="no process any more"):
            one.run()
        assert _is_as_before(one)
    else:
        assert one.run()[1] == "proved"
    assert one.canaries == []


def test_what_a_reload_does_not_mend_is_restarted_when_it_is_taken_back(one: FakeNode) -> None:
    """As a dockerd that died of the new file: systemd does not reload what does not run."""
    one.interrupted("restart", "reload")
    restart, asked = one.restart, list[str]()

    def dead(unit: str, how: str) -> str:
        asked.append(how)
        return restart(unit, how) if how == "restart" else f"{unit} is not active"

    one.restart = dead  # type: ignore[method-assign]
    one.take_back()
    assert asked == ["reload", "restart"]
    assert _is_as_before(one)


def test_an_engine_killed_before_its_restart_is_restarted_by_who_comes_next(one: FakeNode) -> None:
    """The record stays until the engine has read its former files again."""
    change = one.interrupted()
    one.restart = lambda unit, how: f"{how} of {unit} fails"  # type: ignore[method-assign]
    for _ in range(2):
        with pytest.raises(transaction_revert.NotTakenBackError, match="fails"):
            one.take_back()
        assert (one.config.read_text(), change.exists()) == (TEXT, True)
    del one.restart
    one.take_back()
    assert _is_as_before(one)


def test_an_engine_uninstalled_meanwhile_keeps_nothing_from_being_taken_back(one: FakeNode) -> None:
    one.interrupted()

    def access(engine: str, config: Path) -> NoReturn:
        del config
        raise EngineError(f"{engine} is not installed")

    one.access, one.stopped = access, True  # type: ignore[method-assign]
    one.take_back()
    assert (one.config.read_text(), registration_state.unfinished(one.places)) == (TEXT, [])


def test_a_masked_unit_is_not_restarted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """systemd would refuse both the restart and the one that takes it back."""
    (tmp_path / "systemctl").write_text(
        '#!/bin/sh\n[ "$1" = is-active ] && echo active || cat "${0%/*}/enabled"\n'
    )
    (tmp_path / "systemctl").chmod(0o755)
    monkeypatch.setattr(program, "FIXED_PATH", (str(tmp_path), "/usr/bin", "/bin"))
    monkeypatch.setattr(systemd, "BOOTED", tmp_path)
    for enabled, refusal in (("enabled", None), ("masked", "masked"), ("masked-runtime", "masked")):
        (tmp_path / "enabled").write_text(f"{enabled}\n")
        refused = pytest.raises(EngineError, match=r"try: `systemctl unmask docker\.service`")
        with refused if refusal else nullcontext():
            Systemd().check_unit("docker.service")


@pytest.mark.parametrize("text", ["", "[]", '{"note": {"id": 1}, "entries": []}'])
def test_an_unreadable_record_keeps_no_other_from_going_back(one: FakeNode, text: str) -> None:
    change = one.interrupted()
    hostile = change.with_name("another.json")
    hostile.write_text(text)
    with pytest.raises(
        transaction_revert.NotTakenBackError, match=r"another\.json.*then remove it"
    ):
        one.take_back()
    assert (one.config.read_text(), one.read.read_text()) == (TEXT, TEXT)
    assert not change.exists()
    hostile.unlink()
    assert one.take_back() == []
    assert not registration_state.unfinished(one.places)

"""`engine add --restart` and its kin: what is refused before anything is changed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NoReturn

import pytest
from click.testing import CliRunner

from runc_wrap.cli import engine_transaction
from runc_wrap.cli.root_command import main
from runc_wrap.engines import engine_registry
from runc_wrap.engines.handler import EngineError
from runc_wrap.engines.registration import registration_state
from runc_wrap.engines.transaction import last_transaction, transaction_run
from runc_wrap.engines.transaction.transaction_revert import Note
from runc_wrap.host import change_set, program, systemd
from runc_wrap.installation import uninstaller
from runc_wrap.node.paths import Places
from tests.unit.node import machine

if TYPE_CHECKING:
    from pathlib import Path

    from click.testing import Result


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Places:
    """An installation on a node without engines and without systemd."""
    monkeypatch.setattr(program, "FIXED_PATH", (str(tmp_path / "nothing"),))
    monkeypatch.setattr(systemd, "BOOTED", tmp_path / "no-systemd")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/runc-wrap").touch()
    (tmp_path / "lib/releases").mkdir(parents=True)
    return Places(tmp_path)


def _ctl(places: Places, *words: str) -> Result:
    return CliRunner().invoke(main, ["--prefix", str(places.prefix), *words])


def _docker(places: Places) -> list[str]:
    return ["docker", "--config", str(places.prefix / "daemon.json")]


def _interrupted(places: Places) -> registration_state.Where:
    """Leave what a transaction leaves that was killed."""
    config = places.prefix / "daemon.json"
    where = registration_state.Where("docker", config, places.wrapper.parent, places.engines)
    named = ("1", "docker", str(config), "runc-wrap", "add", "docker.service")
    note = Note(*named, "reload", "reload", 1e9, "alice")
    change_set.begin(where.change, [], note.as_json())
    return where


@pytest.mark.parametrize(
    ("installs", "words", "told"),
    [
        (False, ["--restart", "--dry-run"], "exclude each other"),
        (False, ["--restart"], "docker is not installed"),
        (True, ["--restart"], "systemd does not run here, and docker.service is restarted through"),
    ],
)
def test_what_cannot_be_done_is_refused_and_changes_nothing(
    places: Places, words: list[str], told: str, *, installs: bool
) -> None:
    if installs:
        machine.fake(places.prefix / "nothing", "dockerd", "echo Docker version 26.1.5")
    result = _ctl(places, "engine", "add", *_docker(places), *words)
    assert result.exit_code == 2
    assert told in " ".join(result.output.split())
    assert not (places.prefix / "daemon.json").exists()
    assert [*places.var.rglob("*.json")] == []


@pytest.mark.parametrize("action", ["add", "remove"])
def test_while_a_change_is_not_over_no_other_is_made(places: Places, action: str) -> None:
    assert _ctl(places, "engine", "add", *_docker(places)).exit_code == 0
    before = (places.prefix / "daemon.json").read_bytes()
    _interrupted(places)
    result = _ctl(places, "engine", action, *_docker(places), "--handler", "runc-wrap")
    assert result.exit_code == 2
    assert "daemon.json is being changed by alice" in " ".join(result.output.split())
    assert (places.prefix / "daemon.json").read_bytes() == before


def test_while_a_change_is_not_over_nothing_is_uninstalled(
    places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uninstaller, "check", lambda _: None)
    _interrupted(places)
    with pytest.raises(EngineError, match=r"daemon\.json is being changed by alice"):
        uninstaller.plan(places)


def test_a_change_without_a_transaction_is_nobodys_proof(places: Places) -> None:
    where = registration_state.Where(
        "docker", places.prefix / "daemon.json", places.wrapper.parent, places.engines
    )
    last_transaction.write(where, last_transaction.Proof(1.0, "alice"))
    assert last_transaction.read(where)
    assert _ctl(places, "engine", "add", *_docker(places)).exit_code == 0
    assert last_transaction.read(where) is None


def test_what_was_interrupted_is_named_and_a_damaged_record_too(places: Places) -> None:
    change = _interrupted(places).change
    result = _ctl(places, "engine", "status")
    assert result.exit_code == 1
    told = " ".join(result.output.split())
    assert "daemon.json by alice is under way or was interrupted" in told
    for text in ("", "{", "[]", '{"note": {"id": 1}, "entries": []}'):
        change.write_text(text)
        result = _ctl(places, "engine", "status")
        assert result.exit_code == 2
        assert str(change) in "".join(result.output.split("\n"))


def test_nothing_to_take_back_is_said(places: Places) -> None:
    assert _ctl(places, "engine", "revert").output == "nothing to take back\n"
    done = _ctl(places, "engine", "revert", "--boot", "--json")
    assert (done.exit_code, json.loads(done.stdout)) == (0, [])


def test_who_interrupts_auto_at_one_engine_keeps_the_others_as_they_are(
    places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def carry_out(job: transaction_run.Job, *, as_json: bool) -> NoReturn:
        assert not as_json
        asked.append(job.where.engine)
        raise transaction_run.TakenBack(transaction_run.INTERRUPTED)

    both = [engine_registry.at(one, places.prefix / one) for one in ("docker", "podman")]
    monkeypatch.setattr(engine_registry, "detected", lambda: both)
    monkeypatch.setattr(engine_transaction, "carry_out", carry_out)
    result = _ctl(places, "engine", "add", "auto", "--restart")
    assert (result.exit_code, asked) == (1, ["docker"])
    assert "skipped: it was interrupted" in " ".join(result.output.split())

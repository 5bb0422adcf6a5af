"""`engine add --restart` and its kin: what is refused before anything is changed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NoReturn

import pytest
from click.testing import CliRunner

from runc_wrap.cli import engine_transaction
from runc_wrap.cli.main import main
from runc_wrap.node import installed_programs
from runc_wrap.node.engines import engine_query
from runc_wrap.node.engines.handler import EngineError
from runc_wrap.node.engines.registration import registration_state
from runc_wrap.node.engines.transaction import journal, steps, unit_control
from runc_wrap.node.engines.transaction.journal import Journal
from runc_wrap.node.installation import uninstaller
from runc_wrap.node.paths import Places

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from click.testing import Result


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Places:
    """An installation on a node without engines and without systemd."""
    monkeypatch.setattr(installed_programs, "FIXED_PATH", (str(tmp_path / "nothing"),))
    monkeypatch.setattr(unit_control, "RUNNING", tmp_path / "no-systemd")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/runc-wrap").touch()
    return Places(tmp_path)


def _ctl(places: Places, *words: str) -> Result:
    return CliRunner().invoke(main, ["--prefix", str(places.prefix), *words])


def _docker(places: Places) -> list[str]:
    return ["docker", "--config", str(places.prefix / "daemon.json")]


def _install_dockerd(places: Places) -> None:
    """Install a dockerd that has a version and says yes to everything."""
    folder = places.prefix / "nothing"
    folder.mkdir()
    (folder / "dockerd").write_text("#!/bin/sh\necho Docker version 26.1.5\n")
    (folder / "dockerd").chmod(0o755)


def _being_tried(places: Places) -> registration_state.Where:
    """Leave what a transaction leaves that waits to be confirmed."""
    config = places.prefix / "daemon.json"
    where = registration_state.Where("docker", config, places.wrapper.parent, places.engines)
    entry = Journal(
        "1", "docker", str(config), "runc-wrap", "add", "docker.service", "reload",
        journal.TRYING, 1e9, journal.boot(), "alice", until=4e9,
    )  # fmt: skip
    journal.write(journal.path_of(places, where), entry)
    return where


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--try", "10m"], "--try needs --restart"),
        (["--restart", "--try", "10"], "is not a time from 1m to 24h"),
        (["--restart", "--try", "59s"], "is not a time from 1m to 24h"),
        (["--restart", "--try", "25h"], "is not a time from 1m to 24h"),
        (["--restart", "--dry-run"], "exclude each other"),
        (["--restart"], "docker is not installed"),
    ],
)
def test_what_cannot_be_done_is_refused_and_changes_nothing(
    places: Places, words: list[str], told: str
) -> None:
    result = _ctl(places, "engine", "add", *_docker(places), *words)
    assert result.exit_code == 2
    assert told in " ".join(result.output.split())
    assert not (places.prefix / "daemon.json").exists()


def test_without_systemd_a_restart_is_refused_with_the_unit_to_restart(places: Places) -> None:
    _install_dockerd(places)
    result = _ctl(places, "engine", "add", *_docker(places), "--restart")
    assert result.exit_code == 2
    assert "systemd does not run here, and docker.service is restarted through it" in result.output
    assert "then restart what runs as docker.service yourself" in result.output
    assert not (places.prefix / "daemon.json").exists()
    assert [*places.var.rglob("*.json")] == []


@pytest.mark.parametrize("action", ["add", "remove"])
def test_while_a_change_is_tried_no_other_is_made(places: Places, action: str) -> None:
    assert _ctl(places, "engine", "add", *_docker(places)).exit_code == 0
    before = (places.prefix / "daemon.json").read_bytes()
    _being_tried(places)
    result = _ctl(places, "engine", action, *_docker(places), "--handler", "runc-wrap")
    assert result.exit_code == 2
    assert "daemon.json is being changed by alice (trying)" in result.output
    assert (places.prefix / "daemon.json").read_bytes() == before


def test_while_a_change_is_tried_nothing_is_uninstalled(
    places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uninstaller, "check", lambda _: None)
    _being_tried(places)
    with pytest.raises(uninstaller.Refused, match="a change of docker is not over"):
        uninstaller.plan(places)


def test_a_change_without_a_transaction_is_nobodys_proof(places: Places) -> None:
    where = _being_tried(places)
    path = journal.path_of(places, where)
    found = journal.read(path)
    assert found is not None
    journal.finish(path, found)
    assert _ctl(places, "engine", "add", *_docker(places)).exit_code == 0
    assert journal.read(path) is None


def test_a_damaged_journal_is_said_to_be_one(places: Places) -> None:
    path = journal.path_of(places, _being_tried(places))
    for text in ("", "{", "[]", '{"format": 2}', '{"format": 1}'):
        path.write_text(text)
        result = _ctl(places, "engine", "status")
        assert result.exit_code == 2
        assert str(path) in "".join(result.output.split("\n"))


def test_a_journal_with_more_than_this_release_knows_is_said_to_be_anothers(places: Places) -> None:
    path = journal.path_of(places, _being_tried(places))
    found = json.loads(path.read_text())
    files = [{"path": "/x", "before": None, "after": None, "mode": 1}]
    found |= {"way": 1, "again": 2, "snapshot": {"id": "1", "files": files, "links": []}}
    path.write_text(json.dumps(found))
    result = _ctl(places, "engine", "status")
    assert result.exit_code == 2
    told = " ".join(result.output.split())
    assert "another release's journal, with again, links, mode, way; wanted the keys that" in told
    assert "argument" not in told


def test_nothing_to_confirm_is_said(places: Places) -> None:
    result = _ctl(places, "engine", "confirm")
    assert result.exit_code == 2
    assert "no transaction waits to be confirmed" in result.output
    due = _ctl(places, "engine", "revert", "--due", "--json")
    assert (due.exit_code, json.loads(due.stdout)) == (0, [])


def test_who_interrupts_auto_at_one_engine_keeps_the_others_as_they_are(
    places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def carry_out(job: steps.Job, *, as_json: bool) -> NoReturn:
        assert not as_json
        asked.append(job.where.engine)
        raise steps.TakenBack(steps.INTERRUPTED)

    both = [engine_query.installation(one, places.prefix / one) for one in ("docker", "podman")]
    monkeypatch.setattr(engine_query, "detected", lambda: both)
    monkeypatch.setattr(engine_transaction, "carry_out", carry_out)
    result = _ctl(places, "engine", "add", "auto", "--restart")
    assert (result.exit_code, asked) == (1, ["docker"])
    assert "skipped: it was interrupted" in " ".join(result.output.split())


GONE = "containerd did not answer in 100 tries"


def _taken_back() -> Exception:
    return steps.TakenBack("no proof")


def _refused() -> Exception:
    return EngineError("a file that is another's", "ours", "again")


@pytest.mark.parametrize("failure", [None, _taken_back, _refused])
@pytest.mark.parametrize("name", ["docker", "auto"])
def test_a_canary_that_is_given_up_is_in_the_document_or_said(
    places: Places,
    monkeypatch: pytest.MonkeyPatch,
    failure: Callable[[], Exception] | None,
    name: str,
) -> None:
    """Said is it where no document is printed, and to whoever wants none."""
    one = engine_query.installation("docker", places.prefix / "daemon.json")

    def run(
        job: steps.Job, _node: object, _tell: object, give_up: Callable[[str], None]
    ) -> steps.Outcome:
        give_up(GONE)
        if failure:
            raise failure()
        return steps.Outcome(job.plan(), "proved")

    _install_dockerd(places)
    monkeypatch.setattr(engine_query, "detected", lambda: [one])
    monkeypatch.setattr(steps, "run", run)
    words = ["engine", "add", *(_docker(places) if name == "docker" else [name]), "--restart"]
    document = _ctl(places, *words, "--json")
    is_refused = failure is _refused
    if document.stdout:
        found = json.loads(document.stdout)
        (row,) = found["engines"] if name == "auto" else [found]
        assert row.get("given_up") == (None if is_refused else [GONE])
    assert (GONE in document.stderr) is is_refused
    assert bool(document.stdout) is not (is_refused and name == "docker")
    plain = _ctl(places, *words)
    assert (GONE in plain.stderr, GONE in plain.stdout) == (True, False)

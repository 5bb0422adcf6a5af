"""runc-wrapctl engine: its output and exit status, and what is refused before anything changes."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import NoReturn

import pytest
from click.testing import CliRunner, Result

from runc_wrap.cli.root_command import main
from runc_wrap.engines import engine_registry
from runc_wrap.engines.containerd import distributions
from runc_wrap.engines.dependent_container import Dependent
from runc_wrap.engines.docker.docker_engine import Docker
from runc_wrap.engines.handler import EngineError
from runc_wrap.engines.registration import registration_state
from runc_wrap.engines.transaction import proof_record, transaction_run
from runc_wrap.engines.transaction.transaction_record import Note
from runc_wrap.host import change_set, program, systemd
from runc_wrap.installation import uninstaller
from runc_wrap.node.paths import Places
from tests.unit.node import machine

NODE = {"containerd": "config.toml", "crio": "crio.conf", "docker": "daemon.json"}


def _configs(tmp_path: Path) -> dict[str, Path]:
    return {name: tmp_path / "etc" / file for name, file in NODE.items()}


@pytest.fixture(autouse=True)
def _no_engine_is_asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nor is any file of this machine's engines touched, whatever a defect does."""
    for name, path in _configs(tmp_path).items():
        monkeypatch.setattr(engine_registry.ENGINES[name], "usual", path)
    monkeypatch.setattr(distributions, "ALL", ())
    monkeypatch.setattr(program, "FIXED_PATH", (str(tmp_path / "nothing"),))
    monkeypatch.setattr(systemd, "BOOTED", tmp_path / "no-systemd")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/runc-wrap").touch()
    (tmp_path / "lib/releases").mkdir(parents=True)


def _ctl(tmp_path: Path, *arguments: str, status: int | None = None) -> Result:
    result = CliRunner().invoke(main, ["--prefix", str(tmp_path), "engine", *arguments])
    assert status in (None, result.exit_code), result.output
    return result


def _refused(tmp_path: Path, *arguments: str) -> str:
    return " ".join(_ctl(tmp_path, *arguments, status=2).output.split())


def _docker(tmp_path: Path) -> list[str]:
    return ["docker", "--config", str(tmp_path / "daemon.json")]


def test_a_registration_is_shown_made_listed_and_removed(tmp_path: Path) -> None:
    config, launcher = f"{tmp_path}/daemon.json", f"{tmp_path}/bin/runc-wrap"
    shown = _ctl(tmp_path, "add", *_docker(tmp_path), "--dry-run")
    assert shown.output.startswith(f"--- /dev/null\n+++ {config}\n@@")
    assert f'+            "path": "{launcher}"\n' in shown.output
    assert not {tmp_path / "daemon.json", tmp_path / "var"} & {*tmp_path.iterdir()}
    added = json.loads(_ctl(tmp_path, "add", *_docker(tmp_path), "--default", "--json").output)
    assert (added["changed"], added["path"], added["wrong"]) == ([config], launcher, [])
    again = _ctl(tmp_path, "add", *_docker(tmp_path), "--default")
    assert (again.exit_code, again.output) == (0, "docker: already there: runc-wrap\n")
    listed = json.loads(_ctl(tmp_path, "list", "--json").output)
    named = {"config": config, "handler": "runc-wrap", "path": launcher}
    registered = {**named, "default": True, "in_force": None}
    found = {each["engine"]: each for each in listed}
    assert found["docker"]["registered"] == [registered]
    nothing: list[str] = []
    absent = {"binary": None, "version": None, "found": nothing, "registered": nothing}
    assert found["podman"] == {"engine": "podman", **absent}
    assert f"removed {config}" in _ctl(tmp_path, "remove", "docker").output
    added = _ctl(tmp_path, "add", *_docker(tmp_path), "--handler", "x").output
    assert f"created the link {tmp_path}/bin/x" in added
    assert "systemctl reload docker" in added
    assert "ends running containers" not in added


IMPOSSIBLE = {
    "a name that is taken": ("add docker --handler runc", "try: --handler runc-wrap"),
    "no engine": ("add cri-o", "'cri-o' is not one of"),
    "a version that is not known": ("add containerd --config x", "containerd-version"),
    "a misspelled directory": ("add docker --config /etc/x/y/z", "no such directory"),
    "nothing": ("add", "Missing argument"),
    "one engine's file for all": ("add auto --config /x", "engine's own option"),
    "one engine's version for all": ("add auto --containerd-version 2.1", "engine's own option"),
    "no engine is there": ("add auto", "no engine is on this node"),
    "one of two files": ("remove docker", "try: --config FILE"),
    "both": ("add docker --restart --dry-run", "exclude each other"),
    "no program": ("add docker --restart", "docker is not installed"),
}


@pytest.mark.parametrize("case", IMPOSSIBLE)
def test_an_impossible_command_exits_with_2(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words, told = IMPOSSIBLE[case]
    if case == "no engine is there":
        monkeypatch.setattr(engine_registry, "ENGINES", {})
    if case == "one of two files":
        for name in ("daemon.json", "other.json"):
            _ctl(tmp_path, "add", "docker", "--config", str(tmp_path / name))
    assert told in _refused(tmp_path, *words.split())


def test_a_containerd_without_cri_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    (tmp_path / "off.toml").write_text('disabled_plugins = ["io.containerd.grpc.v1.cri"]\n')
    config.write_text('version = 2\nimports = ["off.toml"]\n')
    words = ("add", "containerd", "--config", str(config), "--containerd-version", "1.7")
    assert "disables the CRI plugin" in _refused(tmp_path, *words)
    assert "runc-wrap" not in config.read_text()
    config.write_text("version = 2\n")  # which comes with its runtime class
    text = "kind: RuntimeClass\nmetadata:\n  name: runc-wrap\nhandler: runc-wrap"
    assert text in _ctl(tmp_path, *words).output


def test_control_characters_of_a_file_are_not_printed(tmp_path: Path) -> None:
    (tmp_path / "daemon.json").write_text('{"a": "\x7f\u202e\x9b"}\n', encoding="utf-8")
    result = _ctl(tmp_path, "add", *_docker(tmp_path), "--dry-run")
    assert r"\x7f\u202e\x9b" in result.output
    (tmp_path / "daemon.json").write_text('{"\x1b[2J": 1, "\x1b[2J": 2}\n')
    assert "\x1b" not in _ctl(tmp_path, "add", *_docker(tmp_path)).stderr


def test_a_name_that_a_container_needs_is_not_removed_but_handed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "daemon.json"
    config.write_text("{}")
    _ctl(tmp_path, "add", *_docker(tmp_path), "--default", "--handler", "x")
    registered = config.read_text()
    found = [Dependent("docker", "one\x1b[2J")]
    monkeypatch.setattr(Docker, "needing", lambda *_: iter(found))
    real = machine.fake(tmp_path, "real", "true")
    (tmp_path / "lib" / "runtime").mkdir()
    (tmp_path / "lib" / "runtime" / "runc").symlink_to(real)
    words = ("remove", *_docker(tmp_path), "--handler", "x")
    refused = _refused(tmp_path, *words)
    assert "is needed by 1 container: one" in refused
    assert "\x1b" not in refused
    assert config.read_text() == registered
    result = _ctl(tmp_path, *words, "--hand-over", status=0)
    told = f"yours to delete when no container needs it: the handler x in {config}, which leads to"
    assert told in result.output
    assert json.loads(config.read_text())["runtimes"] == {"x": {"path": str(real)}}
    assert json.loads(config.read_text())["default-runtime"] == "runc"
    assert (tmp_path / "bin" / "x").readlink() == real
    assert json.loads(_ctl(tmp_path, "list", "--json").output)[3]["registered"] == []
    _ctl(tmp_path, "add", *_docker(tmp_path), status=0)
    assert sorted(json.loads(config.read_text())["runtimes"]) == ["runc-wrap", "x"]


@pytest.fixture
def engines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Path]:
    """A node with these engines, each with its configuration, and its check of it as a program."""
    monkeypatch.setattr(program, "FIXED_PATH", (str(tmp_path / "programs"),))
    (tmp_path / "etc").mkdir()
    for name, printed in (
        ("containerd", "containerd containerd 2.3.4 x"),
        ("crio", "crio version 1.34.0"),
        ("dockerd", "Docker version 28.0.0, build x"),
    ):
        script = f"echo {printed}\n[ ! -e {tmp_path}/{name}.refuses ]"
        machine.fake(tmp_path / "programs", name, script)
    return _configs(tmp_path)


def test_of_two_containerds_both_are_listed_and_add_asks_for_one(
    tmp_path: Path, engines: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "k3s").touch()
    config, socket = str(tmp_path / "k3s"), str(tmp_path / "s")
    k3s = distributions.Distribution("k3s", config, socket, ("k3s.service",))
    monkeypatch.setattr(distributions, "ALL", (k3s,))
    shown = {e["engine"]: e["found"] for e in json.loads(_ctl(tmp_path, "list", "--json").output)}
    own, brought = shown["containerd"]
    assert (own["config"], own["version"]) == (str(engines["containerd"]), "2.3.4")
    names = {"distribution": "k3s", "unit": "k3s.service", "socket": socket}
    assert brought == {"config": config, "binary": None, "version": None, **names}
    both = f"containerd ({engines['containerd']}), containerd of k3s"
    assert both in _refused(tmp_path, "add", "containerd")


def test_auto_registers_with_every_engine_found(tmp_path: Path, engines: dict[str, Path]) -> None:
    found = json.loads(_ctl(tmp_path, "add", "auto", "--handler", "x", "--json").output)["engines"]
    assert [each["engine"] for each in found] == [*engines]
    assert all(each["changed"] for each in found)
    for name in NODE:
        assert _ctl(tmp_path, "remove", name, "--handler", "x").exit_code == 0
    assert not list((tmp_path / "etc").iterdir())


def test_auto_leaves_out_a_containerd_whose_cri_is_off_and_goes_on_after_an_error(
    tmp_path: Path, engines: dict[str, Path]
) -> None:
    engines["containerd"].write_text('version = 3\ndisabled_plugins = ["cri"]\n')
    engines["docker"].write_text("{")
    result = _ctl(tmp_path, "add", "auto", status=1)
    assert "skipped" in result.stderr
    assert "disables the CRI plugin" in result.stderr
    assert "is no valid JSON" in result.stderr
    assert (tmp_path / "etc/crio.conf.d/50-runc-wrap-runc-wrap.conf").exists()
    assert not (tmp_path / "etc/conf.d").exists()


def test_a_file_that_the_engine_refused_before_is_no_reason_to_take_it_back(
    tmp_path: Path, engines: dict[str, Path]
) -> None:
    (tmp_path / "dockerd.refuses").touch()
    result = _ctl(tmp_path, "add", "docker", status=1)
    assert "docker refuses its files" in result.stderr
    assert engines["docker"].exists()


def _where(tmp_path: Path) -> registration_state.Where:
    places = Places(tmp_path)
    config = tmp_path / "daemon.json"
    return registration_state.Where("docker", config, places.wrapper.parent, places.engines)


def _interrupted(tmp_path: Path) -> registration_state.Where:
    """Leave what a transaction leaves that was killed."""
    where = _where(tmp_path)
    named = ("1", "docker", str(where.config), "runc-wrap", "add", "docker.service")
    note = Note(*named, "reload", "reload", 1e9, "alice")
    change_set.begin(where.change, [], asdict(note))
    return where


def test_a_restart_that_nobody_can_do_is_refused_and_changes_nothing(tmp_path: Path) -> None:
    machine.fake(tmp_path / "nothing", "dockerd", "echo Docker version 26.1.5")
    told = "systemd does not run here, so that nothing restarts docker.service"
    assert told in _refused(tmp_path, "add", *_docker(tmp_path), "--restart")
    assert not (tmp_path / "daemon.json").exists()
    assert [*(tmp_path / "var").rglob("*.json")] == []


def test_while_a_change_is_not_over_no_other_is_made_and_nothing_is_uninstalled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert _ctl(tmp_path, "add", *_docker(tmp_path)).exit_code == 0
    before = (tmp_path / "daemon.json").read_bytes()
    _interrupted(tmp_path)
    told = "daemon.json is being changed by alice"
    for action in ("add", "remove"):
        assert told in _refused(tmp_path, action, *_docker(tmp_path), "--handler", "runc-wrap")
    monkeypatch.setattr(uninstaller, "check", lambda _: None)
    with pytest.raises(EngineError, match=told):
        uninstaller.plan(Places(tmp_path))
    assert (tmp_path / "daemon.json").read_bytes() == before


def test_a_change_without_a_transaction_is_nobodys_proof(tmp_path: Path) -> None:
    where = _where(tmp_path)
    proof_record.write(where, proof_record.Proof(1.0, "alice"))
    assert proof_record.read(where)
    assert _ctl(tmp_path, "add", *_docker(tmp_path)).exit_code == 0
    assert proof_record.read(where) is None


def test_what_was_interrupted_is_named_and_a_damaged_record_too(tmp_path: Path) -> None:
    change = _interrupted(tmp_path).change
    result = _ctl(tmp_path, "status", status=1)
    told = " ".join(result.output.split())
    assert "daemon.json by alice is under way or was interrupted" in told
    for text in ("", "{", "[]", '{"note": {"id": 1}, "entries": []}'):
        change.write_text(text)
        assert str(change) in _refused(tmp_path, "status").replace(" ", "")


def test_who_interrupts_auto_at_one_engine_keeps_the_others_as_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def run(job: transaction_run.Job, *_: object) -> NoReturn:
        asked.append(job.where.engine)
        raise transaction_run.TakenBack(transaction_run.INTERRUPTED)

    both = [engine_registry.at(one, tmp_path / one) for one in ("docker", "podman")]
    monkeypatch.setattr(engine_registry, "detected", lambda: both)
    monkeypatch.setattr(transaction_run, "run", run)
    result = _ctl(tmp_path, "add", "auto", "--restart")
    assert (result.exit_code, asked) == (1, ["docker"])
    assert "skipped: it was interrupted" in " ".join(result.output.split())

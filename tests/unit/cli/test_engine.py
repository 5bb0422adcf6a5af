"""The command line: its output and exit status."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from runc_wrap.cli.engine import diff
from runc_wrap.cli.main import main
from runc_wrap.node import installed_programs
from runc_wrap.node.engines.file_tree import Change

if TYPE_CHECKING:
    from click.testing import Result


@pytest.fixture(autouse=True)
def _no_engine_is_asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(installed_programs, "FIXED_PATH", (str(tmp_path / "nothing"),))
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/runc-wrap").touch()


def _ctl(tmp_path: Path, *arguments: str) -> Result:
    return CliRunner().invoke(main, ["--prefix", str(tmp_path), "engine", *arguments])


def _docker(tmp_path: Path) -> list[str]:
    return ["docker", "--config", str(tmp_path / "daemon.json")]


def test_add_says_what_it_changed_and_what_to_reload(tmp_path: Path) -> None:
    result = _ctl(tmp_path, "add", *_docker(tmp_path), "--handler", "x")
    assert result.exit_code == 0
    assert f"changed {tmp_path}/daemon.json" in result.output
    assert f"created the link {tmp_path}/bin/x" in result.output
    assert "systemctl reload docker" in result.output


def test_add_twice_says_already_there(tmp_path: Path) -> None:
    _ctl(tmp_path, "add", *_docker(tmp_path))
    result = _ctl(tmp_path, "add", *_docker(tmp_path))
    assert (result.exit_code, result.output) == (0, "docker: already there: runc-wrap\n")


def test_a_dry_run_prints_a_diff_and_writes_nothing(tmp_path: Path) -> None:
    result = _ctl(tmp_path, "add", *_docker(tmp_path), "--dry-run")
    assert result.exit_code == 0
    assert result.output.startswith(f"--- /dev/null\n+++ {tmp_path}/daemon.json\n@@")
    assert f'+            "path": "{tmp_path}/bin/runc-wrap"\n' in result.output
    assert not (tmp_path / "daemon.json").exists()
    assert not (tmp_path / "var").exists()


def test_containerd_comes_with_its_runtime_class(tmp_path: Path) -> None:
    config = ["--config", str(tmp_path / "config.toml")]
    result = _ctl(tmp_path, "add", "containerd", *config, "--containerd-version", "1.7.24")
    assert result.exit_code == 0
    assert "kind: RuntimeClass\nmetadata:\n  name: runc-wrap\nhandler: runc-wrap" in result.output


def test_json_is_one_document(tmp_path: Path) -> None:
    found = json.loads(_ctl(tmp_path, "add", *_docker(tmp_path), "--json").output)
    assert found["changed"] == [f"{tmp_path}/daemon.json"]
    assert found["path"] == f"{tmp_path}/bin/runc-wrap"
    assert found["wrong"] == []


def test_remove_finds_the_configuration_by_itself(tmp_path: Path) -> None:
    _ctl(tmp_path, "add", *_docker(tmp_path))
    result = _ctl(tmp_path, "remove", "docker")
    assert result.exit_code == 0
    assert f"removed {tmp_path}/daemon.json" in result.output


def test_remove_asks_which_of_two_configurations(tmp_path: Path) -> None:
    _ctl(tmp_path, "add", *_docker(tmp_path))
    _ctl(tmp_path, "add", "docker", "--config", str(tmp_path / "other.json"))
    result = _ctl(tmp_path, "remove", "docker")
    assert result.exit_code == 2
    assert "try: --config FILE" in result.stderr


def test_removing_an_unregistered_handler_succeeds(tmp_path: Path) -> None:
    result = _ctl(tmp_path, "remove", *_docker(tmp_path))
    assert (result.exit_code, result.output) == (0, "docker: not registered: runc-wrap\n")


@pytest.mark.parametrize(
    "arguments",
    [
        ["add", "docker", "--handler", "runc"],
        ["add", "crio"],
        ["add", "containerd", "--config", "x"],
        ["add"],
    ],
)
def test_an_impossible_command_exits_with_2(arguments: list[str], tmp_path: Path) -> None:
    assert _ctl(tmp_path, *arguments).exit_code == 2


def test_a_registration_with_a_problem_exits_with_1(tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    config.write_text('version = 2\ndisabled_plugins = ["io.containerd.grpc.v1.cri"]\n')
    result = _ctl(
        tmp_path, "add", "containerd", "--config", str(config), "--containerd-version", "1.7"
    )
    assert result.exit_code == 1
    assert "disables the CRI plugin" in result.stderr


def test_control_characters_of_a_file_are_not_printed(tmp_path: Path) -> None:
    (tmp_path / "daemon.json").write_text('{"a": "\x7f\u202e\x9b"}\n', encoding="utf-8")
    result = _ctl(tmp_path, "add", *_docker(tmp_path), "--dry-run")
    assert r"\x7f\u202e\x9b" in result.output
    (tmp_path / "daemon.json").write_text('{"\x1b[2J": 1, "\x1b[2J": 2}\n')
    assert "\x1b" not in _ctl(tmp_path, "add", *_docker(tmp_path)).stderr


def test_list_shows_what_is_registered(tmp_path: Path) -> None:
    _ctl(tmp_path, "add", *_docker(tmp_path), "--default")
    result = _ctl(tmp_path, "list", "--json")
    assert result.exit_code == 0
    found = {each["engine"]: each for each in json.loads(result.output)}
    assert found["docker"]["registered"] == [
        {
            "config": f"{tmp_path}/daemon.json",
            "handler": "runc-wrap",
            "path": f"{tmp_path}/bin/runc-wrap",
            "default": True,
            "kept": False,
            "in_force": None,
        }
    ]
    assert found["podman"] == {
        "engine": "podman",
        "binary": None,
        "version": None,
        "registered": [],
    }
    assert "not installed" in _ctl(tmp_path, "list").output


def test_a_diff_marks_a_missing_newline_at_the_end() -> None:
    assert diff(Change(Path("/f"), "a", "b\n")) == (
        "--- /f\n+++ /f\n@@ -1 +1 @@\n-a\n\\ No newline at end of file\n+b\n"
    )


def _made(tmp_path: Path, runtime: str) -> Path:
    """Make a container in the files of a Docker that does not run; return its directory."""
    found = tmp_path / "data" / "containers" / "0123"
    found.mkdir(parents=True)
    (found / "hostconfig.json").write_text(json.dumps({"Runtime": runtime}))
    (found / "config.v2.json").write_text(json.dumps({"Name": "/one\x1b[2J"}))
    return found


def _real_runtime(tmp_path: Path) -> Path:
    real = tmp_path / "real"
    real.write_text("#!/bin/sh\n")
    real.chmod(0o755)
    (tmp_path / "lib" / "runtime").mkdir(parents=True)
    (tmp_path / "lib" / "runtime" / "runc").symlink_to(real)
    return real


def test_a_name_that_a_container_needs_is_kept_until_it_is_gone(tmp_path: Path) -> None:
    config = tmp_path / "daemon.json"
    config.write_text(json.dumps({"data-root": str(tmp_path / "data")}))
    before = config.read_text()
    _ctl(tmp_path, "add", *_docker(tmp_path), "--default", "--handler", "x")
    made, real = _made(tmp_path, "x"), _real_runtime(tmp_path)
    result = _ctl(tmp_path, "remove", *_docker(tmp_path), "--handler", "x")
    assert result.exit_code == 0
    told = f"the name x stays and leads to {real}, without runc-wrap, for 1 containers: one"
    assert told in result.output
    assert "\x1b" not in result.output
    assert json.loads(config.read_text())["runtimes"] == {"x": {"path": str(real)}}
    assert json.loads(config.read_text())["default-runtime"] == "runc"
    (row,) = json.loads(_ctl(tmp_path, "list", "--json").output)[2]["registered"]
    assert (row["path"], row["kept"], row["default"]) == (str(real), True, True)
    assert (tmp_path / "bin" / "x").is_symlink()
    assert "still kept" in _ctl(tmp_path, "remove", *_docker(tmp_path), "--handler", "x").output
    (made / "hostconfig.json").write_text(json.dumps({"Runtime": "runc"}))
    _ctl(tmp_path, "remove", "docker", "--handler", "x")
    assert config.read_text() == before
    assert not (tmp_path / "bin" / "x").is_symlink()


def test_a_kept_name_is_registered_again(tmp_path: Path) -> None:
    config = tmp_path / "daemon.json"
    config.write_text(json.dumps({"data-root": str(tmp_path / "data")}))
    _ctl(tmp_path, "add", *_docker(tmp_path))
    _made(tmp_path, "runc-wrap")
    _real_runtime(tmp_path)
    _ctl(tmp_path, "remove", *_docker(tmp_path))
    _ctl(tmp_path, "add", *_docker(tmp_path))
    found = json.loads(config.read_text())["runtimes"]
    assert found == {"runc-wrap": {"path": f"{tmp_path}/bin/runc-wrap"}}


def test_a_removed_default_of_docker_is_read_at_a_restart_only(tmp_path: Path) -> None:
    (tmp_path / "daemon.json").write_text(json.dumps({"data-root": str(tmp_path / "data")}))
    (tmp_path / "data" / "containers").mkdir(parents=True)
    _ctl(tmp_path, "add", *_docker(tmp_path), "--default")
    assert "systemctl restart docker" in _ctl(tmp_path, "remove", *_docker(tmp_path)).output

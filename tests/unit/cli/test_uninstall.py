"""uninstall's refusals; what it does is tested on a machine of its own (tests/runtime/launcher)."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from runc_wrap.cli.root_command import main
from runc_wrap.engines import engine_registry
from runc_wrap.host import change_set
from runc_wrap.host.change_set import PathChange
from runc_wrap.installation import releases, uninstall_obstacles, uninstaller
from runc_wrap.node.paths import Places


def _failed(prefix: Path, *words: str) -> str:
    result = CliRunner().invoke(main, ["--prefix", str(prefix), "uninstall", *words])
    assert result.exit_code == 2
    return result.stderr


def _installed(prefix: Path) -> None:
    (prefix / "lib" / "releases").mkdir(parents=True)
    (prefix / "lib" / "current").symlink_to("releases/1")


def test_a_packages_files_are_the_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uninstaller, "PACKAGED", tmp_path)
    _installed(tmp_path)
    assert "belongs to a package: remove that with apt" in _failed(tmp_path)


@pytest.mark.parametrize("words", [(), ("--hand-over",), ("--dry-run",)])
def test_a_killed_install_is_still_taken_back_after_an_uninstall_that_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    made, current = tmp_path / "lib" / "installing.json", tmp_path / "lib" / "current"
    _installed(tmp_path)
    change_set.begin(made, [PathChange(current, "releases/1", "releases/2")])
    monkeypatch.setattr(uninstall_obstacles, "observed", lambda _: "one in observe")
    assert "one in observe" in _failed(tmp_path, *words)
    assert made.exists()
    assert releases.take_back(tmp_path) == []
    assert str(current.readlink()) == "releases/1"


def test_a_dry_run_leaves_a_killed_registration_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _installed(tmp_path)
    places, config = Places(tmp_path), tmp_path / "daemon.json"
    config.write_text("{}")
    change = places.var / "changes" / "docker-1.json"
    change_set.begin(change, [PathChange(config, b"{}", b'{"runtimes": {}}')])
    for module, name in ((engine_registry, "detected"), (uninstall_obstacles, "names")):
        monkeypatch.setattr(module, name, lambda *_: [])
    assert "engine revert` first" in _failed(tmp_path, "--dry-run")
    assert (config.read_text(), change.exists()) == ('{"runtimes": {}}', True)

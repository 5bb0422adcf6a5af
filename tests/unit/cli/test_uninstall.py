"""uninstall's refusals; what it does is tested on a machine of its own (tests/runtime/launcher)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from runc_wrap.cli.main import main
from runc_wrap.engines.transaction import taking_back
from runc_wrap.host import locks
from runc_wrap.installation import installation_record as record
from runc_wrap.installation import uninstaller
from runc_wrap.node.paths import Places

if TYPE_CHECKING:
    from pathlib import Path


def _failed(prefix: Path) -> str:
    result = CliRunner().invoke(main, ["--prefix", str(prefix), "uninstall"])
    assert result.exit_code == 2
    return result.stderr


def test_a_packages_files_are_the_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uninstaller, "PACKAGED", tmp_path)
    assert "belongs to a package: remove that with apt" in _failed(tmp_path)


def test_of_a_prefix_without_an_installation_nothing_is_removed(tmp_path: Path) -> None:
    """`--prefix /` would mean /etc/conf.d."""
    kept = tmp_path / "etc" / "conf.d" / "of-others"
    kept.parent.mkdir(parents=True)
    kept.touch()
    result = CliRunner().invoke(main, ["--prefix", str(tmp_path), "uninstall", "--purge"])
    assert (result.exit_code, kept.exists()) == (2, True)
    assert "has no installation" in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["etc"]


def test_nothing_is_removed_while_an_engine_is_being_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would be registered with what is gone by then."""
    monkeypatch.setattr(locks, "PATIENCE", 0.0)
    record.place(tmp_path).parent.mkdir()
    record.save(tmp_path, record.InstallationRecord())
    with taking_back.exclusive(Places(tmp_path)):
        assert "transaction" in _failed(tmp_path)
    assert record.is_there(tmp_path)


@pytest.mark.parametrize("text", ["{", '{"format": 2}'])
def test_a_record_that_cannot_be_read_stops_it(text: str, tmp_path: Path) -> None:
    (tmp_path / "lib").mkdir()
    record.place(tmp_path).write_text(text)
    assert "installation.json cannot be used (" in _failed(tmp_path)


def test_a_record_is_read_as_it_was_written(tmp_path: Path) -> None:
    (tmp_path / "lib").mkdir()
    written = record.InstallationRecord(units=["a"], links={"b": "c"})
    record.save(tmp_path, written)
    assert record.load(tmp_path) == written

"""The second half of install.sh, with releases that have only a launcher and a command."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest

from runc_wrap.node.installation import installer
from runc_wrap.node.installation.release_switch import Switch

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@pytest.fixture(autouse=True)
def own_signals() -> Iterator[None]:
    """This process' signals are as before."""
    before = {number: signal.getsignal(number) for number in SIGNALS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def _release(prefix: Path, name: str, selftest: str) -> Path:
    release = prefix / "lib" / "releases" / name
    command = release / "venv" / "bin" / "runc-wrapctl"
    command.parent.mkdir(parents=True)
    command.write_text(f"#!/bin/sh\ncase $1 in selftest) {selftest} ;; esac\n")
    command.chmod(0o755)
    (release / "runc-wrap").write_text(name)
    return release


@pytest.fixture(name="prefix")
def with_a_release(tmp_path: Path) -> Path:
    _release(tmp_path, "1.000000", "exit 0")
    (tmp_path / "lib" / "current").symlink_to("releases/1.000000")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "runc-wrap").write_text("1.000000")
    return tmp_path


def _install(prefix: Path, selftest: str) -> int:
    release = _release(prefix, "2.000000", selftest)
    words = ["--prefix", str(prefix), "--release", str(release), "--no-services", "--quiet"]
    return installer.main(words)


def _in_force(prefix: Path) -> tuple[str, str]:
    return (prefix / "lib" / "current").readlink().name, (prefix / "bin" / "runc-wrap").read_text()


def test_it_puts_the_new_release_in_force(prefix: Path) -> None:
    assert _install(prefix, "exit 0") == 0
    assert _in_force(prefix) == ("2.000000", "2.000000")


def test_a_second_ctrl_c_does_not_keep_the_release_before_from_being_in_force_again(
    prefix: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def back(switch: Switch) -> None:
        signal.raise_signal(signal.SIGINT)
        original(switch)

    original = Switch.back
    monkeypatch.setattr(Switch, "back", back)
    assert _install(prefix, "exit 1") == 1
    assert _in_force(prefix) == ("1.000000", "1.000000")


def test_if_the_record_cannot_be_written_the_release_before_is_in_force_as_it_says(
    prefix: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record = prefix / "lib" / "installation.json"
    assert _install(prefix, f"rm {record}; mkdir -p {record}/x") == 1
    assert "the release 1.000000 is in force as before" in capsys.readouterr().err
    assert _in_force(prefix) == ("1.000000", "1.000000")

"""The second half of install.sh, with releases that have only a launcher and a command."""

from __future__ import annotations

import errno
import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from runc_wrap.host import ownership, program, systemd
from runc_wrap.installation import (
    failure_advice,
    installation_record,
    installer,
    links,
)
from runc_wrap.installation.links import Links
from runc_wrap.installation.release_switch import Switch

if TYPE_CHECKING:
    from collections.abc import Iterator

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
    page = release / "share" / "man" / "man1" / "runc-wrapctl.1"
    page.parent.mkdir(parents=True)
    page.touch()
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


def _error(number: int) -> OSError:
    return OSError(number, os.strerror(number), "/srv/p/bin/runc-wrap")


@pytest.mark.parametrize(
    ("error", "advice"),
    [
        (_error(errno.ENOSPC), "make room on that file system (`df -h /srv/p/bin` shows it)"),
        (_error(errno.EROFS), "mount that file system writable (`findmnt -T /srv/p/bin` shows"),
        (_error(errno.EACCES), "run it as root"),
        (_error(errno.EPERM), "`lsattr -d /srv/p/bin` shows"),
        (_error(errno.ENOTDIR), "move away what is there (`ls -ld /srv/p/bin` shows it)"),
        (OSError(errno.ENOSPC, "full"), "`df -h /srv/p` shows it"),
        (program.ProgramFailed("`sync` failed: x"), "read what that program said"),
        (ValueError("x"), "unpack the archive or the checkout again"),
        (systemd.UnitFailed("x"), "or give it --no-services"),
    ],
)
def test_each_kind_of_failure_has_its_advice(error: Exception, advice: str) -> None:
    told = failure_advice.sentence(error, Path("/srv/p"))
    assert told.startswith("Try: ")
    assert advice in told
    assert "run install.sh again" in told


@pytest.fixture(name="local")
def with_links(prefix: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty directory for links, which this prefix gets as if it were the default one."""
    local = tmp_path / "local"
    local.mkdir()
    monkeypatch.setattr(links, "DEFAULT_PREFIX", str(prefix))
    monkeypatch.setattr(links, "LOCAL", local)
    monkeypatch.setattr(ownership, "of", lambda _path: ())
    return local


def test_killed_before_it_makes_a_link_it_has_recorded_the_directories_that_it_made(
    prefix: Path, local: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Links, "_change", lambda *_words: os._exit(9))
    child = os.fork()
    if not child:
        _install(prefix, "exit 0")
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    assert [*local.iterdir()]
    record = installation_record.load(prefix)
    assert list(links.removed(record)) == []
    assert [*local.iterdir()] == []


def test_if_it_fails_afterwards_the_directories_for_links_are_gone_with_these(
    prefix: Path, local: Path
) -> None:
    assert _install(prefix, f"ls {local}/bin/runc-wrapctl || exit 0; exit 1") == 1
    assert [*local.iterdir()] == []


def test_directories_that_it_made_are_recorded_and_those_that_were_there_are_not(
    prefix: Path, local: Path
) -> None:
    assert _install(prefix, "exit 0") == 0
    assert (local / "bin" / "runc-wrapctl").is_symlink()
    made = ("bin", "share", "share/man", "share/man/man1")
    assert installation_record.load(prefix).directories == [str(local / name) for name in made]


def test_a_file_that_is_not_our_link_stays_and_is_not_recorded(prefix: Path, local: Path) -> None:
    other = local / "bin" / "runc-wrapctl"
    other.parent.mkdir()
    other.write_text("mine")
    assert _install(prefix, "exit 0") == 0
    assert other.read_text() == "mine"
    assert str(other) not in installation_record.load(prefix).links

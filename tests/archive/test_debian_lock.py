"""What a build does where Debian has no longer the versions that are locked."""

import os
from pathlib import Path

import pytest

from deploy.archive import debian_lock
from deploy.archive.__main__ import PARTS
from deploy.archive.debian_mirror import Deb, provided
from deploy.archive.machines import here
from harness.node.requirements import requires


@pytest.fixture
def gone() -> list[Deb]:
    """What is locked, the C library in a version that no mirror has."""
    requires("apt-get")
    locked = debian_lock.locked(here().debian)
    old = {"version": "2.41-0gone", "sha256": "0" * 64}
    return [deb._replace(**old) if deb.name == "libc6" else deb for deb in locked]


@pytest.fixture(scope="module")
def place(
    native: Path,  # noqa: ARG001 - has fetched the files
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """Where the newest files are, and what apt knows from one test to the next."""
    made = tmp_path_factory.mktemp("parts")
    (made / "debs").symlink_to(PARTS / "debs")
    return made


def test_a_release_is_not_built_and_the_message_says_what_to_do(
    gone: list[Deb], place: Path
) -> None:
    with pytest.raises(SystemExit) as raised:
        provided(here(), place, gone, strict=True)
    told = str(raised.value)
    assert "libc6 2.41-0gone" in told
    assert "python3.13-minimal" not in told
    assert "`make lock`" in told


def test_another_build_takes_what_there_is_and_says_that_it_is_no_release(
    gone: list[Deb], place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    taken = provided(here(), place, gone, strict=False)
    assert [deb.name for deb in taken] == sorted(deb.name for deb in gone)
    assert all(deb.file(place).is_file() for deb in taken)
    told = capsys.readouterr().err
    assert "libc6 2.41-0gone" in told
    assert "it is not a release" in told


def test_a_locked_file_that_lies_there_needs_no_mirror(
    gone: list[Deb], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a maintainer would put it there from Debian's archive of all versions."""
    monkeypatch.setenv("PATH", os.devnull)
    (tmp_path / "debs").mkdir()
    for deb in gone:
        deb.file(tmp_path).touch()
    assert provided(here(), tmp_path, gone, strict=True) == gone

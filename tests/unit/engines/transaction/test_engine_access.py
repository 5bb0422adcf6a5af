"""What a transaction asks of an engine before it is restarted."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from runc_wrap.engines.cri.grpc_call import CallFailed
from runc_wrap.engines.kinds.engine_kind import Installation
from runc_wrap.engines.transaction.engine_access import Docker, Podman
from tests.unit.node import machine

if TYPE_CHECKING:
    from collections.abc import Iterator

CONFIG = Path("/etc/docker/daemon.json")


@pytest.fixture
def programs(tmp_path: Path) -> Iterator[Path]:
    with pytest.MonkeyPatch.context() as patch:
        yield machine.empty(tmp_path, patch)


@pytest.mark.parametrize(
    ("version", "refusal"),
    [
        ("26.1.5", "docker refuses its files: no such setting"),
        (None, "docker refuses its files: no such setting"),
        ("20.10.24", ""),  # it knows no --validate
    ],
)
def test_a_dockerd_that_can_check_its_file_is_asked(
    programs: Path, version: str | None, refusal: str
) -> None:
    binary = machine.fake(programs, "dockerd", "echo no such setting >&2; exit 1")
    found = Installation("docker", CONFIG, binary, "docker.service", Path("/s"), "", version)
    assert Docker(found, Path("/nowhere")).refusal() == refusal


def test_one_that_is_not_installed_refuses() -> None:
    found = Installation("docker", CONFIG, None, "docker.service", Path("/s"), "", "20.10.24")
    assert "docker is not installed" in Docker(found, Path("/nowhere")).refusal()


@pytest.mark.parametrize(
    ("listed", "removes", "why"),
    [
        ("cat {left}", "echo >{left}", ""),
        (
            "cat {left}",
            "echo device or resource busy >&2; exit 1",
            "our canary: device or resource",
        ),
        ("echo no daemon >&2; exit 1", "", "does not tell its containers: no daemon"),
    ],
)
def test_a_canary_counts_as_removed_only_if_it_has_gone(
    programs: Path, listed: str, removes: str, why: str
) -> None:
    """Otherwise what a power cut left would be forgotten."""
    left = programs.with_name("left")
    left.write_text("0123\n")
    script = f"case $1 in ps) {listed};; rm) {removes};; esac".format(left=left)
    binary = machine.fake(programs, "docker", script.replace("cat ", "/bin/cat "))
    found = Installation("docker", CONFIG, binary, "docker.service", Path("/s"), "", "26.1.5")
    if why:
        with pytest.raises(CallFailed, match=why):
            Docker(found, Path("/nowhere")).remove_canaries()
    else:
        Docker(found, Path("/nowhere")).remove_canaries()
        assert left.read_text() == "\n"


def test_podmans_canary_lies_in_the_installation_wherever_the_caller_has_temporary_files(
    programs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The owner of TMPDIR could replace the root file system, which root then runs."""
    theirs, var, asked = tmp_path / "theirs", tmp_path / "var", tmp_path / "asked"
    for directory in (theirs, var):
        directory.mkdir()
    monkeypatch.setenv("TMPDIR", str(theirs))
    monkeypatch.setattr(tempfile, "tempdir", None)
    script = f'case "$*" in *run*) echo "$*" >{asked}; echo id;; *) :;; esac'
    binary = machine.fake(programs, "podman", script)
    found = Installation("podman", CONFIG, binary, "", Path("/s"), "", "5.4.2")
    with Podman(found, var).canary(""):
        words = asked.read_text().split()
        root = Path(words[words.index("--rootfs") + 1])
        assert root.parent == var
        assert root.stat().st_mode & 0o777 == 0o700
    assert [*theirs.iterdir(), *var.iterdir()] == []

"""doctor on directories that cannot be written; real file systems, as root."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from runc_wrap.doctor import installation_checks
from tests.unit.cli.ctl import Node


@contextmanager
def _mounted(where: Path, *options: str) -> Iterator[None]:
    if os.geteuid():
        pytest.skip("only root mounts")
    subprocess.run(["mount", "-t", "tmpfs", *options, "doctor", where], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", where], check=True)


def test_a_read_only_mount_is_an_error(node: Node) -> None:
    var = node.places.var
    assert list(installation_checks.records(node.places)) == []  # it does not exist yet
    var.mkdir(parents=True)
    with _mounted(var, "-o", "ro"):
        [found] = installation_checks.records(node.places)
        assert (found.severity, f"{var} is mounted read" in found.sentence) == ("error", True)
        assert found.command == f"mount -o remount,rw {var}"
        subprocess.run(found.command.split(), check=True)
        assert list(installation_checks.records(node.places)) == []


@pytest.mark.parametrize("bound", ["size=2m", "nr_inodes=2"])
def test_a_full_file_system_is_an_error(node: Node, bound: str) -> None:
    ledger = node.places.ledger
    ledger.mkdir(parents=True, mode=0o700)
    with _mounted(ledger, "-o", f"{bound},mode=700"):
        assert list(installation_checks.records(node.places)) == []
        (ledger / "large").write_bytes(bytes(1536 * 1024 * bound.startswith("size")))
        [found] = installation_checks.records(node.places)
        assert f"the file system of {ledger} is full" in found.sentence
        assert found.command == f"du -xh {ledger} | sort -h | tail"


def test_what_root_may_not_write_is_an_error(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    if os.geteuid():
        pytest.skip("root can write everywhere else")
    node.places.var.mkdir(parents=True)
    monkeypatch.setattr(os, "access", lambda *_: False)  # not every file system has chattr +i
    [found] = installation_checks.records(node.places)
    assert found.command == f"chattr -i {node.places.var}"

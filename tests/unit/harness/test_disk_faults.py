"""The control of harness.host.disk_faults: every way of writing is intercepted and can fail."""

import os
import posix
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.host import disk_faults
from runc_wrap.host.files import sync

OLD = {"old": b"old"}


def _posix(path: Path) -> None:
    fd = posix.open(str(path), posix.O_WRONLY | posix.O_CREAT, 0o600)
    try:
        rest = memoryview(b"data")
        while rest:
            rest = rest[posix.write(fd, rest) :]
        posix.fsync(fd)
    finally:
        posix.close(fd)


def _object(path: Path) -> None:
    with path.open("wb") as file:
        file.write(b"data")
        file.flush()
        os.fsync(file.fileno())


def _of_descriptor(path: Path) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT), "w", encoding="ascii") as file:
        file.write("data")
        file.flush()
        os.fsync(file.fileno())


WAYS = pytest.mark.parametrize("way", [_posix, _object, _of_descriptor])


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "root").mkdir()
    (tmp_path / "root/old").write_bytes(b"old")
    return tmp_path / "root"


@WAYS
def test_a_file_is_durable_once_it_and_its_name_are_synced(
    way: Callable[[Path], None], root: Path
) -> None:
    with disk_faults.recorded(root) as moments:
        way(root / "new")
        sync(root)
    before, opened, written, file_synced, all_synced = moments
    assert (before.cuts, all_synced.cuts) == ([OLD], [{**OLD, "new": b"data"}])
    assert opened.cuts == written.cuts == [{**OLD, "new": b""}, OLD]
    assert file_synced.cuts == [{**OLD, "new": b"data"}, OLD]
    assert written.killed == {**OLD, "new": b"data"}


@WAYS
@pytest.mark.parametrize(("number", "call"), [(1, "open"), (2, "write"), (3, "fsync")])
def test_any_call_can_fail(way: Callable[[Path], None], number: int, call: str, root: Path) -> None:
    with (
        disk_faults.failing(number, disk_faults.FULL) as told,
        pytest.raises(OSError, match="No space"),
    ):
        way(root / "new")
    assert told.failed.startswith(call)


@WAYS
def test_a_short_write_is_short(way: Callable[[Path], None], root: Path) -> None:
    with disk_faults.failing(2, disk_faults.SHORT) as told:
        way(root / "new")
    assert told.calls == ["open", "write", "write", "fsync"]
    assert (root / "new").read_bytes() == b"data"


def test_an_unsynced_rename_may_precede_earlier_writes(root: Path) -> None:
    with disk_faults.recorded(root) as moments:
        (root / "new").write_bytes(b"new")
        (root / "beside").symlink_to("old")
        (root / "new").replace(root / "old")
    assert {"old": b""} in moments[-1].cuts  # the file was not synced, nor was the link's name
    assert OLD in moments[-1].cuts
    assert moments[-1].killed == {"old": b"new", "beside": "old"}

"""Files are replaced as a whole, whatever fails and whenever it is cut off."""

import contextlib
import itertools
import os
from pathlib import Path

import pytest

from harness.host import disk_faults
from runc_wrap.host import files


@pytest.mark.parametrize("mask", [0o077, 0o022, 0])
@pytest.mark.parametrize("mode", [0o600, 0o644])
def test_a_file_has_its_mode_whatever_the_umask_is(tmp_path: Path, mask: int, mode: int) -> None:
    """node_exporter is another user; a cron job's or a hardened login's umask is 077."""
    before = os.umask(mask)
    try:
        files.replace(tmp_path / "x.prom", b"text", mode)
    finally:
        os.umask(before)
    assert (tmp_path / "x.prom").stat().st_mode & 0o777 == mode


def test_a_file_that_is_there_keeps_its_mode_owner_and_attributes_if_asked(tmp_path: Path) -> None:
    path = tmp_path / "config"
    path.write_text("old")
    path.chmod(0o640)
    if os.geteuid() == 0:
        os.chown(path, 12, 34)
    os.setxattr(path, "user.note", b"mine")
    before = path.stat()
    files.replace(path, b"new", 0o600, keeps=True)
    after = path.stat()
    assert (after.st_mode, after.st_uid, after.st_gid) == (before.st_mode, *before[4:6])
    assert (path.read_text(), os.getxattr(path, "user.note")) == ("new", b"mine")
    files.replace(path, b"new", 0o600)
    assert path.stat().st_mode & 0o777 == 0o600
    assert os.listxattr(path) == []


def test_what_a_killed_writer_left_or_a_link_in_its_place_is_not_written_to(tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_text("another's")
    (tmp_path / ".x.me.new").symlink_to(other)
    files.replace(tmp_path / "x", b"text", writer="me")
    assert (other.read_text(), (tmp_path / "x").read_text()) == ("another's", "text")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["other", "x"]


@disk_faults.EACH_FAULT
def test_whatever_call_fails_the_file_is_the_old_one_or_the_new_one_and_nothing_is_left_beside(
    tmp_path: Path, fault: int | str, *, lasting: bool
) -> None:
    for number in itertools.count(1):
        path = tmp_path / str(number) / "x"
        path.parent.mkdir()
        path.write_bytes(b"old")
        failing = disk_faults.failing(number, fault, lasting=lasting)
        with failing as told, contextlib.suppress(OSError):
            files.replace(path, b"new")
        if not told.failed:
            break
        assert path.read_bytes() in (b"old", b"new"), told.failed
        assert [one.name for one in path.parent.iterdir()] == ["x"] or "unlink" in told.failed
    assert path.read_bytes() == b"new"
    assert number > 5


def test_only_a_regular_file_of_bounded_size_is_read_and_nobody_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "link").symlink_to("file")
    (tmp_path / "file").write_bytes(b"12345")
    for name in ("fifo", "."):
        with pytest.raises(files.Irregular, match="not a regular file"):
            files.read(tmp_path / name, 10)
    with pytest.raises(OSError, match="symbolic links"):
        files.read(tmp_path / "link", 10)
    assert files.read(tmp_path / "link", 5, follows=True) == b"12345"
    for size, bound in ((5, 4), (1 << 40, 1 << 20)):
        os.truncate(tmp_path / "file", size)
        with pytest.raises(files.TooLarge, match=f"larger than {bound} bytes"):
            files.read(tmp_path / "file", bound)

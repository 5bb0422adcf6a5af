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
def test_a_file_has_the_mode_that_its_readers_need_whatever_the_umask(
    tmp_path: Path, mask: int, mode: int
) -> None:
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
    for name in ("st_mode", "st_uid", "st_gid"):
        assert getattr(after, name) == getattr(before, name)
    assert (path.read_text(), os.getxattr(path, "user.note")) == ("new", b"mine")
    files.replace(path, b"new", 0o600)
    assert path.stat().st_mode & 0o777 == 0o600
    assert os.listxattr(path) == []


def test_what_a_killed_writer_left_and_a_link_that_waits_in_its_place_are_not_written_to(
    tmp_path: Path,
) -> None:
    other = tmp_path / "other"
    other.write_text("another's")
    (tmp_path / ".x.me.new").symlink_to(other)
    files.replace(tmp_path / "x", b"text", writer="me")
    assert (other.read_text(), (tmp_path / "x").read_text()) == ("another's", "text")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["other", "x"]


@pytest.mark.parametrize("lasting", [False, True])
@pytest.mark.parametrize("fault", disk_faults.FAULTS)
def test_whatever_call_fails_the_file_is_the_old_one_or_the_new_one_and_nothing_is_left_beside(
    tmp_path: Path, fault: int | str, *, lasting: bool
) -> None:
    for number in itertools.count(1):
        path = tmp_path / str(number) / "x"
        path.parent.mkdir()
        path.write_bytes(b"old")
        with (
            disk_faults.failing(number, fault, lasting=lasting) as told,
            contextlib.suppress(OSError),
        ):
            files.replace(path, b"new")
        if not told.failed:
            break
        assert path.read_bytes() in (b"old", b"new"), told.failed
        assert [one.name for one in path.parent.iterdir()] == ["x"] or "unlink" in told.failed
    assert path.read_bytes() == b"new"
    assert number > 5


def test_a_power_cut_at_any_moment_leaves_the_old_link_or_the_new_one(tmp_path: Path) -> None:
    (tmp_path / "current").symlink_to("1")
    with disk_faults.recorded(tmp_path) as moments:
        files.replace_link(tmp_path / "current", "2")
        files.sync(tmp_path)
    for call, tree in disk_faults.crashes(moments):
        assert tree["current"] in ("1", "2"), call
    assert [tree["current"] for tree in moments[-1].cuts] == ["2"]


def test_only_a_regular_file_is_read_and_nobody_is_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "link").symlink_to("file")
    (tmp_path / "file").write_bytes(b"12345")
    for name in ("fifo", "."):
        with pytest.raises(files.Irregular, match="not a regular file"):
            files.read(tmp_path / name, 10)
    with pytest.raises(OSError, match="symbolic links"):
        files.read(tmp_path / "link", 10)
    assert files.read(tmp_path / "link", 5, follows=True) == b"12345"


def test_more_than_the_bound_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"12345")
    with pytest.raises(files.TooLarge, match="larger than 4 bytes"):
        files.read(tmp_path / "file", 4)
    os.truncate(tmp_path / "file", 1 << 40)
    with pytest.raises(files.TooLarge):
        files.read(tmp_path / "file", 1 << 20)

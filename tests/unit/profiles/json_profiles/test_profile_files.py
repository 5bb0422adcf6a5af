"""Profile files on the disk."""

import os
from pathlib import Path

import pytest

from runc_wrap.profiles.json_profiles import profile_files
from runc_wrap.profiles.json_profiles.strict_json import MAX_BYTES
from runc_wrap.profiles.source_profile import ProfileError


def test_what_is_no_regular_file_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(ProfileError, match="fifo: not a regular file"):
        profile_files.read_bytes(tmp_path / "fifo")
    with pytest.raises(ProfileError, match="not a regular file; name a regular file"):
        profile_files.read_bytes(tmp_path)
    with pytest.raises(ProfileError, match=r"none\.json: cannot be read: No such file"):
        profile_files.read_bytes(tmp_path / "none.json")


def test_a_huge_file_is_refused_without_being_read_whole(tmp_path: Path) -> None:
    path = tmp_path / "huge.json"
    with path.open("wb") as file:
        file.truncate(MAX_BYTES * 1000)
    with pytest.raises(ProfileError, match="larger than 4194304 bytes"):
        profile_files.read_bytes(path)


def test_the_administrators_file_wins_over_the_packages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [tmp_path / name for name in ("etc", "usr")]
    monkeypatch.setattr(profile_files, "SYSTEM_FILES", tuple(map(str, paths)))
    assert profile_files.system() is None
    paths[1].write_bytes(b"b")
    assert profile_files.system() == (str(paths[1]), b"b")
    paths[0].write_bytes(b"a")
    assert profile_files.system() == (str(paths[0]), b"a")


def test_the_files_beneath_a_directory_are_named_by_their_paths(tmp_path: Path) -> None:
    assert profile_files.below(tmp_path / "none") == {}
    (tmp_path / "..data").mkdir()
    (tmp_path / "..data/a").write_bytes(b"1")  # as Kubernetes mounts a ConfigMap
    (tmp_path / "a").symlink_to("..data/a")
    (tmp_path / ".hidden").write_bytes(b"2")
    (tmp_path / "team").mkdir()
    (tmp_path / "team/b.json").write_bytes(b"3")
    assert profile_files.below(tmp_path) == {"a": b"1", "team/b.json": b"3"}


OUT, NOWHERE = "leads out of", "leads nowhere"
TARGETS = [("/etc/passwd", OUT), ("../outside", OUT), ("nowhere", NOWHERE), ("link", NOWHERE)]


@pytest.mark.parametrize(("target", "said"), TARGETS)
def test_a_link_that_goes_out_or_nowhere_is_refused(target: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "outside").write_bytes(b"secret")
    directory = tmp_path / "profiles"
    directory.mkdir()
    (directory / "link").symlink_to(target)
    with pytest.raises(ProfileError, match=f"link: a symbolic link that {said}"):
        profile_files.below(directory)


def test_a_fifo_beneath_a_directory_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(ProfileError, match="fifo: not a regular file"):
        profile_files.below(tmp_path)

"""Ways in which others could change or replace a path, and safe arrangements."""

import os
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.node.requirements import requires
from runc_wrap.host import ownership

OTHER = 4242


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A directory whose path is safe: /tmp is root's and sticky."""
    requires(root=True)
    assert list(ownership.of(str(tmp_path))) == []
    made = tmp_path / "a" / "b"
    made.mkdir(parents=True)
    return made


def _found(path: Path) -> list[str]:
    return [f"{where} {how}" for where, how in ownership.of(str(path))]


def _give(path: Path) -> None:
    os.chown(path, OTHER, OTHER, follow_symlinks=False)


def _acl(path: Path, kind: str, *entries: tuple[int, int, int]) -> None:
    """Set an access control list: (tag, permissions, id), as setfacl would."""
    value = struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)
    os.setxattr(path, f"system.posix_acl_{kind}", value)


def _named(path: Path, kind: str) -> None:
    none = 0xFFFFFFFF
    own = [(0x01, 7, none), (0x02, 7, OTHER), (0x04, 5, none), (0x10, 7, none), (0x20, 5, none)]
    _acl(path, kind, *own)


WAYS: dict[str, tuple[Callable[[Path], None], str]] = {
    "another's": (_give, f"belongs to uid {OTHER}"),
    "writable by all": (lambda path: path.chmod(0o777), "by everybody (mode 0777)"),
    "writable by a group": (lambda path: path.chmod(0o775), "by the group 0 (mode 0775)"),
    "an access control list": (lambda path: _named(path, "access"), "in its access control list"),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("what", ["itself", "above", "not yet there"])
def test_paths_that_others_can_change_are_found_there_and_above(
    place: Path, way: str, what: str
) -> None:
    spoil, told = WAYS[way]
    spoilt = place.parent if what == "above" else place
    path = place / "c" / "d" if what == "not yet there" else place
    spoil(spoilt)
    (found,) = _found(path)
    assert found.startswith(f"{spoilt} ")
    assert told in found


def test_a_default_access_control_list_is_unsafe_for_new_files(place: Path) -> None:
    _named(place, "default")
    (found,) = _found(place)
    assert "default access control list" in found


def test_in_a_sticky_directory_only_another_users_entry_is_unsafe(place: Path) -> None:
    place.parent.chmod(0o1777)
    assert (_found(place), _found(place.parent / "not-yet")) == ([], [])
    (whole,) = _found(place.parent)  # itself: anybody could make anything in it
    assert "mode 1777" in whole
    _give(place)
    assert set(_found(place)) == {f"{place} belongs to uid {OTHER}"}
    link = place.parent / "link"
    link.symlink_to("/usr/bin/python3")
    _give(link)
    assert _found(link) == [f"{link} belongs to uid {OTHER}"]
    _give(place.parent)  # another's sticky directory is no protection
    assert _found(place.parent / "not-yet") == [f"{place.parent} belongs to uid {OTHER}"]


def test_links_are_followed_and_their_own_directory_counts(place: Path, tmp_path: Path) -> None:
    his, ours = tmp_path / "his", tmp_path / "ours"
    his.mkdir()
    (his / "link").symlink_to(os.path.relpath(place, his))
    ours.symlink_to(his / "link")
    assert _found(ours) == []
    _give(his)
    assert _found(ours) == _found(his / "link") == [f"{his} belongs to uid {OTHER}"]


def test_circular_links_end(place: Path) -> None:
    (place / "x").symlink_to("x")
    with pytest.raises(OSError, match="symbolic links"):
        _found(place / "x")


def test_each_part_of_an_installation_and_each_of_the_owners_files_is_checked(place: Path) -> None:
    policies = ["var/policy.2", "var/policy.2/current", "var/policy.3"]
    for part in (*ownership.PARTS, *policies):
        if not (place / part).exists():
            (place / part).mkdir(parents=True)
    for tree in ownership.TREES:
        (place / tree).mkdir(parents=True, exist_ok=True)
        (place / tree / "file").touch()
    assert list(ownership.installation(str(place))) == []
    several = [*ownership.PARTS, *policies, *(f"{tree}/file" for tree in ownership.TREES)]
    for part in several:
        _give(place / part)
    found = {Path(where).relative_to(place) for where, _ in ownership.installation(str(place))}
    assert found == {Path(part) for part in several}


def test_a_user_trusts_own_files_and_roots(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _give(place)
    monkeypatch.setattr(os, "geteuid", lambda: OTHER)
    assert _found(place) == []
    monkeypatch.setattr(os, "geteuid", lambda: OTHER + 1)
    assert _found(place) == [f"{place} belongs to uid {OTHER}"]

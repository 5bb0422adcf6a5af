"""A node's etc, copied to be checked: each link leads where it led."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from runc_wrap.cluster.cluster_policy import etc_files

if TYPE_CHECKING:
    from pathlib import Path

OUT, WITHIN, ACROSS = "../../share/out.json", "within.json", "../conf.d/across.toml"


@pytest.fixture
def place(tmp_path: Path) -> Path:
    for name in ("etc/profiles", "etc/conf.d", "etc/more", "share", "elsewhere", "var"):
        (tmp_path / name).mkdir(parents=True)
    for name in ("etc/profiles/within.json", "etc/conf.d/across.toml", "share/out.json"):
        (tmp_path / name).write_text(name)
    return tmp_path


def _copied(place: Path) -> Path:
    trial = place / "var" / "cluster" / "etc"
    trial.parent.mkdir(exist_ok=True)
    etc_files.copy(place / "etc", trial)
    return trial


@pytest.mark.parametrize("directory", ["profiles", "conf.d", "more"])
def test_a_relative_link_out_of_etc_leads_there_from_the_copy_too(
    place: Path, directory: str
) -> None:
    (place / "etc" / directory / "own.json").symlink_to(OUT)
    link = _copied(place) / directory / "own.json"
    assert link.is_symlink()
    assert link.read_text() == "share/out.json"


@pytest.mark.parametrize(("target", "name"), [(WITHIN, "profiles"), (ACROSS, "conf.d")])
def test_a_link_within_etc_leads_to_the_copy_which_gets_the_policy_that_is_checked(
    place: Path, target: str, name: str
) -> None:
    (place / "etc" / "profiles" / "own.json").symlink_to(target)
    trial = _copied(place)
    new = trial / name / target.rpartition("/")[2]
    new.write_text("new")
    assert (trial / "profiles" / "own.json").read_text() == "new"


def test_a_link_in_a_directory_that_is_a_link_itself_leads_where_it_led(place: Path) -> None:
    profiles = place / "etc" / "profiles"
    profiles.rename(place / "elsewhere" / "profiles")
    profiles.symlink_to("../elsewhere/profiles")
    (profiles / "own.json").symlink_to(OUT)
    (profiles / "other.json").symlink_to(WITHIN)
    copied = _copied(place) / "profiles"
    assert copied.is_dir()
    assert not copied.is_symlink()
    assert (copied / "own.json").read_text() == "share/out.json"
    (copied / "within.json").write_text("new")
    assert (copied / "other.json").read_text() == "new"


@pytest.mark.parametrize("target", ["nowhere", "../../nowhere", "own.json", "/nowhere"])
def test_a_link_that_leads_nowhere_leads_nowhere_in_the_copy(place: Path, target: str) -> None:
    (place / "etc" / "profiles" / "own.json").symlink_to(target)
    link = _copied(place) / "profiles" / "own.json"
    assert link.is_symlink()
    assert not link.exists()

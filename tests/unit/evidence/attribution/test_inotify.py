from __future__ import annotations

import select
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from runc_wrap.evidence.attribution.inotify import Appended

if TYPE_CHECKING:
    from collections.abc import Callable


def is_told(one: Appended) -> bool:
    """Return whether an event arrived since the last call."""
    ready = bool(select.select([one], [], [], 0)[0])
    one.take()
    return ready


def append(directory: Path) -> None:
    with (directory / "ledger.jsonl").open("a") as file:
        file.write("{}\n")


def rotate(directory: Path) -> None:
    (directory / "new").write_text("")
    (directory / "new").rename(directory / "ledger.2.jsonl")


def read(directory: Path) -> None:
    (directory / "ledger.jsonl").read_text()


@pytest.mark.parametrize(("do", "told"), [(append, True), (rotate, True), (read, False)])
def test_an_append_or_a_replacement_is_reported_once(
    tmp_path: Path, do: Callable[[Path], None], *, told: bool
) -> None:
    append(tmp_path)
    one = Appended(str(tmp_path))
    do(tmp_path)
    assert [is_told(one), is_told(one)] == [told, False]


def test_a_missing_directory_is_created_for_its_owner_only(tmp_path: Path) -> None:
    directory = tmp_path / "var" / "ledger"
    one = Appended(str(directory))
    assert directory.stat().st_mode & 0o777 == 0o700
    append(directory)
    assert is_told(one)


@pytest.mark.parametrize("is_removed", [True, False])
def test_a_removed_or_renamed_directory_is_created_and_watched_again(
    tmp_path: Path, *, is_removed: bool
) -> None:
    directory = tmp_path / "ledger"
    one = Appended(str(directory))
    directory.rmdir() if is_removed else directory.rename(tmp_path / "old")
    assert is_told(one)
    append(directory)
    assert is_told(one)


def test_a_failed_watch_leaves_no_descriptor(tmp_path: Path) -> None:
    (tmp_path / "ledger").write_text("")
    before = len([*Path("/proc/self/fd").iterdir()])
    with pytest.raises(OSError, match="File exists"):
        Appended(str(tmp_path / "ledger"))
    assert len([*Path("/proc/self/fd").iterdir()]) == before

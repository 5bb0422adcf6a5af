"""Several files changed as one: whatever is killed or cut off, all are as before or all are new."""

import contextlib
import errno
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from harness.host import disk_faults
from runc_wrap.host import change_set
from runc_wrap.host.change_set import ChangedMeanwhile, PathChange

Content = bytes | str | None
OLD: dict[str, Content] = {
    "etc/engine/main.conf": b"old",
    "etc/engine/conf.d/ours.conf": b"only ours",
    "bin/moved": "before",
    "bin/gone": "before",
}
NEW: dict[str, Content] = {
    "etc/engine/main.conf": b"new, and longer",
    "etc/engine/other/deep/b.conf": b"b",
    "bin/moved": "after",
    "bin/made": "after",
}


class Node:
    """A tree with files and links, a change of all of them, and the record of it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.record = root / "var/changes/x.json"
        for name, content in OLD.items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(content, str):
                path.symlink_to(content)
            elif content is not None:
                path.write_bytes(content)
        self.record.parent.mkdir(parents=True)

    def changes(self) -> list[PathChange]:
        names = [*NEW, *(name for name in OLD if name not in NEW)]
        return [PathChange(self.root / name, OLD.get(name), NEW.get(name)) for name in names]

    def begin(self, check: Callable[[Mapping[Path, Path]], None] | None = None) -> None:
        change_set.begin(
            self.record,
            self.changes(),
            {"who": "me"},
            empties=[str(self.root / "etc/engine/conf.d")],
            check=check,
        )

    def keep(self) -> None:
        change_set.close(self.record)

    def undo(self) -> None:
        assert change_set.undo(self.record) == []

    def put(self, tree: disk_faults.Tree) -> None:
        shutil.rmtree(self.root)
        disk_faults.put(tree, self.root)

    def come_next(self) -> None:
        """Do what the next command does: undo, then another change."""
        self.undo()
        change_set.begin(self.record, [])
        change_set.close(self.record)

    def found(self, failed: str = "") -> dict[str, Content]:
        """Return files and links; empty directories as None, unless a removal failed."""
        every = [one for one in self.root.rglob("*") if not one.is_dir() or not any(one.iterdir())]
        return {str(one.relative_to(self.root)): _content(one)
                for one in every if one != self.record.parent
                and not (one.is_dir() and "rmdir" in failed)}  # fmt: skip


def _content(path: Path) -> Content:
    if path.is_symlink():
        return str(path.readlink())
    return None if path.is_dir() else path.read_bytes()


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(tmp_path / "root")


def test_a_kill_or_a_power_cut_at_any_step_leaves_all_old_or_all_new(node: Node) -> None:
    with disk_faults.recorded(node.root) as moments:
        node.begin()
        put = len(moments)
        node.keep()
    kept = {moment.call for moment in moments[put:]}
    outcomes = []
    for call, tree in disk_faults.crashes(moments):
        node.put(tree)
        node.come_next()
        assert node.found() in (OLD, NEW), call
        assert node.found() == OLD or call in kept, call
        outcomes.append(node.found() == OLD)
    assert outcomes == sorted(outcomes, reverse=True) or outcomes.count(False) > 3
    assert len(outcomes) > 30


def test_a_kill_or_a_power_cut_while_it_is_undone_leaves_it_to_be_undone_again(node: Node) -> None:
    node.begin()
    with disk_faults.recorded(node.root) as moments:
        node.undo()
    for call, tree in disk_faults.crashes(moments):
        node.put(tree)
        node.come_next()
        assert node.found() == OLD, call


@pytest.mark.parametrize(
    ("fault", "lasting"),
    [*((fault, False) for fault in disk_faults.FAULTS), (disk_faults.FULL, True)],
)
def test_a_disk_that_fails_at_any_step_leaves_all_old_or_all_new(
    fault: int | str, lasting: bool, tmp_path: Path
) -> None:
    for number in range(1, 200):
        node = Node(tmp_path / str(number))
        is_done = False
        with (
            disk_faults.failing(number, fault, lasting=lasting) as told,
            contextlib.suppress(OSError),
        ):
            node.begin()
            node.keep()
            is_done = True
        node.come_next()
        assert node.found(told.failed) == (NEW if is_done else OLD), told.failed
        if not told.failed:
            break
    assert 30 < number < 199


@pytest.mark.parametrize("fault", disk_faults.FAULTS)
def test_an_undo_that_fails_at_any_step_can_be_done_again(fault: int | str, tmp_path: Path) -> None:
    for number in range(1, 100):
        node = Node(tmp_path / str(number))
        node.begin()
        with disk_faults.failing(number, fault) as told, contextlib.suppress(OSError):
            node.undo()
        node.come_next()
        assert node.found(told.failed) == OLD, told.failed
        if not told.failed:
            break
    assert 10 < number < 99


def test_a_full_disk_is_no_obstacle_to_an_undo(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    node.begin()

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "full")

    for name in ("write", "link", "symlink", "mkdir"):
        monkeypatch.setattr(os, name, full)
    node.undo()
    monkeypatch.undo()
    assert node.found() == OLD


def test_a_file_that_is_changed_after_the_check_is_left_and_nothing_else_changes(
    node: Node,
) -> None:
    main = node.root / "etc/engine/conf.d/ours.conf"

    def overtake(_: Mapping[Path, Path]) -> None:
        main.unlink()
        main.write_bytes(b"theirs")

    with pytest.raises(ChangedMeanwhile, match=str(main)):
        node.begin(overtake)
    assert node.found() == {**OLD, "etc/engine/conf.d/ours.conf": b"theirs"}


@pytest.mark.parametrize("theirs", [b"theirs", "a link", None])
def test_a_file_that_somebody_else_changed_is_left_and_named(node: Node, theirs: Content) -> None:
    node.begin()
    main = node.root / "etc/engine/main.conf"
    main.unlink()
    if isinstance(theirs, str):
        main.symlink_to(theirs)
    elif theirs is not None:
        main.write_bytes(theirs)
    assert change_set.undo(node.record) == [str(main)]
    left = {} if theirs is None else {"etc/engine/main.conf": theirs}
    rest = {name: content for name, content in OLD.items() if name != "etc/engine/main.conf"}
    assert node.found() == {**rest, **left}


def test_what_the_caller_itself_wrote_is_not_somebody_elses(node: Node) -> None:
    node.begin()
    main = node.root / "etc/engine/main.conf"
    main.write_bytes(b"in between")
    found = change_set.read(node.record)
    assert found is not None
    assert found.changed_by_others() == [str(main)]
    assert change_set.restore(found, {main: b"in between"}) == []
    change_set.close(node.record)
    assert node.found() == OLD


def test_what_is_refused_by_a_check_was_never_in_place(node: Node) -> None:
    seen: dict[str, Content] = {}

    def refuse(waiting: Mapping[Path, Path]) -> None:
        seen.update({str(to.relative_to(node.root)): _content(at) for to, at in waiting.items()})
        assert _content(node.root / "etc/engine/main.conf") == b"old"
        raise ValueError("refused")

    with pytest.raises(ValueError, match="refused"):
        node.begin(refuse)
    assert seen == NEW
    assert node.found() == OLD


def test_nothing_waits_in_a_directory_that_an_engine_reads_whole(node: Node) -> None:
    def look(_: Mapping[Path, Path]) -> None:
        names = [path.name for path in (node.root / "etc/engine/conf.d").iterdir()]
        assert names == ["ours.conf"]

    node.begin(look)


def test_what_waits_is_on_the_mount_of_its_file(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where /etc/docker is bound from elsewhere, perhaps of the same file system."""
    mount, seen = change_set._mount, list[str]()  # noqa: SLF001

    def of(directory: Path) -> bytes:
        return b"another" if directory.name == "engine" else mount(directory)

    monkeypatch.setattr(change_set, "_mount", of)
    node.begin(lambda waiting: seen.extend(str(at.parent) for at in waiting.values()))
    assert str(node.root / "etc/engine") in seen
    assert str(node.root / "etc") not in seen
    node.undo()
    assert node.found() == OLD


def test_a_file_system_without_hard_links_keeps_copies(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    def link(*_: object, **__: object) -> None:
        raise OSError(errno.EPERM, "no links here")

    monkeypatch.setattr(os, "link", link)
    (node.root / "etc/engine/main.conf").chmod(0o640)
    node.begin()
    node.undo()
    assert node.found() == OLD
    assert (node.root / "etc/engine/main.conf").stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"note": {}, "entries": [1], "directories": []}']
)
def test_a_record_that_is_none_is_named_and_undoes_nothing(node: Node, text: str) -> None:
    node.record.write_text(text)
    with pytest.raises(change_set.DamagedRecord, match="is no record of a change"):
        change_set.undo(node.record)
    node.record.unlink()
    assert node.found() == OLD

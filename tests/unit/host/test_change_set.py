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
MAIN, OURS = "etc/engine/main.conf", "etc/engine/conf.d/ours.conf"
OLD: dict[str, Content] = {MAIN: b"old", OURS: b"ours", "bin/moved": "before", "bin/gone": "before"}
NEW: dict[str, Content] = {
    MAIN: b"new, and longer", "etc/engine/other/deep/b.conf": b"b",
    "bin/moved": "after", "bin/made": "after",
}  # fmt: skip


class Node:
    """A tree with files and links, a change of all of them, and the record of it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.record = root / "var/changes/x.json"
        for name, content in OLD.items():
            self.write(name, content)
        self.record.parent.mkdir(parents=True)

    def write(self, name: str, content: Content) -> Path:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        if isinstance(content, str):
            path.symlink_to(content)
        elif content is not None:
            path.write_bytes(content)
        return path

    def changes(self) -> list[PathChange]:
        names = [*NEW, *(name for name in OLD if name not in NEW)]
        return [PathChange(self.root / name, OLD.get(name), NEW.get(name)) for name in names]

    def begin(self, check: Callable[[Mapping[Path, Path]], None] | None = None) -> None:
        empties = [str(self.root / "etc/engine/conf.d")]
        change_set.begin(self.record, self.changes(), {"who": "me"}, empties=empties, check=check)

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


@disk_faults.EACH_FAULT
@pytest.mark.parametrize("undoes", [False, True])
def test_a_disk_that_fails_at_any_step_leaves_all_old_or_all_new(
    fault: int | str, tmp_path: Path, *, lasting: bool, undoes: bool
) -> None:
    for number in range(1, 200):
        node = Node(tmp_path / str(number))
        wanted, failing = OLD, disk_faults.failing(number, fault, lasting=lasting)
        if undoes:
            node.begin()
        with failing as told, contextlib.suppress(OSError):
            if undoes:
                node.undo()
            else:
                node.begin()
                node.keep()
                wanted = NEW
        node.come_next()
        assert node.found(told.failed) == wanted, told.failed
        if not told.failed:
            break
    assert (10 if undoes else 30) < number < 199


def test_a_full_disk_is_no_obstacle_to_an_undo(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    node.begin()

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "full")

    for name in ("write", "link", "symlink", "mkdir"):
        monkeypatch.setattr(os, name, full)
    node.undo()
    monkeypatch.undo()
    assert node.found() == OLD


def test_a_file_that_is_changed_after_the_check_is_left_and_nothing_else_is(node: Node) -> None:
    def overtake(_: Mapping[Path, Path]) -> None:
        node.write(OURS, b"theirs")

    with pytest.raises(ChangedMeanwhile, match=OURS):
        node.begin(overtake)
    assert node.found() == {**OLD, OURS: b"theirs"}


@pytest.mark.parametrize("theirs", [b"theirs", "a link", None])
def test_a_file_that_somebody_else_changed_is_left_and_named(node: Node, theirs: Content) -> None:
    node.begin()
    main = node.write(MAIN, theirs)
    assert change_set.undo(node.record) == [str(main)]
    left = {**OLD, MAIN: theirs}
    assert node.found() == {name: content for name, content in left.items() if content is not None}


def test_what_the_caller_itself_wrote_is_not_somebody_elses(node: Node) -> None:
    node.begin()
    main = node.write(MAIN, b"in between")
    found = change_set.read(node.record)
    assert found is not None
    assert found.changed_by_others() == [str(main)]
    assert change_set.restore(found, {main: b"in between"}) == []
    node.keep()
    assert node.found() == OLD


def test_what_is_refused_by_a_check_was_never_in_place(node: Node) -> None:
    seen: dict[str, Content] = {}

    def refuse(waiting: Mapping[Path, Path]) -> None:
        seen.update({str(to.relative_to(node.root)): _content(at) for to, at in waiting.items()})
        assert _content(node.root / MAIN) == b"old"
        names = [path.name for path in (node.root / OURS).parent.iterdir()]
        assert names == ["ours.conf"]  # nothing waits where an engine reads all files
        raise ValueError("refused")

    with pytest.raises(ValueError, match="refused"):
        node.begin(refuse)
    assert seen == NEW
    assert node.found() == OLD


def test_what_waits_is_on_its_files_mount(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_without_hard_links_copies_are_kept(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    def link(*_: object, **__: object) -> None:
        raise OSError(errno.EPERM, "no links here")

    monkeypatch.setattr(os, "link", link)
    (node.root / MAIN).chmod(0o640)
    node.begin()
    node.undo()
    assert node.found() == OLD
    assert (node.root / MAIN).stat().st_mode & 0o777 == 0o640

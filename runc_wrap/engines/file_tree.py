"""The files of one registration without our parts, ready to be rendered again.

Adding, changing and removing are the same operation: remove everything of ours, then insert what
the remaining handlers need. So every command exercises the undo, and the order of additions and
removals does not matter.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from runc_wrap.engines import engine_files, json_text, toml_text
from runc_wrap.engines.handler import EngineError
from runc_wrap.engines.marked_text import Draft, Edit, Member, parts, undo


@dataclass(frozen=True)
class Change:
    """One file's text before and after; None if it does not exist."""

    path: Path
    before: str | None
    after: str | None


@dataclass
class Opened:
    """A file: its text now, whether it existed before our first change, and its draft."""

    now: str | None
    existed: bool
    draft: Draft


@dataclass
class Tree:
    """`records`: {path: {existed, versions: [record, ...]}}, from `Tree.records_after`."""

    records: dict[str, dict[str, Any]]
    opened: dict[Path, Opened] = field(default_factory=dict)

    def draft(self, path: Path) -> Draft:
        """Return the draft for `path` (links are followed), which begins as its owner's text."""
        path = path.resolve()
        if path not in self.opened:
            self.opened[path] = self._open(path)
        return self.opened[path].draft

    def write_whole(self, path: Path, title: str, body: str) -> None:
        """Write a file of our own, a drop-in. Raises EngineError if there is another's."""
        draft = self.draft(path)
        if draft.text:
            raise EngineError(
                f"{path} exists, and not as runc-wrapctl wrote it",
                "an unused name",
                "move that file away, or choose another --handler",
            )
        draft.replace(0, 0, toml_text.block(title, body), f"# BEGIN {title},", "whole")

    def _open(self, path: Path) -> Opened:
        now, record = engine_files.read(path), self.records.get(str(path))
        existed = now is not None if record is None else bool(record["existed"])
        versions = [] if record is None or now is None else record["versions"]
        return Opened(now, existed, Draft(_stripped(now or "", versions, str(path))))

    def open_recorded(self) -> None:
        """Open every file that we wrote to, so that none keeps a part that is no longer needed."""
        for path in self.records:
            self.draft(Path(path))

    def give_away(self) -> None:
        """Make all that was written so far the owner's: no record of it is kept."""
        for each in self.opened.values():
            each.existed = each.existed or bool(each.draft.text)
            each.draft.edits.clear()
            each.draft.members.clear()

    def changes(self) -> list[Change]:
        """Return the changes from the files on disk."""
        found = [Change(path, each.now, _after(each)) for path, each in self.opened.items()]
        return [change for change in found if change.before != change.after]

    def records_after(self) -> dict[str, dict[str, Any]]:
        """Return the records of the files after `changes` are made."""
        return {
            str(path): {"existed": each.existed, "versions": [each.draft.record()]}
            for path, each in self.opened.items()
            if each.draft.edits
        }


def _after(each: Opened) -> str | None:
    untouched = not each.draft.text and not each.draft.edits
    return None if untouched and (not each.existed or each.now is None) else each.draft.text


def _stripped(text: str, versions: list[dict[str, Any]], where: str) -> str:
    """Return `text` without the first of `versions` that fits; an interrupted command left two."""
    refusal: EngineError | None = None
    for version in versions:
        try:
            return _without(text, *parts(version), where)
        except EngineError as error:
            refusal = refusal or error
    if refusal is not None:
        raise refusal
    return text


def _without(text: str, edits: list[Edit], members: list[Member], where: str) -> str:
    if members:
        return json_text.strip(text, edits, members, where)
    for edit in reversed(edits):
        rest = undo(text, edit, where)
        toml_text.check_undone(text, rest, edit, where)
        text = rest
    return text

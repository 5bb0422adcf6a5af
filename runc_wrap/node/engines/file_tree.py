"""The files of one registration as their owner has them, ready to be rendered anew.

Adding, changing and removing are the same act: take out everything of ours, then put in what the
handlers that remain need. So the undo is exercised by every command, and no order of adds and
removes is special.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from runc_wrap.node.engines import engine_files, json_text, toml_text
from runc_wrap.node.engines.handler import EngineError
from runc_wrap.node.engines.marked_text import Draft, Edit, Member, parts, undo


@dataclass(frozen=True)
class Change:
    """One file before and after; None: it does not exist."""

    path: Path
    before: str | None
    after: str | None


@dataclass
class Opened:
    """A file: what it holds now, whether it was there before us, and its draft."""

    now: str | None
    existed: bool
    draft: Draft


@dataclass
class Tree:
    """`records`: per path {existed, versions: [record, ...]}, as `Tree.records_after` made them."""

    records: dict[str, dict[str, Any]]
    opened: dict[Path, Opened] = field(default_factory=dict)

    def draft(self, path: Path) -> Draft:
        """Return the draft for `path` (links followed), beginning with its owner's text."""
        path = path.resolve()
        if path not in self.opened:
            self.opened[path] = self._open(path)
        return self.opened[path].draft

    def _open(self, path: Path) -> Opened:
        now, record = engine_files.read(path), self.records.get(str(path))
        existed = now is not None if record is None else bool(record["existed"])
        versions = [] if record is None or now is None else record["versions"]
        return Opened(now, existed, Draft(_stripped(now or "", versions, str(path))))

    def open_recorded(self) -> None:
        """Open every file that we wrote to: none may keep a part that is no longer wanted."""
        for path in self.records:
            self.draft(Path(path))

    def changes(self) -> list[Change]:
        """Return what differs from what is on disk."""
        found = [Change(path, each.now, _after(each)) for path, each in self.opened.items()]
        return [change for change in found if change.before != change.after]

    def records_after(self) -> dict[str, dict[str, Any]]:
        """Return the records of what the files hold once `changes` are made."""
        return {
            str(path): {"existed": each.existed, "versions": [each.draft.record()]}
            for path, each in self.opened.items()
            if each.draft.edits
        }


def _after(each: Opened) -> str | None:
    untouched = not each.draft.text and not each.draft.edits
    return None if untouched and (not each.existed or each.now is None) else each.draft.text


def _stripped(text: str, versions: list[dict[str, Any]], where: str) -> str:
    """Return `text` without the first of `versions` that fits: two, if a command was cut short."""
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

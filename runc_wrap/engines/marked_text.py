"""A file's text, our insertions in it, and removing exactly these.

An `Edit` is one replacement (`old` is empty for an insertion). Edits are undone in reverse order,
each at its offset, so that an unchanged file is restored byte for byte. In a changed file an edit
is found by its text, which must then occur once.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from runc_wrap.engines.handler import EngineError

Kind = Literal["text", "tables", "base", "whole"]


@dataclass(frozen=True)
class Edit:
    """`new` replaces `old` at `offset`. If the text lacks `mark`, its owner removed the edit.

    `kind` tables: `new` is whole TOML tables. base: the beginning of a file that we created, which
    stays once the file has text of its owner's. whole: a file that is entirely ours.
    """

    offset: int
    old: str
    new: str
    mark: str
    kind: Kind = "text"


@dataclass(frozen=True)
class Member:
    """A JSON member that we set: its keys, its value's text and that of its former value."""

    keys: tuple[str, ...]
    new: str
    old: str | None = None


@dataclass
class Draft:
    """A file's text while we change it, and our changes so far."""

    text: str
    edits: list[Edit] = field(default_factory=list)
    members: list[Member] = field(default_factory=list)

    def replace(self, start: int, end: int, new: str, mark: str, kind: Kind = "text") -> None:
        """Replace text[start:end] by `new` and record that."""
        self.edits.append(Edit(start, self.text[start:end], new, mark, kind))
        self.text = self.text[:start] + new + self.text[end:]

    def begin(self, base: str) -> None:
        """Begin an empty file, which may have white space, with `base`."""
        self.replace(0, len(self.text), base, base, "base")

    def record(self) -> dict[str, Any]:
        """Return the edits and members in the form that `parts` reads."""
        edits = [asdict(edit) for edit in self.edits]
        return {
            "edits": edits,
            "members": [asdict(m) | {"keys": list(m.keys)} for m in self.members],
        }


def parts(record: dict[str, Any]) -> tuple[list[Edit], list[Member]]:
    """Return the edits and members of a record made by `Draft.record`."""
    members = [Member(tuple(m["keys"]), m["new"], m["old"]) for m in record["members"]]
    return [Edit(**edit) for edit in record["edits"]], members


def undo(text: str, edit: Edit, where: str) -> str:
    """Return `text` without `edit`. Raises EngineError if our part has been changed since."""
    if edit.kind == "base" and text != edit.new:
        return text
    if edit.kind == "whole" and text != edit.new and edit.mark in text:
        raise changed(where, edit.new, text)
    start = edit.offset
    if text[start : start + len(edit.new)] != edit.new:
        if edit.mark not in text:
            return text
        start = _only_place(text, edit, where)
    return text[:start] + edit.old + text[start + len(edit.new) :]


def _only_place(text: str, edit: Edit, where: str) -> int:
    if text.count(edit.new) == 1:
        return text.index(edit.new)
    raise changed(where, edit.new, _near(text, edit.mark))


def _near(text: str, mark: str) -> str:
    lines = text[text.rfind("\n", 0, text.index(mark)) + 1 :].splitlines()
    return "\n".join(lines[:30])


def changed(where: str, ours: str, found: str) -> EngineError:
    """Return the error for a part of ours that was edited."""
    return EngineError(
        f"{where}: the text that runc-wrapctl wrote was changed since, to:\n{found.strip()}\n",
        f"the text as it was written:\n{ours.strip()}\n",
        "restore it, or remove all of it, then run this again",
    )

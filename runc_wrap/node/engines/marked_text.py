"""A file's text, what we put into it, and taking exactly that out again.

An `Edit` is one replacement (`old` is empty for an insertion). Edits are undone last first, each
at the offset where it was made, so an untouched file comes back byte for byte; elsewhere in a
changed file by its text, which must then occur once.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from runc_wrap.node.engines.handler import EngineError

Kind = Literal["text", "tables", "base", "whole"]


@dataclass(frozen=True)
class Edit:
    """`new` stands where `old` stood, at `offset`. No `mark` in the text: its owner took it out.

    `kind` tables: `new` is whole TOML tables. base: what a file we created begins with; it stays
    once the file holds anything of its owner's. whole: a file of our own, nobody else's.
    """

    offset: int
    old: str
    new: str
    mark: str
    kind: Kind = "text"


@dataclass(frozen=True)
class Member:
    """A JSON member that we set: its keys, its value's text and that of the one before."""

    keys: tuple[str, ...]
    new: str
    old: str | None = None


@dataclass
class Draft:
    """The owner's text on its way to ours: `text` as it is now, and what we did to it."""

    text: str
    edits: list[Edit] = field(default_factory=list)
    members: list[Member] = field(default_factory=list)

    def replace(self, start: int, end: int, new: str, mark: str, kind: Kind = "text") -> None:
        """Put `new` in place of text[start:end] and remember it."""
        self.edits.append(Edit(start, self.text[start:end], new, mark, kind))
        self.text = self.text[:start] + new + self.text[end:]

    def begin(self, base: str) -> None:
        """Begin a file that holds nothing (white space at most) with `base`."""
        self.replace(0, len(self.text), base, base, "base")

    def record(self) -> dict[str, Any]:
        """Return what `parts` reads back."""
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
    """Return `text` without `edit`, or raise EngineError when our part was changed since."""
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
    """Return the error for a part of ours that somebody edited."""
    return EngineError(
        f"{where}: what runc-wrapctl wrote there was changed since, to:\n{found.strip()}\n",
        f"it as it was written:\n{ours.strip()}\n",
        "put it back as it was, or take the whole of it out, then run this again",
    )

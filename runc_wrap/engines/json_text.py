"""Changing one member of a JSON file in its text: the rest keeps its bytes and order.

Undoing first tries the exact text and, if the owner has reformatted the file since, the member
itself.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from runc_wrap.engines.handler import EngineError
from runc_wrap.engines.marked_text import Draft, Edit, Member, changed, undo
from runc_wrap.profiles.json_profiles.json_fields import refuse_constant, unique_members

if TYPE_CHECKING:
    from collections.abc import Sequence

_SPACE = re.compile(r"[ \t\r\n]*")
_INDENT = re.compile(r"\n([ \t]+)\"")


@dataclass(frozen=True)
class Span:
    """The place of a member: text[start:end] is `"key": value`, text[value:end] its value."""

    key: str
    start: int
    value: int
    end: int


def parse(text: str, where: str) -> dict[str, Any]:
    """Return the object. Raises EngineError if the text is not one, or has a key twice."""
    try:
        document = json.loads(
            text, object_pairs_hook=unique_members, parse_constant=refuse_constant
        )
    except (ValueError, RecursionError) as error:
        raise EngineError(f"{where}: {error}", "valid JSON", "correct the file first") from error
    if not isinstance(document, dict):
        raise EngineError(f"{where}: not an object", "a JSON object", "correct the file first")
    return document


def members(text: str, start: int) -> list[Span]:
    """Return the members of the object that opens at text[start]; `text` must be valid JSON."""
    spans, at, decoder = [], _skip(text, start + 1), json.JSONDecoder()
    while text[at] != "}":
        key, colon = decoder.raw_decode(text, at)
        value = _skip(text, _skip(text, colon) + 1)
        end = decoder.raw_decode(text, value)[1]
        spans.append(Span(key, at, value, end))
        at = _skip(text, end)
        at = _skip(text, at + 1) if text[at] == "," else at
    return spans


def _skip(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    return found.end() if found else at


def find(text: str, keys: Sequence[str]) -> tuple[int, Span | None]:
    """Return where the object of keys[-1] opens (-1 if missing), and that member or None."""
    opens = _skip(text, 0)
    for depth, key in enumerate(keys):
        span = next((span for span in members(text, opens) if span.key == key), None)
        if depth == len(keys) - 1 or span is None:
            return (opens, span) if depth == len(keys) - 1 else (-1, None)
        opens = span.value
    return opens, None


def set_member(draft: Draft, keys: Sequence[str], value: object) -> None:
    """Set the member at `keys`, whose parents exist; a new member comes first in its object."""
    opens, span = find(draft.text, keys)
    new = json.dumps(value, indent=_indent(draft.text))
    new = new.replace("\n", "\n" + (_indent(draft.text) or "") * len(keys))
    if span is not None:
        draft.members.append(Member(tuple(keys), new, draft.text[span.value : span.end]))
        draft.replace(span.value, span.end, new, json.dumps(keys[-1]))
        return
    draft.members.append(Member(tuple(keys), new))
    _insert(draft, opens, f"{json.dumps(keys[-1])}: {new}", len(keys))


def _insert(draft: Draft, opens: int, member: str, depth: int) -> None:
    text, unit = draft.text, _indent(draft.text)
    after = _skip(text, opens + 1)
    pad = "" if unit is None else "\n" + unit * depth
    if text[after] != "}":
        glue = "," if text[opens + 1 : after] else ", "
        draft.replace(opens + 1, opens + 1, f"{pad}{member}{glue}", member)
    else:
        close = "" if unit is None or "\n" in text[opens:after] else "\n" + unit * (depth - 1)
        draft.replace(opens + 1, opens + 1, f"{pad}{member}{close}", member)


def _indent(text: str) -> str | None:
    """Return one level's indentation; four spaces for an empty object; None if on one line."""
    found = _INDENT.search(text)
    if found:
        return found.group(1)
    return None if '"' in text else "    "


def strip(text: str, edits: list[Edit], ours: list[Member], where: str) -> str:
    """Return `text` without our members. Raises EngineError if one has been changed since."""
    parse(text, where)
    wanted = text
    for member in reversed(ours):
        wanted = _without(wanted, member, where)
    if any(edit.kind == "base" for edit in edits) and json.loads(wanted) == {}:
        return ""
    plain = _undone(text, edits, where)
    return plain if plain is not None and _same(plain, wanted) else wanted


def _undone(text: str, edits: list[Edit], where: str) -> str | None:
    try:
        for edit in reversed(edits):
            text = undo(text, edit, where)
    except EngineError:
        return None
    return text


def _same(plain: str, wanted: str) -> bool:
    try:
        return bool(json.loads(plain) == json.loads(wanted))
    except ValueError:
        return False


def _without(text: str, member: Member, where: str) -> str:
    span = find(text, member.keys)[1] if _parents(text, member.keys) else None
    if span is None:
        return text
    found, ours = json.loads(text[span.value : span.end]), json.loads(member.new)
    if ours == {} and found != {}:  # our object, to which the owner has added members
        return text
    if found != ours:
        name = ".".join(member.keys)
        raise changed(where, f"{name}: {member.new}", text[span.start : span.end])
    if member.old is None:
        return _cut(text, member.keys)
    return text[: span.value] + member.old + text[span.end :]


def _parents(text: str, keys: Sequence[str]) -> bool:
    document = json.loads(text)
    for key in keys[:-1]:
        document = document.get(key)
        if not isinstance(document, dict):
            return False
    return True


def _cut(text: str, keys: Sequence[str]) -> str:
    """Return `text` without the member and its comma."""
    opens, span = find(text, keys)
    if span is None:
        return text
    spans = members(text, opens)
    place = spans.index(span)
    if place + 1 < len(spans):
        return text[: span.start] + text[spans[place + 1].start :]
    before = spans[place - 1].end if place else opens + 1
    return text[:before] + text[span.end :]

"""Changing TOML in its text, each change verified by parsing the result.

The owner's text is never serialised again: a change is an insertion at a likely place, kept only if
the whole file then parses to exactly the wanted document. A library that edits TOML losslessly
(tomlkit) would find the places; but it would not record which bytes are ours, which the undo needs.
"""

from __future__ import annotations

import json
import re
import tomllib
from copy import deepcopy
from typing import TYPE_CHECKING, Any

from runc_wrap.engines.handler import EngineError
from runc_wrap.engines.marked_text import Draft, Edit, changed

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

Table = dict[str, Any]
_BARE = re.compile(r"[A-Za-z0-9_-]+")
_HEADER = re.compile(r"^[ \t]*\[[^\n]*(?:\n|\Z)", re.MULTILINE)


def parse(text: str, where: str) -> Table:
    """Return the document. Raises EngineError, which names the file `where`."""
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # also a number of thousands of digits
        raise EngineError(f"{where}: {error}", "valid TOML", "correct the file first") from error


def value(item: object) -> str:
    """Return `item` (str, bool, int, float or a list of those) as TOML."""
    if isinstance(item, list | tuple):
        return "[" + ", ".join(value(each) for each in item) + "]"
    if isinstance(item, str):
        return json.dumps(item, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(item, bool | int):
        return json.dumps(item)
    if isinstance(item, float):
        return repr(item)
    raise EngineError(f"a setting of type {type(item).__name__}", "a plain value", "set it by hand")


def key(name: str) -> str:
    """Return `name` as a TOML key, quoted if necessary."""
    return name if _BARE.fullmatch(name) else value(name)


def table(path: Sequence[str], settings: Table) -> str:
    """Return one table as text: its header and its plain settings."""
    lines = ["[" + ".".join(key(part) for part in path) + "]"]
    lines += [f"{key(name)} = {value(item)}" for name, item in settings.items()]
    return "\n".join(lines) + "\n"


def block(title: str, body: str) -> str:
    """Return `body` between the marks by which a reader, and `remove`, recognizes it as ours."""
    begin = f"# BEGIN {title}, written by `runc-wrapctl engine add`, taken out by `engine remove`\n"
    return begin + body + f"# END {title}\n"


def lookup(document: Table, path: Sequence[str]) -> Table:
    """Return the table at `path`, {} if there is none."""
    for part in path:
        found = document.get(part)
        document = found if isinstance(found, dict) else {}
    return document


def merged(base: Table, over: Table) -> Table:
    """Return `base` with the tables of `over` merged in, key by key."""
    result = dict(base)
    for name, item in over.items():
        old = result.get(name)
        both = isinstance(old, dict) and isinstance(item, dict)
        result[name] = merged(old, item) if both and isinstance(old, dict) else item
    return result


def append(draft: Draft, title: str, body: str, where: str) -> None:
    """Append the tables in `body` as a marked block. Raises EngineError if that is impossible."""
    glue = "" if not draft.text else "\n" if draft.text.endswith("\n") else "\n\n"
    new = glue + block(title, body)
    wanted = merged(parse(draft.text, where), tomllib.loads(body))
    if not _gives(draft.text + new, wanted):
        raise EngineError(
            f"{where}: its tables are inline or complete, so that none can be appended",
            "tables under [headers]",
            f"add this by hand:\n{body}",
        )
    end = len(draft.text)
    draft.replace(end, end, new, f"# BEGIN {title},", "tables")


def add_import(draft: Draft, pattern: str, where: str) -> None:
    """Add `pattern` to the list of the root key `imports`."""
    wanted = parse(draft.text, where)
    listed = wanted.get("imports", [])
    wanted["imports"] = [pattern, *(listed if isinstance(listed, list) else [listed])]
    places = re.finditer(r"^[ \t]*imports[ \t]*=[ \t]*\[", draft.text, re.MULTILINE)
    candidates = [(place.end(), place.end(), f"{value(pattern)}, ") for place in places]
    candidates.append((0, 0, f"imports = [{value(pattern)}]\n"))
    if not _first_good(draft, candidates, wanted, value(pattern)):
        raise EngineError(
            f"{where}: no `imports = [` to which a pattern can be added",
            f"imports to list {pattern}",
            f"add {value(pattern)} to imports by hand, then run this again",
        )


def set_value(draft: Draft, path: Sequence[str], name: str, item: str, where: str) -> None:
    """Set `name` in the table at `path`: replace the line that sets it, or add a new one."""
    wanted = deepcopy(parse(draft.text, where))
    inner: Table = {name: item}
    for part in reversed(path):
        inner = {part: inner}
    wanted = merged(wanted, inner)
    line = f"{name} = {value(item)}  # set by runc-wrapctl"
    body = table(path, {name: item})
    if _gives(draft.text + f"\n{body}", wanted):
        append(draft, f"runc-wrap: {name}", body, where)
    elif not _first_good(draft, _places(draft.text, name, line), wanted, line):
        raise EngineError(
            f"{where}: no place found to set {name}",
            f"{name} = {value(item)} in [{'.'.join(key(part) for part in path)}]",
            "set it by hand, and omit --default",
        )


def _places(text: str, name: str, line: str) -> Iterator[tuple[int, int, str]]:
    for found in re.finditer(rf"\b{name}[ \t]*=[ \t]*(\"[^\"\n]*\"|'[^'\n]*')", text):
        yield found.start(), found.end(), line
    for found in _HEADER.finditer(text):
        glue = "" if found.group().endswith("\n") else "\n"
        yield found.end(), found.end(), f"{glue}{line}\n"


def _first_good(
    draft: Draft,
    candidates: Iterator[tuple[int, int, str]] | list[tuple[int, int, str]],
    wanted: Table,
    mark: str,
) -> bool:
    for start, end, new in candidates:
        if _gives(draft.text[:start] + new + draft.text[end:], wanted):
            draft.replace(start, end, new, mark)
            return True
    return False


def _gives(text: str, wanted: Table) -> bool:
    try:
        return tomllib.loads(text) == wanted
    except (tomllib.TOMLDecodeError, RecursionError):
        return False


def check_undone(before: str, after: str, edit: Edit, where: str) -> None:
    """Raise EngineError if removing `edit` moved an owner's setting to another table."""
    if edit.kind != "tables" or before == after:
        return
    if merged(parse(after, where), tomllib.loads(edit.new)) != parse(before, where):
        raise changed(where, edit.new, before[before.rfind(edit.mark) :][:2000])

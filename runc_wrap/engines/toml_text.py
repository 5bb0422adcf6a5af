"""The owner's TOML: read, printed, and edited by blocks of ours, which can be taken out again.

Each block stands between two marks. One that changes a line of the owner's keeps that line as a
comment. The owner's TOML is never serialised again: an edit is kept only if the whole file then
parses to exactly the wanted document.
"""

import json
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Annotated, Any

from runc_wrap.documents.constraints import Most
from runc_wrap.engines.handler import EngineError

Table = dict[str, Any]
_BARE = re.compile(r"[A-Za-z0-9_-]+")
_BLOCK = re.compile(r"^# BEGIN (runc-wrap: .*), written by .*\n(?s:(.*?))^# END \1\n", re.MULTILINE)
_WAS = "# was: "
_LONGEST = 4 << 20  # characters of a file
_HEADER = re.compile(r"^[ \t]*\[[^\n]*(?:\n|\Z)", re.MULTILINE)
_IMPORTS = re.compile(r"^[ \t]*imports[ \t]*=[ \t]*\[", re.MULTILINE)


def parse(text: str, where: str) -> Table:
    """Return the document. Raises EngineError, which names the file `where`."""
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # also a number of thousands of digits
        raise EngineError(f"{where} is no valid TOML: {error}; try: correct it") from error


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
    kind = type(item).__name__
    raise EngineError(f"a setting of type {kind} is no plain value; try: set it by hand")


def key(name: str) -> str:
    """Return `name` as a TOML key, quoted if necessary."""
    return name if _BARE.fullmatch(name) else value(name)


def table(path: Sequence[str], settings: Table) -> str:
    """Return one table as text: its header and its plain settings."""
    lines = ["[" + ".".join(key(part) for part in path) + "]"]
    lines += [f"{key(name)} = {value(item)}" for name, item in settings.items()]
    return "\n".join(lines) + "\n"


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


@dataclass(frozen=True)
class Saved:
    """A file's text without our parts, None if there was no file, and as we wrote it."""

    before: Annotated[str | None, Most(_LONGEST)]
    after: Annotated[str, Most(_LONGEST)]


def block(title: str, body: str) -> str:
    """Return `body` between the marks by which a reader recognizes it as ours."""
    begin = f"# BEGIN {title}, written by `runc-wrapctl engine add`, taken out by `engine remove`\n"
    return begin + body + f"# END {title}\n"


def appended(text: str, title: str, body: str) -> str:
    """Return `text` with a block after it."""
    glue = "" if not text else "\n" if text.endswith("\n") else "\n\n"
    return text + glue + block(title, body)


def with_tables(text: str, bodies: Mapping[str, str], where: str) -> str:
    """Return a TOML text with the tables of {title: body}. Raises EngineError if it takes none."""
    new, body = text, "".join(bodies.values())
    for title in bodies:
        new = appended(new, title, bodies[title])
    return _first_good(
        [new],
        merged(parse(text, where), tomllib.loads(body)),
        f"{where}: its tables are inline or complete, so that none can be appended; try: add this "
        f"by hand:\n{body}",
    )


def with_import(text: str, pattern: str, where: str) -> str:
    """Return a TOML text with `pattern` first in the list of the root key `imports`."""
    wanted = parse(text, where)
    listed, title = wanted.get("imports", []), "runc-wrap: imports"
    wanted["imports"] = [pattern, *(listed if isinstance(listed, list) else [listed])]
    printed = value(pattern)
    candidates = [_edited(text, title, (place.end(), place.end()), f"{printed}, ")
                  for place in _IMPORTS.finditer(text)]  # fmt: skip
    candidates.append(block(title, f"imports = [{printed}]\n") + text)
    refusal = f"{where}: no `imports = [` for a pattern; try: add {printed} by hand"
    return _first_good(candidates, wanted, refusal)


def with_value(text: str, path: Sequence[str], name: str, item: str, where: str) -> str:
    """Return a TOML text in which the table at `path` sets `name` to `item`."""
    inner: Table = {name: item}
    for part in reversed(path):
        inner = {part: inner}
    wanted = merged(deepcopy(parse(text, where)), inner)
    at = ".".join(map(key, path))
    refusal = f"{where}: no place for {name} = {value(item)} in [{at}]; try: set it by hand"
    return _first_good(_settings(text, path, name, item), wanted, refusal)


def _settings(text: str, path: Sequence[str], name: str, item: str) -> Iterator[str]:
    """Yield `text` with a table after it, a line changed that sets `name`, or a new line."""
    title, line = f"runc-wrap: {name}", f"{name} = {value(item)}"
    yield appended(text, title, table(path, {name: item}))
    for found in re.finditer(rf"\b{name}[ \t]*=[ \t]*(\"[^\"\n]*\"|'[^'\n]*')", text):
        yield _edited(text, title, found.span(), line)
    for found in _HEADER.finditer(text):
        glue = "" if found.group().endswith("\n") else "\n"
        yield text[: found.end()] + glue + block(title, f"{line}\n") + text[found.end() :]


def _edited(text: str, title: str, span: tuple[int, int], new: str) -> str:
    """Return `text` with a part of one line replaced, in a block that keeps that line."""
    first, end = text.rfind("\n", 0, span[0]) + 1, text.find("\n", span[1]) + 1 or len(text)
    line, changed = text[first:end], text[first : span[0]] + new + text[span[1] : end]
    glue = "" if line.endswith("\n") else "\n"
    return text[:first] + block(title, f"{changed}{glue}{_WAS}{line}{glue}") + text[end:]


def _first_good(candidates: Iterable[str], wanted: Table, refusal: str) -> str:
    """Return the first that gives the wanted document. Raises EngineError if none does."""
    for each in candidates:
        if document(each) == wanted:
            return each
    raise EngineError(refusal)


def document(text: str) -> Table | None:
    """Return the document of a text, None of one that is no TOML, as a template is none."""
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError):
        return None


def without_ours(text: str, saved: Saved, where: str) -> str:
    """Return `text` without our blocks. Raises EngineError if one has been changed since."""
    theirs = {found.group() for found in _BLOCK.finditer(saved.before or "")}
    for found in _BLOCK.finditer(saved.after):
        ours, begin = found.group(), found.group().partition("\n")[0]
        if ours not in theirs and begin in text:
            is_whole = ours == saved.after  # with more in it, it is not only ours any more
            rest = None if is_whole or text.count(ours) != 1 else _cut(text, ours)
            if rest is None or _moves(text, rest, found[2]):
                raise changed(where, ours, text[text.index(begin) :][:2000])
            text = rest
    return text


def _cut(text: str, ours: str) -> str:
    """Return `text` without a block, and with the owner's lines that it keeps."""
    head, _, tail = text.partition(ours)
    was = "".join(re.findall(rf"^{_WAS}(.*\n)", ours, re.MULTILINE))
    has_glue = not was and (head.endswith("\n\n") or head == "\n")
    return (head[:-1] if has_glue else head) + was + tail


def _moves(text: str, rest: str, body: str) -> bool:
    """Tell whether a setting that the owner wrote after our tables is in another table now."""
    before = document(text)
    if before is None or not body.startswith("["):
        return False
    after = document(rest)
    return after is None or merged(after, tomllib.loads(body)) != before


def changed(where: str, ours: str, found: str) -> EngineError:
    """Return the error for text that runc-wrap wrote and somebody edited."""
    return EngineError(
        f"{where}: the text that runc-wrapctl wrote was changed since, to:\n{found.strip()}\n; "
        f"try: restore it, or remove all of it. It was:\n{ours.strip()}\n"
    )

"""The lines of the keys of a TOML document, for error messages.

tomllib does not report lines and tomlkit does not expose them. This scan is for documents that
tomllib accepts: it finds headers, and keys at the beginning of lines, and skips strings and lists
that span lines. A key that it does not find (in an inline table) gets the line of its parent.
"""

import re
from collections.abc import Iterator

Key = tuple[str | int, ...]

_ONE = r"""(?:[A-Za-z0-9_-]+|"[^"]*"|'[^']*')"""
_KEY = re.compile(rf"[ \t]*({_ONE}(?:[ \t]*\.[ \t]*{_ONE})*)[ \t]*=")
_HEADER = re.compile(r"[ \t]*(\[\[?)(.*?)\]\]?[ \t]*(?:#.*)?$")
_PART = re.compile(_ONE)
_TOKEN = re.compile(
    r'"""(?:\\.|[^\\])*?"{3,5}|' + r"'''.*?'{3,5}|" + r'"(?:\\.|[^"\\\n])*"|' + r"'[^'\n]*'|"
    r"#[^\n]*|[\[{]|[\]}]|\n",
    re.DOTALL,
)


def of(text: str) -> dict[Key, int]:
    """Return {path of a key or table: its line}; the tables of an array are numbered from 0."""
    found: dict[Key, int] = {}
    table: Key = ()
    arrays: dict[str, int] = {}
    for number, line in _beginnings(text):
        if header := _HEADER.match(line):
            table = _table(header, arrays)
            found.setdefault(table, number)
        elif key := _KEY.match(line):
            path = table + _parts(key[1])
            for end in range(len(table) + 1, len(path) + 1):
                found.setdefault(path[:end], number)
    return found


def line(found: dict[Key, int], path: Key) -> int:
    """Return the line of a key, or of its nearest parent that has one; otherwise 1."""
    return next((found[path[:end]] for end in range(len(path), 0, -1) if path[:end] in found), 1)


def _table(header: re.Match[str], arrays: dict[str, int]) -> Key:
    parts = _parts(header[2])
    first = str(parts[0]) if parts else ""
    if header[1] == "[[" and len(parts) == 1:
        arrays[first] = arrays.get(first, -1) + 1
    return (first, arrays[first], *parts[1:]) if first in arrays else parts


def _parts(text: str) -> Key:
    return tuple(part.strip("\"'") for part in _PART.findall(text))


def _beginnings(text: str) -> Iterator[tuple[int, str]]:
    """Yield (number, text) of each line that begins outside strings, lists and inline tables."""
    lines = text.replace("\r\n", "\n").split("\n")
    number, depth = 1, 0
    yield number, lines[0]
    for token in _TOKEN.finditer("\n".join(lines)):
        word = token[0]
        number += word.count("\n")
        depth += (word in "[{") - (word in "]}")
        if word == "\n" and depth == 0:
            yield number, lines[number - 1]

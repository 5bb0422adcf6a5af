"""Reading TOML, and printing the few values and tables that are ours."""

from __future__ import annotations

import json
import re
import tomllib
from typing import TYPE_CHECKING, Any

from runc_wrap.engines.handler import EngineError

if TYPE_CHECKING:
    from collections.abc import Sequence

Table = dict[str, Any]
_BARE = re.compile(r"[A-Za-z0-9_-]+")


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

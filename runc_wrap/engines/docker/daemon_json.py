"""Docker: `runtimes` in daemon.json, as text: the order of keys and the indentation stay.

dockerd refuses to start if both `--add-runtime` on its command line and `runtimes` in the file are
given. Source: moby daemon/config and cmd/dockerd; `dockerd --validate --config-file` checks a file.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from runc_wrap.engines import toml_text
from runc_wrap.engines.handler import EngineError, HandedOver, Handler, refuse_taken
from runc_wrap.profiles.json_profiles.strict_json import refuse_constant, unique_members
from runc_wrap.profiles.source_profile import ProfileError

if TYPE_CHECKING:  # what is computed here opens nothing
    from pathlib import Path

    from runc_wrap.engines.engine_files import Tree

CONFIG = "/etc/docker/daemon.json"
_Json = dict[str, Any]
_BUILT_IN = "runc"  # dockerd's name for its own default
_DEFAULT = "default-runtime"
_INDENT = re.compile(r"\n([ \t]+)\"")
_VALIDATES = 23  # the first release with --validate


def can_validate(version: str | None) -> bool:
    """Tell whether a dockerd can check a file without using it; so does one of unknown version."""
    found = re.match(r"(\d+)\.", version or "")
    return found is None or int(found[1]) >= _VALIDATES


def neutral(text: str | None) -> str | None:
    """Return the file with Docker's defaults for the keys that it lacks, None if it lacks none.

    A reload keeps the old value of a key that the file no longer has.
    """
    document = _parsed(text or "", CONFIG)
    said = {"runtimes": {}, _DEFAULT: _BUILT_IN} | document
    return None if said.keys() == document.keys() else json.dumps(said, indent=2) + "\n"


def has_runtimes(text: str | None) -> bool:
    """Tell whether the text of daemon.json sets runtimes at all."""
    return "runtimes" in _parsed(text or "", CONFIG)


def without_ours(text: str, saved: toml_text.Saved, where: str) -> str:
    """Return daemon.json without what we set there. Raises EngineError if that was changed."""
    texts = (text, saved.before or "", saved.after)
    found, before, after = (_parsed(each, where) for each in texts)
    runtimes = found.get("runtimes")
    if isinstance(runtimes, dict):
        _put_back(runtimes, before.get("runtimes", {}), after.get("runtimes", {}), where)
        if not runtimes and "runtimes" not in before:
            del found["runtimes"]
    _put_back(found, before, {key: after[key] for key in after if key == _DEFAULT}, where)
    had_none = not (saved.before or "").strip()
    return "" if had_none and not found else _printed(found, text, where)


def _put_back(found: _Json, before: _Json, ours: _Json, where: str) -> None:
    for key in [key for key in ours if key in found and ours[key] != before.get(key)]:
        if found[key] != ours[key]:
            words = (json.dumps({key: each[key]}) for each in (ours, found))
            raise toml_text.changed(where, *words)
        if key in before:
            found[key] = before[key]
        else:
            del found[key]


def render(tree: Tree, config: Path, handlers: list[Handler]) -> None:
    """Put `handlers` into the draft of daemon.json. Raises EngineError."""
    text, where = tree.text(config), str(config)
    document = _parsed(text, where)
    runtimes = document.setdefault("runtimes", {})
    if not isinstance(runtimes, dict):
        raise EngineError(f"{where}: runtimes is not an object; try: correct it first")
    refuse_taken(where, handlers, runtimes)
    runtimes |= {handler.name: {"path": handler.path} for handler in handlers}
    for handler in (each for each in handlers if each.default):
        document[_DEFAULT] = handler.name
    if any(isinstance(handler, HandedOver) and handler.was_default for handler in handlers):
        document.setdefault(_DEFAULT, _BUILT_IN)  # see Docker.reload
    tree.put(config, _printed(document, text, where))


def _parsed(text: str, where: str) -> _Json:
    """Return the object, {} of an empty text. Raises EngineError, also for a key given twice."""
    try:
        document = json.loads(
            text if text.strip() else "{}",
            object_pairs_hook=unique_members,
            parse_constant=refuse_constant,
        )
    except (ProfileError, ValueError, RecursionError) as error:
        raise EngineError(f"{where} is no valid JSON: {error}; try: correct it") from error
    if not isinstance(document, dict):
        raise EngineError(f"{where} is not a JSON object; try: correct it")
    return document


def _printed(document: _Json, former: str, where: str) -> str:
    """Return the text of a changed object, indented as its former text was. Raises EngineError."""
    found = _INDENT.search(former)
    indent = found[1] if found else None if '"' in former else "    "
    try:
        text = json.dumps(document, indent=indent, ensure_ascii=False, allow_nan=False)
        text.encode()
    except ValueError as error:  # 1e999, or a half of a surrogate pair
        raise EngineError(f"{where} is no valid JSON: {error}; try: correct it") from error
    return text + ("\n" if former.endswith("\n") or not former.strip() else "")

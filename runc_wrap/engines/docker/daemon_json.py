"""Docker: `runtimes` in daemon.json.

dockerd refuses to start if both `--add-runtime` on its command line and `runtimes` in the file are
given. Source: moby daemon/config and cmd/dockerd; `dockerd --validate --config-file` checks a file.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runc_wrap.engines import json_text, marked_text
from runc_wrap.engines.handler import EngineError, HandedOver, Handler, refuse_taken

if TYPE_CHECKING:
    from runc_wrap.engines.file_drafts import Tree
    from runc_wrap.engines.marked_text import Saved

CONFIG = Path("/etc/docker/daemon.json")
_Json = dict[str, Any]
BUILT_IN = "runc"  # dockerd's name for its own default
_DEFAULT = "default-runtime"
_VALIDATES = 23  # the first release with --validate


def can_validate(version: str | None) -> bool:
    """Tell whether a dockerd can check a file without using it; so does one of unknown version."""
    found = re.match(r"(\d+)\.", version or "")
    return found is None or int(found[1]) >= _VALIDATES


def neutral(text: str | None) -> str | None:
    """Return the file with Docker's defaults for the keys that it lacks, None if it lacks none.

    A reload keeps the old value of a key that the file no longer has.
    """
    document = json_text.parse(text or "", str(CONFIG))
    said = {"runtimes": {}, "default-runtime": BUILT_IN} | document
    return None if said.keys() == document.keys() else json.dumps(said, indent=2) + "\n"


def has_runtimes(text: str | None) -> bool:
    """Tell whether the text of daemon.json sets runtimes at all."""
    return "runtimes" in json_text.parse(text or "", str(CONFIG))


def without_ours(text: str, saved: Saved, where: str) -> str:
    """Return daemon.json without what we set there. Raises EngineError if that was changed."""
    texts = (text, saved.before or "", saved.after)
    found, before, after = (json_text.parse(each, where) for each in texts)
    runtimes = found.get("runtimes")
    if isinstance(runtimes, dict):
        _put_back(runtimes, before.get("runtimes", {}), after.get("runtimes", {}), where)
        if not runtimes and "runtimes" not in before:
            del found["runtimes"]
    _put_back(found, before, {key: after[key] for key in after if key == _DEFAULT}, where)
    had_none = not (saved.before or "").strip()
    return "" if had_none and not found else json_text.printed(found, text, where)


def _put_back(found: _Json, before: _Json, ours: _Json, where: str) -> None:
    for key in [key for key in ours if key in found and ours[key] != before.get(key)]:
        if found[key] != ours[key]:
            words = (json.dumps({key: each[key]}) for each in (ours, found))
            raise marked_text.changed(where, *words)
        if key in before:
            found[key] = before[key]
        else:
            del found[key]


def render(tree: Tree, config: Path, handlers: list[Handler]) -> None:
    """Put `handlers` into the draft of daemon.json. Raises EngineError."""
    if not handlers:
        return
    text, where = tree.text(config), str(config)
    document = json_text.parse(text, where)
    _check(document, handlers, where)
    document.setdefault("runtimes", {}).update(
        {handler.name: {"path": handler.path} for handler in handlers}
    )
    for handler in (each for each in handlers if each.default):
        document[_DEFAULT] = handler.name
    if _was_default(handlers):
        document.setdefault(_DEFAULT, BUILT_IN)  # see Docker.reload
    tree.put(config, json_text.printed(document, text, where))


def _was_default(handlers: list[Handler]) -> bool:
    return any(isinstance(handler, HandedOver) and handler.was_default for handler in handlers)


def _check(document: dict[str, Any], handlers: list[Handler], where: str) -> None:
    runtimes = document.get("runtimes", {})
    if not isinstance(runtimes, dict):
        raise EngineError(
            f"{where}: runtimes is not an object", "an object", "correct the file first"
        )
    refuse_taken(where, handlers, runtimes)

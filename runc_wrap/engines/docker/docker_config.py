"""Docker: `runtimes` in daemon.json.

dockerd refuses to start if both `--add-runtime` on its command line and `runtimes` in the file are
given. Source: moby daemon/config and cmd/dockerd; `dockerd --validate --config-file` checks a file.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runc_wrap.engines import json_text
from runc_wrap.engines.handler import EngineError, HandedOver, Handler

if TYPE_CHECKING:
    from runc_wrap.engines.file_tree import Tree

CONFIG = Path("/etc/docker/daemon.json")
BUILT_IN = "runc"  # dockerd's name for its own default
_VALIDATES = 23  # the first release with --validate


def can_validate(version: str | None) -> bool:
    """Tell whether a dockerd can check a file without using it; so does one of unknown version."""
    found = re.match(r"(\d+)\.", version or "")
    return found is None or int(found[1]) >= _VALIDATES


def neutral(text: str | None) -> str | None:
    """Return the same settings with those said that a reload keeps otherwise; None if all are."""
    document = json_text.parse((text or "").strip() or "{}", str(CONFIG))
    said = {"runtimes": {}, "default-runtime": BUILT_IN} | document
    return None if said.keys() == document.keys() else json.dumps(said, indent=2) + "\n"


def has_runtimes(text: str | None) -> bool:
    """Tell whether the text of daemon.json sets runtimes at all."""
    return "runtimes" in json_text.parse((text or "").strip() or "{}", str(CONFIG))


def render(tree: Tree, config: Path, handlers: list[Handler]) -> None:
    """Put `handlers` into the draft of daemon.json. Raises EngineError."""
    if not handlers:
        return
    draft, where = tree.draft(config), str(config)
    if not draft.text.strip():
        draft.begin("{}\n")
    document = json_text.parse(draft.text, where)
    _check(document, handlers, where)
    if "runtimes" not in document:
        json_text.set_member(draft, ["runtimes"], {})
    for handler in handlers:
        json_text.set_member(draft, ["runtimes", handler.name], {"path": handler.path})
    for handler in (each for each in handlers if each.is_default):
        json_text.set_member(draft, ["default-runtime"], handler.name)
    if "default-runtime" not in json_text.parse(draft.text, where) and _was_default(handlers):
        json_text.set_member(draft, ["default-runtime"], BUILT_IN)  # see Docker.reload


def _was_default(handlers: list[Handler]) -> bool:
    return any(isinstance(handler, HandedOver) and handler.default for handler in handlers)


def _check(document: dict[str, Any], handlers: list[Handler], where: str) -> None:
    runtimes = document.get("runtimes", {})
    if not isinstance(runtimes, dict):
        raise EngineError(
            f"{where}: runtimes is not an object", "an object", "correct the file first"
        )
    for handler in handlers:
        if handler.name in runtimes:
            raise EngineError(
                f'{where}: a runtime "{handler.name}" of which runc-wrapctl has no record',
                "an unused name",
                "another --handler, or remove that runtime first",
            )

"""What is registered with an engine, as our own record of it says; see registration_plan.py.

The state directory holds what the undo needs, for each engine and configuration: the handlers, our
own text in each file (of the owner's only what we replaced), and the directories that we made.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runc_wrap.engines import engine_files
from runc_wrap.engines.handler import EngineError, Handler

if TYPE_CHECKING:
    from runc_wrap.node.paths import Places

FORMAT = 1
_KEYS = ("engine", "config", "facts", "handlers", "files", "dirs")  # of every release's states


@dataclass(frozen=True)
class Where:
    """One configuration of one engine, and our own directories: bin (the wrapper) and state."""

    engine: str
    config: Path
    bin_dir: Path
    state_dir: Path

    @property
    def state_file(self) -> Path:
        """The file with this registration's state."""
        digest = hashlib.sha256(os.fsencode(self.config)).hexdigest()[:12]
        return self.state_dir / f"{self.engine}-{digest}.json"

    @property
    def change(self) -> Path:
        """The record of a change of it that is neither kept nor undone; see host/change_set."""
        return self.state_dir.parent / "changes" / self.state_file.name


def states(state_dir: Path) -> list[dict[str, Any]]:
    """Return every registration: [{format, engine, config, facts, handlers, files, dirs}]."""
    return [load(path) for path in sorted(state_dir.glob("*.json"))]


def of(where: Where) -> dict[str, Any]:
    """Return the state of one configuration, an empty one if nothing is registered there."""
    return load(where.state_file)


def load(path: Path) -> dict[str, Any]:
    """Return the state in a file, an empty one without it. Raises EngineError."""
    text = engine_files.read(path)
    if text is None:
        return empty()
    try:
        state = json.loads(text)
        known = state["format"] == FORMAT
        for key in _KEYS if known else ():
            state[key]
    except (ValueError, KeyError, TypeError) as error:
        raise EngineError(
            f"{path}: {error!r}", "a registration's state", "restore it from a backup"
        ) from error
    if not known:
        raise EngineError(
            f"{path}: format {state['format']!r}", f"{FORMAT}", "a newer runc-wrapctl"
        )
    # an earlier build kept the names of removed handlers: they can be removed as the others
    return {**state, "handlers": [*state["handlers"], *state.pop("kept", [])]}


def text(state: dict[str, Any]) -> str:
    """Return the text of a state's file."""
    return json.dumps(state, indent=1) + "\n"


def empty() -> dict[str, Any]:
    """Return the state of a configuration in which nothing is registered."""
    return {"format": FORMAT, "handlers": [], "files": {}, "dirs": [], "facts": {}}


def where_of(state: dict[str, Any], places: Places) -> Where:
    """Return where a registration of this installation is."""
    bin_dir = places.wrapper.parent
    return Where(state["engine"], Path(state["config"]), bin_dir, places.engines)


def handlers_of(state: dict[str, Any]) -> list[Handler]:
    """Return the handlers that a state records."""
    return [Handler(**each) for each in state["handlers"]]


def names(state: dict[str, Any]) -> list[str]:
    """Return the names that are in an engine's configuration through us."""
    return [handler.name for handler in handlers_of(state)]

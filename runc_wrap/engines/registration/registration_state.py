"""What is registered with an engine, as our own record of it says; see registration_plan.py.

The state directory holds what the removal needs, for each engine and configuration: the handlers,
each file that we wrote to as it was before and after, and the directories that we made.
"""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from runc_wrap.documents.constraints import Key
from runc_wrap.documents.reader import DocumentError, read, record, written
from runc_wrap.engines import engine_files
from runc_wrap.engines.handler import EngineError, Facts, Handler
from runc_wrap.engines.toml_text import Saved
from runc_wrap.node.paths import Places


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


@dataclass(frozen=True)
class HandlersWanted:
    """Which handlers an engine must have, {handler: path}, and which names no more."""

    present: Mapping[str, str]
    gone: frozenset[str] = frozenset()

    def difference(self, found: Mapping[str, str | None] | None) -> str:
        """Return in one phrase what is different; "" if nothing is or `found` is None."""
        if found is None:
            return ""
        for name, path in self.present.items():
            if name not in found:
                return f"the handler {name} is missing"
            if found[name] not in (None, path):
                return f"the handler {name} is {found[name] or 'runc itself'}, not {path}"
        return next((f"the handler {name} is still there" for name in self.gone & {*found}), "")


@record
class Registered:
    """What is registered in one configuration; `facts` are what the handlers were written by.

    `files`: {path: what we wrote}; `dirs`: those that we made.
    """

    engine: str
    at: Annotated[str, Key("config")]
    facts: Facts
    handlers: list[Handler]
    files: dict[str, Saved]
    dirs: list[str]
    format: Literal[2] = 2

    @property
    def config(self) -> Path:
        """The engine's configuration."""
        return Path(self.at)

    @property
    def names(self) -> list[str]:
        """The names that are in the engine's configuration through us."""
        return [handler.name for handler in self.handlers]

    @property
    def wanted(self) -> HandlersWanted:
        """The handlers that the engine must have."""
        return HandlersWanted({each.name: each.path for each in self.handlers})

    def text(self) -> str:
        """Return the text of its file."""
        return json.dumps(written(self), indent=1, ensure_ascii=False) + "\n"

    def where(self, places: Places) -> Where:
        """Return where it is, as one of this installation."""
        return Where(self.engine, self.config, places.wrapper.parent, places.engines)


def states(state_dir: Path) -> list[Registered]:
    """Return every registration. Raises EngineError."""
    found = (_load(path) for path in sorted(state_dir.glob("*.json")))
    return [each for each in found if each]


def handlers(places: Places) -> Iterator[tuple[Where, str]]:
    """Yield each registered handler: where, and its name. Raises EngineError."""
    for state in states(places.engines):
        for name in state.names:
            yield state.where(places), name


def readable(state_dir: Path) -> list[Registered]:
    """Return the same; [] if one cannot be read, which `engine list` and doctor's handlers say."""
    try:
        return states(state_dir)
    except (EngineError, OSError):
        return []


def unfinished(places: Places) -> list[Path]:
    """Return the records of changes that are not over, readable or not; see Where.change."""
    return sorted((places.var / "changes").glob("*.json"))


def with_handler(places: Places, engine: str, handler: str) -> Registered | None:
    """Return an engine's registration that has this handler. Raises EngineError for several."""
    found = [one for one in states(places.engines) if one.engine == engine and handler in one.names]
    if len(found) > 1:
        configs = " and ".join(one.at for one in found)
        raise EngineError(f"{handler} is registered in {configs}; try: --config FILE")
    return found[0] if found else None


def of(where: Where) -> Registered:
    """Return the one of a configuration, an empty one if nothing is registered there."""
    return _load(where.state_file) or empty(where.engine, where.config)


def empty(engine: str, config: Path) -> Registered:
    """Return the one of a configuration in which nothing is registered."""
    return Registered(engine, str(config), {}, [], {}, [])


def _load(path: Path) -> Registered | None:
    text = engine_files.read(path)
    try:
        return None if text is None else read(Registered, text.encode())
    except DocumentError as error:
        raise EngineError(f"{path}: {error}; try: the runc-wrapctl that wrote it") from error

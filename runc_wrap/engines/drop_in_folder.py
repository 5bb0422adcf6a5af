"""A directory FILE.d beside a configuration, of which ours is one file for each handler.

CRI-O and Podman read all files there after the main one, in lexical order.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from runc_wrap.engines import engine_files, toml_text
from runc_wrap.engines.handler import EngineError

if TYPE_CHECKING:
    from runc_wrap.engines.file_drafts import Tree
    from runc_wrap.engines.handler import Handler
    from runc_wrap.engines.toml_text import Table

_HEAD, _TAIL = "50-runc-wrap-", ".conf"
_MOST = 1000  # files


def path(config: Path, handler: Handler) -> Path:
    """Return the file of one handler."""
    return _folder(config) / f"{_HEAD}{handler.name}{_TAIL}"


def handlers_in(config: Path) -> list[str]:
    """Return the names of the handlers whose files runc-wrap wrote."""
    found = sorted(_folder(config).glob(f"{_HEAD}*{_TAIL}"))
    return [each.stem.removeprefix(_HEAD) for each in found]


def _folder(config: Path) -> Path:
    return config.parent / f"{config.name}.d"


def others(
    tree: Tree, config: Path, handlers: list[Handler], pattern: str = "**/*"
) -> list[tuple[Path, Table]]:
    """Return the main file and those of the directory, in order, without ours.

    Raises EngineError.
    """
    ours = {*(path(config, handler) for handler in handlers), *map(Path, tree.saved)}
    found = sorted(each for each in _folder(config).glob(pattern) if each.is_file())
    if len(found) > _MOST:
        raise EngineError(
            f"{config}.d has over {_MOST} files", "fewer", "remove what is not needed"
        )
    return [
        (each, toml_text.parse(engine_files.read(each) or "", str(each)))
        for each in (config, *found)
        if not {each, each.resolve()} & ours
    ]

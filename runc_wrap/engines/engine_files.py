"""The engines' files: read, and drafted without our parts, ready to be rendered again.

Adding, changing and removing are the same operation: take all our parts out, then put in what the
remaining handlers need. A file that is still as we wrote it gets its former text back; from
another one the engine's room takes our parts out.

CRI-O and Podman read all files of a directory FILE.d after the main one, in lexical order; ours is
one file for each handler.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from runc_wrap.engines import toml_text
from runc_wrap.engines.handler import EngineError, Handler
from runc_wrap.engines.toml_text import Saved, Table
from runc_wrap.host import files

MAX_BYTES = 4 * 1024 * 1024
_HEAD, _TAIL = "50-runc-wrap-", ".conf"
_MOST = 1000  # files of a directory


def read(path: Path) -> str | None:
    """Return the text of `path` with its line ends, None if it does not exist.

    Raises EngineError.
    """
    try:
        return files.read(path, MAX_BYTES, follows=True).decode()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise EngineError(f"{path}: {error.strerror}; try: as root") from error
    except ValueError as error:  # no regular file, too large, or no UTF-8
        raise EngineError(f"{path}: {error}; try: correct it, or --config FILE") from error


def table(path: Path) -> Table:
    """Return the TOML document of a file, {} without one. Raises EngineError."""
    return toml_text.parse(read(path) or "", str(path))


@dataclass(frozen=True)
class Change:
    """One file's text before and after; None if it does not exist."""

    path: Path
    before: str | None
    after: str | None


@dataclass
class _OpenedText:
    """A file's text now, its owner's part of it, None without one, and what it becomes."""

    now: str | None
    owners: str | None
    text: str

    @property
    def after(self) -> str | None:
        """What it becomes, None without a file."""
        return self.text if self.text or self.owners is not None else None


@dataclass
class Tree:
    """`saved`: {path: what we wrote there}; `without_ours` takes our parts out of a text.

    `notes`: warnings about what was put in.
    """

    saved: Mapping[str, Saved]
    without_ours: Callable[[str, Saved, str], str]
    notes: list[str] = field(default_factory=list)
    _opened: dict[Path, _OpenedText] = field(default_factory=dict)

    def text(self, path: Path) -> str:
        """Return what `path` (links are followed) becomes: at first its owner's text, or ""."""
        return self._open(path).text

    def put(self, path: Path, text: str) -> None:
        """Let `path` become `text`."""
        self._open(path).text = text

    def put_whole(self, path: Path, title: str, body: str) -> None:
        """Write a file that is ours, a drop-in. Raises EngineError if there is another's."""
        if self.text(path):
            why = f"{path} exists, and not as we wrote it"
            raise EngineError(f"{why}; try: move it away, or another --handler")
        self.put(path, toml_text.block(title, body))

    def has_recorded(self, title: str) -> bool:
        """Tell whether a block of this title is recorded."""
        return any(f"# BEGIN {title}," in each.after for each in self.saved.values())

    def _open(self, path: Path) -> _OpenedText:
        path = path.resolve()
        if path not in self._opened:
            now = owners = read(path)
            saved = self.saved.get(str(path))
            if saved and now == saved.after:
                owners = saved.before
            elif saved and now is not None:
                rest = self.without_ours(now, saved, str(path))
                owners = rest if rest or saved.before is not None else None
            self._opened[path] = _OpenedText(now, owners, owners or "")
        return self._opened[path]

    def open_recorded(self) -> None:
        """Open every file that we wrote to, so that none keeps a part that is no longer needed."""
        for path in self.saved:
            self._open(Path(path))

    def naming(self, path: Path) -> list[Path]:
        """Return the opened files that name this path, or its name as the default runtime.

        That is in the end, and as their owner's did not.
        """
        default = rf"""runtime(?:_name)?"?\s*[=:]\s*["']{re.escape(path.name)}["']"""
        named = re.compile(rf"{re.escape(str(path))}(?![\w-])|{default}").search
        before = {where: each.before or "" for where, each in self.saved.items()}
        return [
            where
            for where, each in self._opened.items()
            if named(each.text) and not named(before.get(str(where), ""))
        ]

    def give_away(self) -> None:
        """Make all that was put in so far the owner's: no record of it is kept."""
        for each in self._opened.values():
            each.owners = each.text or each.owners

    def changes(self) -> list[Change]:
        """Return the changes from the files on disk."""
        found = (Change(path, each.now, each.after) for path, each in self._opened.items())
        return [change for change in found if change.before != change.after]

    def saved_after(self) -> dict[str, Saved]:
        """Return what to record after `changes` are made."""
        return {
            str(path): Saved(each.owners, each.text)
            for path, each in self._opened.items()
            if each.text != (each.owners or "")
        }


def drop_in(config: Path, handler: Handler) -> Path:
    """Return the file of one handler."""
    return _folder(config) / f"{_HEAD}{handler.name}{_TAIL}"


def handlers_of_drop_ins(config: Path) -> list[str]:
    """Return the names of the handlers whose files runc-wrap wrote."""
    found = sorted(_folder(config).glob(f"{_HEAD}*{_TAIL}"))
    return [each.stem.removeprefix(_HEAD) for each in found]


def _folder(config: Path) -> Path:
    return config.parent / f"{config.name}.d"


def with_drop_ins(
    tree: Tree, config: Path, handlers: list[Handler], pattern: str = "**/*"
) -> list[tuple[Path, Table]]:
    """Return the main file and those of the directory, in order, without ours.

    Raises EngineError.
    """
    ours = {*(drop_in(config, handler) for handler in handlers), *map(Path, tree.saved)}
    found = sorted(each for each in _folder(config).glob(pattern) if each.is_file())
    if len(found) > _MOST:
        raise EngineError(f"{config}.d has over {_MOST} files; try: remove some")
    theirs = (each for each in (config, *found) if not {each, each.resolve()} & ours)
    return [(each, table(each)) for each in theirs]

"""A container that needs a handler, what engines' files say of it, and the sentences on it."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runc_wrap import safe_text
from runc_wrap.host import files

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

_MOST_LINKS = 40  # as path_resolution(7)
_LARGEST = 1 << 20  # bytes of an engine's file of a container


@dataclass(frozen=True, order=True)
class Dependent:
    """A container by the name that its engine shows, and its state there ("" if not known)."""

    engine: str
    name: str
    state: str = ""

    def __str__(self) -> str:
        return f"{self.name} ({', '.join(word for word in (self.engine, self.state) if word)})"


class Unknown(Exception):
    """An engine is installed and does not say which containers it has; the message names it."""


def counted(found: Collection[Dependent]) -> str:
    """Return the containers' number and their names."""
    return f"{safe_text.number(len(found), 'container')}: {names(found)}"


def names(found: Iterable[Dependent], most: int = 5) -> str:
    """Return the containers as a list in a sentence, of at most so many names."""
    all_ = [str(each) for each in found]
    more = f" and {len(all_) - most} more" if len(all_) > most else ""
    return ", ".join(all_[:most]) + more


def object_in(path: Path, because: str) -> dict[str, Any]:
    """Return a file's JSON object, {} if there is no file.

    Raises Unknown for anything else; `because` says why the file is read.
    """
    try:
        found = json.loads(files.read(path, _LARGEST, follows=True) or b"{}")
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        raise Unknown(f"{because}, and {path}: {error.strerror}") from None
    except ValueError as error:  # too large, irregular, not JSON
        raise Unknown(f"{because}, and {path}: {error}") from None
    if not isinstance(found, dict):
        raise Unknown(f"{because}, and {path} is not a JSON object")
    return found


def leads_to(named: str, path: Path) -> bool:
    """Tell whether a path is this one or a link to it, as /usr/local/bin/runc-wrap is.

    A link in PREFIX/bin is another handler.
    """
    wanted = _real(path)
    place = _real(Path(named))
    for _ in range(_MOST_LINKS):
        if place.parent == wanted.parent or not place.is_symlink():
            break
        place = _real(place.parent / place.readlink())
    return place == wanted


def _real(path: Path) -> Path:
    return Path(os.path.realpath(path.parent)) / path.name

"""A container that needs a handler, and the sentences on such containers."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from runc_wrap import safe_text
from runc_wrap.failure import Failure
from runc_wrap.host import runtime_state
from runc_wrap.ledger import whole_ledger
from runc_wrap.node.paths import Places

_MOST_LINKS = 40  # as path_resolution(7)
_NAMED = 5


@dataclass(frozen=True, order=True)
class Dependent:
    """A container by the name that its engine shows, and its state there ("" if not known)."""

    engine: str
    name: str
    state: str = ""

    def __str__(self) -> str:
        return f"{self.name} ({', '.join(word for word in (self.engine, self.state) if word)})"


class Unknown(Failure):
    """An engine is installed and does not say which containers it has; the message names it."""


def counted(found: Sequence[Dependent]) -> str:
    """Return the containers' number and the first names."""
    names = safe_text.some([*map(str, found)], _NAMED)
    return f"{safe_text.number(len(found), 'container')}: {names}"


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


def of_handler(places: Places, handler: str) -> Iterator[Dependent]:
    """Yield those that were started as this handler. Raises OSError."""
    for key, record in whole_ledger.read(places.ledger).records.items():
        if record.handler == handler and runtime_state.directory(key):
            yield Dependent(record.engine or "", record.id)

"""Canaries, and the image that one is lent, which outlived a transaction: after a power cut mostly.

At boot a change is taken back before the engines start, so that none can remove them. A note for
each engine stays then in PREFIX/var/transactions/canaries, until its engine runs and they are
removed: by a timer, by `engine revert --canaries`, or by the next `engine --restart`. After so many
tries the note is removed: that engine may never run again, and the next change of it looks anyway.
"""

from __future__ import annotations

import contextlib
import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from runc_wrap.host import files
from runc_wrap.node.engines.cri.grpc_call import CallFailed
from runc_wrap.node.engines.handler import EngineError
from runc_wrap.node.engines.transaction import boot_unit, journal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runc_wrap.node.engines.transaction.engine_access import Access
    from runc_wrap.node.paths import Places

_LARGEST = 16 << 10  # bytes of one note
_AFTER_BOOT, _PAUSE = 60.0, 300.0  # seconds until the first try, and between two
MOST_TRIES = 100  # of one note, over all boots: about eight hours of one


class Left(NamedTuple):
    """One engine that may have a canary; `tries`: how often it could not be asked to remove it."""

    engine: str
    config: str
    tries: int = 0

    def told(self) -> str:
        """Return what is said of it as long as it is tried."""
        return (
            f"{self.engine} ({self.config}) may still have a canary of ours, or its image, from a "
            f"change that was interrupted ({self.tries} of {MOST_TRIES} tries to remove them "
            "failed): a timer removes them when it answers, `runc-wrapctl engine revert "
            "--canaries` does it at once"
        )

    def given_up(self) -> str:
        """Return what is said when it is tried no more."""
        return (
            f"{self.engine} ({self.config}) did not answer in {self.tries} tries to remove a "
            f"canary of ours: given up; `runc-wrapctl engine add {self.engine} "
            f"--config {shlex.quote(self.config)} --restart` removes it, too"
        )


class Cleared(NamedTuple):
    """What was not removed: `left` is tried again, `given_up` is not."""

    left: list[Left]
    given_up: list[Left]


class Changed(Protocol):
    """The engine's configuration that had a canary: a journal, or a note."""

    @property
    def engine(self) -> str:
        """Return the engine's name."""

    @property
    def config(self) -> str:
        """Return its configuration file."""


class Node(Protocol):
    """What is needed of taking_back.Node."""

    def access(self, engine: str, config: Path) -> Access:
        """Return the access to an engine. Raises EngineError."""

    def arm(
        self, name: str, seconds: float, command: Sequence[str], *, pause: float, most: int
    ) -> None:
        """Have a command run after so many seconds, and again if it fails. Raises EngineError."""


def _directory(places: Places) -> Path:
    return journal.directory(places) / "canaries"


def note(places: Places, path: Path, entry: Changed) -> None:
    """Note that canaries may be left; `path` is the registration's journal. Raises OSError."""
    _directory(places).mkdir(mode=0o700, parents=True, exist_ok=True)
    _write(_directory(places) / path.name, Left(entry.engine, entry.config))


def _write(path: Path, one: Left) -> None:
    files.replace(path, json.dumps(one._asdict()).encode(), writer="journal")


def noted(places: Places) -> dict[Path, Left]:
    """Return {note: what it says}; one that cannot be read is none."""
    found = {}
    for path in sorted(_directory(places).glob("*.json")):
        with contextlib.suppress(OSError, ValueError, LookupError, TypeError, AttributeError):
            told: Any = json.loads(files.read(path, _LARGEST))
            tries = int(told.get("tries", 0))  # none in the notes of earlier releases
            found[path] = Left(str(told["engine"]), str(told["config"]), tries)
    return found


def clear(places: Places, node: Node) -> Cleared:
    """Remove those of engines that answer, and their notes. Raises OSError.

    The caller holds the lock of transactions, as one that is under way has a canary of its own.
    """
    found = Cleared([], [])
    for path, before in noted(places).items():
        one = before._replace(tries=before.tries + 1)
        if _is_removed(node, one.engine, Path(one.config)):
            path.unlink(missing_ok=True)
        elif one.tries >= MOST_TRIES:
            path.unlink(missing_ok=True)
            found.given_up.append(one)
        else:
            with contextlib.suppress(OSError):  # a full disk: not counted
                _write(path, one)
            found.left.append(one)
    return found


def _is_removed(node: Node, engine: str, config: Path) -> bool:
    try:
        access = node.access(engine, config)
    except (EngineError, LookupError):  # the engine is not installed any more
        return True
    try:
        if access.silence():
            return False
        access.remove_canaries()
    except CallFailed:
        return False
    return True


def timer(places: Places) -> str:
    """Return the name of the timer that removes them."""
    return f"{Path(boot_unit.name_of(places)).stem}-canaries"


def clear_later(places: Places, node: Node, command: list[str]) -> None:
    """Have a command run when the engines may have been started, and again while it fails."""
    with contextlib.suppress(EngineError):  # it waits already; or the next boot does it
        node.arm(timer(places), _AFTER_BOOT, command, pause=_PAUSE, most=MOST_TRIES)

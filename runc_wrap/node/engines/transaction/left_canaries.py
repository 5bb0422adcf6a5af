"""Canaries, and the image that one is lent, which outlived a transaction: after a power cut mostly.

At boot a change is taken back before the engines start, so that none can remove them. A note for
each engine stays then in PREFIX/var/transactions/canaries, until its engine runs and they are
removed: by a timer that the boot starts, by `engine status`, or by the next `engine --restart`.
"""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from runc_wrap.host import files
from runc_wrap.node.engines.cri.grpc_call import CallFailed
from runc_wrap.node.engines.handler import EngineError
from runc_wrap.node.engines.transaction import boot_unit, journal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runc_wrap.node.engines.transaction.engine_access import Access
    from runc_wrap.node.engines.transaction.journal import Journal
    from runc_wrap.node.paths import Places

_LARGEST = 16 << 10  # bytes of one note
_AFTER_BOOT = 60.0  # seconds
Engine = tuple[str, str]  # its name and its configuration


class Node(Protocol):
    """What is needed of taking_back.Node."""

    def access(self, engine: str, config: Path) -> Access:
        """Return the access to an engine. Raises EngineError."""

    def arm(self, name: str, seconds: float, command: Sequence[str]) -> None:
        """Have a command run after so many seconds. Raises EngineError."""


def _directory(places: Places) -> Path:
    return journal.directory(places) / "canaries"


def note(places: Places, path: Path, entry: Journal) -> None:
    """Note that canaries of a transaction may be left; `path` is its journal. Raises OSError."""
    _directory(places).mkdir(mode=0o700, parents=True, exist_ok=True)
    text = json.dumps({"engine": entry.engine, "config": entry.config})
    files.replace(_directory(places) / path.name, text.encode(), writer="journal")


def noted(places: Places) -> dict[Path, Engine]:
    """Return {note: engine}; one that cannot be read is none."""
    found = {}
    for path in sorted(_directory(places).glob("*.json")):
        with contextlib.suppress(OSError, ValueError, LookupError, TypeError):
            told: Any = json.loads(files.read(path, _LARGEST))
            found[path] = (str(told["engine"]), str(told["config"]))
    return found


def clear(places: Places, node: Node) -> dict[Path, Engine]:
    """Remove those of engines that answer, and their notes; return what is left. Raises OSError.

    The caller holds the lock of transactions, as one that is under way has a canary of its own.
    """
    left = {}
    for path, (engine, config) in noted(places).items():
        if _is_removed(node, engine, Path(config)):
            path.unlink(missing_ok=True)
        else:
            left[path] = (engine, config)
    return left


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


def clear_later(places: Places, node: Node, command: list[str]) -> None:
    """Have a command run when the engines may have been started, and again if it fails."""
    with contextlib.suppress(EngineError):  # it waits already; or `engine status` does it
        node.arm(f"{Path(boot_unit.name_of(places)).stem}-canaries", _AFTER_BOOT, command)


def told(engine: str) -> str:
    """Return what is said of one that is left."""
    return (
        f"{engine} may still have a canary of ours, or its image, from a change that was "
        "interrupted: when it runs, `runc-wrapctl engine status` removes them"
    )

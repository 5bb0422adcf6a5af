"""Transactions that are not over: kept, or taken back by a command, by a timer, or at boot.

All of these may be interrupted themselves and done again. One transaction is worked on at a time.
"""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING

from runc_wrap.node.engines.handler import EngineError
from runc_wrap.node.engines.transaction import boot_unit, journal, left_canaries, taking_back
from runc_wrap.node.engines.transaction.taking_back import NotTakenBackError, exclusive

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from runc_wrap.node.engines.transaction.journal import Journal
    from runc_wrap.node.engines.transaction.taking_back import Node
    from runc_wrap.node.paths import Places

    Tell = Callable[[str], None]

_AGAIN = 120.0  # seconds after a boot at which a change could not be taken back


def is_due(entry: Journal, now: float) -> bool:
    """Tell whether an unfinished transaction has to be taken back by itself.

    A try runs until its time is over or the node was restarted: perhaps because of it.
    """
    is_waiting = entry.step == journal.TRYING and entry.boot == journal.boot()
    return not is_waiting or now >= (entry.until or 0.0)


def due(places: Places) -> dict[Path, Journal]:
    """Return what was interrupted, and tries that are over. Raises EngineError."""
    now = time.time()
    return {p: one for p, one in journal.unfinished(places).items() if is_due(one, now)}


def take_back_all(places: Places, entries: dict[Path, Journal], node: Node) -> list[Journal]:
    """Take transactions back; return them. Raises NotTakenBackError, after it tried all."""
    failures = []
    for path, entry in entries.items():
        try:
            taking_back.take_back(places, path, entry, node)
        except NotTakenBackError as error:
            failures.append(str(error))
    if failures:
        raise NotTakenBackError("; ".join(failures))
    return list(entries.values())


def confirm(places: Places, engine: str | None, node: Node, tell: Tell) -> list[Journal]:
    """Let the changes of tries stay; return them. Raises EngineError and OSError.

    One that could not be taken back is accepted as the files are now. `tell` gets a sentence on
    each canary that is given up.
    """
    with exclusive(places):
        found = _chosen(places, engine, (journal.TRYING, journal.REVERTING))
        for path, entry in found.items():
            if entry.step in taking_back.WITH_CANARY:
                left_canaries.note(places, path, entry)
            journal.finish(path, entry)
            taking_back.disarm(places, entry, node)
        if _clear_or_tell(places, node, tell):
            taking_back.clear_later(places, node)
    return list(found.values())


def revert(places: Places, engine: str | None, node: Node, tell: Tell) -> list[Journal]:
    """Take back what is not over now; return it. Raises EngineError, NotTakenBackError, OSError.

    `tell` gets a sentence on each canary that is given up.
    """
    with exclusive(places):
        before = len(left_canaries.noted(places))
        left = _clear_or_tell(places, node, tell)
        if len(left) < before and not journal.unfinished(places):
            return []
        return take_back_all(places, _chosen(places, engine, ()), node)


def revert_one(places: Places, name: str, node: Node) -> list[Journal]:
    """Take back the transaction of this name, if it is not over: what the timer calls."""
    with exclusive(places):
        found = journal.unfinished(places)
        return take_back_all(places, {p: one for p, one in found.items() if one.id == name}, node)


def revert_due(places: Places, node: Node) -> list[Journal]:
    """Take back what was interrupted and tries that are over: what boot calls."""
    with exclusive(places):
        try:
            found = take_back_all(places, due(places), node)
        except (NotTakenBackError, EngineError, OSError):
            with contextlib.suppress(EngineError):  # it waits already, or is what runs this
                node.arm(boot_unit.again(places), _AGAIN, taking_back.command(places, "--due"))
            with contextlib.suppress(EngineError, OSError):  # the first failure is told
                _tidy_after_boot(places, node)
            raise
        _tidy_after_boot(places, node)
    return found


def _tidy_after_boot(places: Places, node: Node) -> None:
    """Remove what other transactions left, and have canaries removed of engines yet to start."""
    try:
        sweep(places, node)
    finally:
        if left_canaries.noted(places):
            taking_back.clear_later(places, node)


def clear_canaries(places: Places, node: Node) -> left_canaries.Cleared:
    """Remove canaries that were left; return those that could not be. Raises OSError."""
    if not left_canaries.noted(places):
        return left_canaries.Cleared([], [])
    with exclusive(places):
        return _clear(places, node)


def _clear_or_tell(places: Places, node: Node, tell: Tell) -> list[left_canaries.Left]:
    """Remove canaries that were left, tell which are given up; return those to try again."""
    found = _clear(places, node)
    for one in found.given_up:
        tell(one.given_up())
    return found.left


def _clear(places: Places, node: Node) -> left_canaries.Cleared:
    found = left_canaries.clear(places, node)
    with contextlib.suppress(EngineError, OSError):
        taking_back.release_boot(places, node)
    return found


def sweep(places: Places, node: Node) -> None:
    """Remove what a kill at the beginning or the end left. Raises EngineError and OSError."""
    journal.sweep(places)
    taking_back.release_boot(places, node)


def _chosen(places: Places, engine: str | None, steps: tuple[str, ...]) -> dict[Path, Journal]:
    found = {
        path: one
        for path, one in journal.unfinished(places).items()
        if engine in (None, one.engine) and (not steps or one.step in steps)
    }
    if not found:
        of = f" of {engine}" if engine else ""
        raise EngineError(
            f"no transaction{of} waits to be confirmed", "one that does", "`engine status`"
        )
    return found

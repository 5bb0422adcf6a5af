"""Taking a transaction back: at once, by the next command, by a timer, or at boot.

All of these may be interrupted themselves and done again. One transaction is worked on at a time.
"""

from __future__ import annotations

import contextlib
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from runc_wrap.host.locks import locked
from runc_wrap.node.engines.cri.grpc_call import CallFailed
from runc_wrap.node.engines.handler import EngineError
from runc_wrap.node.engines.transaction import (
    boot_unit,
    file_snapshot,
    journal,
    left_canaries,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import AbstractContextManager

    from runc_wrap.node.engines.transaction.engine_access import Access
    from runc_wrap.node.engines.transaction.journal import Journal
    from runc_wrap.node.paths import Places

    Tell = Callable[[str], None]

NOTHING, RELOAD, RESTART = (
    "none",
    "reload",
    "restart",
)  # what engines need to read their files again
_PAUSE = 0.2  # seconds
_AGAIN = 120.0  # seconds after a boot at which a change could not be taken back
_INTERRUPTING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_WITH_CANARY = (journal.PROVING, journal.REVERTING)  # in which an engine may have one
_FAILED, _STOPPED = "failed", "inactive"  # of `systemctl is-active`


class Node(Protocol):
    """The node's systemd and engines. `patience`: seconds until an engine must answer."""

    patience: float

    def access(self, engine: str, config: Path) -> Access:
        """Return the access to an engine. Raises EngineError."""

    def obstacle(self, unit: str) -> EngineError | None:
        """Return why a unit cannot be restarted."""

    def state(self, unit: str) -> str:
        """Return what `systemctl is-active` says."""

    def restart(self, unit: str, how: str) -> str:
        """Restart or reload a unit; return "" or why that failed."""

    def guard_boot(self, places: Places, unit: str) -> None:
        """See that the next boot takes back what is not over. Raises EngineError and OSError."""

    def release_boot(self, places: Places) -> None:
        """Take that back. Raises OSError."""

    def arm(
        self, name: str, seconds: float, command: Sequence[str], *, pause: float = 30.0,
        most: int = 5,
    ) -> None:  # fmt: skip
        """Have a command run after so many seconds, and again if it fails. Raises EngineError."""

    def disarm(self, name: str) -> None:
        """Take that back."""


class NotTakenBackError(Exception):
    """A change could not be taken back; the journal stays, for the next try."""


def exclusive(places: Places) -> AbstractContextManager[int]:
    """Return the lock of transactions. Raises LockHeldError."""
    return locked(places.var, "transaction")


def command(places: Places, *words: str) -> list[str]:
    """Return the command `engine revert` for timers, with these options."""
    program = str(places.wrapper.with_name("runc-wrapctl"))
    return [program, "--prefix", str(places.prefix), "engine", "revert", *words]


def wait_until_answers(node: Node, access: Access, also: str = "") -> None:
    """Wait until a restarted engine can run containers. Raises EngineError."""
    until = time.monotonic() + node.patience
    while why := access.silence():
        failed = access.unit and node.state(access.unit) == _FAILED
        if failed or time.monotonic() > until:
            raise EngineError(
                f"{access.unit or 'the engine'} does not answer{also}: {why}",
                "an engine that runs containers",
                f"`journalctl -u {access.unit}`",
            )
        time.sleep(_PAUSE)


@contextlib.contextmanager
def uninterrupted() -> Iterator[None]:
    """Ignore what interrupts a command, also in the programs that it starts, while the block runs.

    An impatient second Ctrl-C would leave an engine between its files and its restart.
    """
    former = {number: signal.signal(number, signal.SIG_IGN) for number in _INTERRUPTING}
    try:
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


def take_back(places: Places, path: Path, entry: Journal, node: Node) -> None:
    """Put every byte back, restart what may have read the new ones, and see that it answers.

    Raises NotTakenBackError.
    """
    has_canary = entry.step in _WITH_CANARY
    entry = entry.at(journal.REVERTING)
    try:
        with contextlib.suppress(OSError):  # a full disk; any unfinished journal is taken back
            journal.write(path, entry)
        is_reading = entry.restarts and not _stays_stopped(entry, node)
        has_forgotten = is_reading and _has_forgotten(entry, node)
        file_snapshot.put_back(entry.snapshot)
        is_clean = is_reading and _restart(entry, node, is_needed=not has_forgotten)
        if has_canary and not is_clean:
            with contextlib.suppress(OSError):  # a full disk
                left_canaries.note(places, path, entry)
                _clear_later(places, node)
        journal.take_back(path, entry)
    except (EngineError, OSError) as error:
        raise NotTakenBackError(
            f"{entry.engine} was not put back: {error}; it is tried again by a timer, at boot, and "
            f"by `runc-wrapctl engine revert`"
        ) from error
    disarm(places, entry, node)


def _clear_later(places: Places, node: Node) -> None:
    left_canaries.clear_later(places, node, command(places, "--canaries"))


def disarm(places: Places, entry: Journal, node: Node) -> None:
    """Take back what would take back a transaction that is over: timers, and the boot's unit."""
    with contextlib.suppress(EngineError, OSError):  # the boot finds nothing to do, then
        _release_boot(places, node)
    for timer in (entry.timer, entry.try_timer):
        node.disarm(timer)


def _release_boot(places: Places, node: Node) -> None:
    """Take the boot's unit back if it would find nothing to do."""
    if not journal.unfinished(places) and not left_canaries.noted(places):
        node.release_boot(places)


def _stays_stopped(entry: Journal, node: Node) -> bool:
    """Tell whether the engine did not run since this boot, and reads its files when it starts."""
    return entry.boot != journal.boot() and bool(entry.unit) and node.state(entry.unit) == _STOPPED


def _has_forgotten(entry: Journal, node: Node) -> bool:
    """Have an engine whose reload keeps what its former file does not say forget it.

    It reads a text that says it, and no container ends. If that fails, only a restart helps.
    Raises EngineError.
    """
    try:
        text = file_snapshot.write_neutral(entry.snapshot)
    except OSError:  # a full disk
        return False
    if text is None or node.restart(entry.unit, RELOAD):
        return False
    access, until = node.access(entry.engine, Path(entry.config)), time.monotonic() + node.patience
    while not (is_read := access.has_read(text, entry.handler)) and time.monotonic() < until:
        time.sleep(_PAUSE)
    return is_read


def _restart(entry: Journal, node: Node, *, is_needed: bool) -> bool:
    """Let the engine read its former files, and see that it answers.

    Return whether it has no canary of ours any more.
    """
    access, how = node.access(entry.engine, Path(entry.config)), _way_back(entry)
    if is_needed and how != NOTHING:
        why = node.restart(entry.unit, how)
        if why and how != RESTART:  # also if the engine died, which a reload does not mend
            why = node.restart(entry.unit, RESTART)
        if why:
            raise EngineError(why, "its former state", f"`journalctl -u {entry.unit}`")
    wait_until_answers(node, access, ", with its former files")
    try:
        access.remove_canaries()
    except CallFailed:
        return False
    return True


def _way_back(entry: Journal) -> str:
    """Return what makes the engine read its former files; an earlier release did not record it."""
    is_kept = any(one.neutral is not None for one in entry.snapshot.files)
    return entry.how_back or (RESTART if is_kept else entry.how)


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
            take_back(places, path, entry, node)
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
            if entry.step in _WITH_CANARY:
                left_canaries.note(places, path, entry)
            journal.finish(path, entry)
            disarm(places, entry, node)
        if _clear_or_tell(places, node, tell):
            _clear_later(places, node)
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
                node.arm(boot_unit.again(places), _AGAIN, command(places, "--due"))
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
            _clear_later(places, node)


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
        _release_boot(places, node)
    return found


def sweep(places: Places, node: Node) -> None:
    """Remove what a kill at the beginning or the end left. Raises EngineError and OSError."""
    journal.sweep(places)
    _release_boot(places, node)


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

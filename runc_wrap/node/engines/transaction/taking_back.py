"""Taking one transaction back: every byte, and the engine that may have read the new ones.

It may be interrupted itself and done again. unfinished.py says when it is done.
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
_INTERRUPTING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
WITH_CANARY = (journal.PROVING, journal.REVERTING)  # in which an engine may have one
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
    has_canary = entry.step in WITH_CANARY
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
                clear_later(places, node)
        journal.take_back(path, entry)
    except (EngineError, OSError) as error:
        raise NotTakenBackError(
            f"{entry.engine} was not put back: {error}; it is tried again by a timer, at boot, and "
            f"by `runc-wrapctl engine revert`"
        ) from error
    disarm(places, entry, node)


def clear_later(places: Places, node: Node) -> None:
    """Have canaries removed by a timer, in case nobody else can."""
    left_canaries.clear_later(places, node, command(places, "--canaries"))


def disarm(places: Places, entry: Journal, node: Node) -> None:
    """Take back what would take back a transaction that is over: timers, and the boot's unit."""
    with contextlib.suppress(EngineError, OSError):  # the boot finds nothing to do, then
        release_boot(places, node)
    for timer in (entry.timer, entry.try_timer):
        node.disarm(timer)


def release_boot(places: Places, node: Node) -> None:
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

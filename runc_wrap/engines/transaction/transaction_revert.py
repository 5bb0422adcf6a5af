"""Taking a change back: every byte, and the engine that may have read the new ones.

What a change set leaves to be undone (host/change_set), with a note of the engine. It may be
interrupted itself and done again: by the next command, by a timer, or at boot, before the engines
start, where only the files are put back.
"""

import contextlib
import signal
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from runc_wrap.documents.reader import DocumentError, taken
from runc_wrap.engines import engine_registry
from runc_wrap.engines.engine_class import NOTHING, RELOAD, RESTART, Engine
from runc_wrap.engines.handler import CallFailed, EngineError
from runc_wrap.engines.registration import registration_plan, registration_state
from runc_wrap.engines.registration.registration_state import Registered, Where
from runc_wrap.engines.transaction.engine_restart import Systemd
from runc_wrap.failure import Failure
from runc_wrap.host import change_set, files, locks, polling, systemd
from runc_wrap.host.change_set import ChangeRecord, DamagedRecord
from runc_wrap.node import paths
from runc_wrap.node.paths import Places

_LOCK = "transaction"
_PAUSE = 0.2  # seconds
_INTERRUPTING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class NotTakenBackError(Failure):
    """A change could not be taken back; its record stays, for the next try."""

    status = 1


@dataclass(frozen=True)
class Note:
    """What a change set's record says of the change and the engine that may have read it.

    `how`: what makes the engine read the new files; `how_back`: the former ones again.
    """

    id: str
    engine: str
    config: str
    handler: str
    action: str
    unit: str
    how: str
    how_back: str
    begun: float
    by: str

    @property
    def timer(self) -> str:
        """The name of the timer that takes it back if nobody else does."""
        return f"runc-wrap-revert-{self.id}"


def unfinished(places: Places) -> dict[Path, Note]:
    """Return {record: its note} of each transaction that is not over. Raises Failure, OSError."""
    found = {path: _read(path)[1] for path in registration_state.unfinished(places)}
    return {path: note for path, note in found.items() if note}


def _read(path: Path) -> tuple[ChangeRecord | None, Note | None]:
    found = change_set.read(path)
    try:
        return found, taken(Note, found.note) if found and found.note else None
    except DocumentError as error:
        raise DamagedRecord(path, error) from None


def exclusive(places: Places) -> AbstractContextManager[int]:
    """Return the lock of transactions. Raises LockHeldError."""
    return locks.locked(places.var, _LOCK)


def left_canaries(places: Places, engine: Engine) -> list[str]:
    """Return the canaries in an engine that killed commands of this installation left.

    None while a command runs that may have started one. Raises CallFailed, OSError.
    """
    is_own = places.prefix == paths.installed().prefix  # whose name they have
    is_one_running = locks.held_by(places.var / locks.DIRECTORY / _LOCK)
    return engine.left_probes() if is_own and not is_one_running else []


def remove_left_canaries(places: Places, engines: Iterable[Registered | Where]) -> None:
    """Remove them from engines that answer, unless nothing can be written."""
    for one in engines:
        with contextlib.suppress(OSError, EngineError, CallFailed):
            engine = engine_registry.installed(one.engine, one.config)
            if left_canaries(places, engine):  # asked before: a silent engine blocks no revert
                with exclusive(places):
                    engine.remove_probes()


def command(places: Places) -> list[str]:
    """Return the command `engine revert`, for the timer."""
    program = str(places.wrapper.with_name("runc-wrapctl"))
    return [program, "--prefix", str(places.prefix), "engine", "revert"]


def wait_until_answers(node: Systemd, access: Engine, also: str = "") -> None:
    """Wait until a restarted engine can run containers. Raises EngineError."""

    def is_over() -> bool:
        has_failed = bool(access.unit) and node.state(access.unit) == systemd.FAILED
        return not access.silence() or has_failed

    polling.wait_for(is_over, node.patience, _PAUSE)
    if why := access.silence():
        raise EngineError(
            f"{access.unit or 'the engine'} does not answer{also}: {why}{access.journal}"
        )


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


def everything(places: Places, node: Systemd, *, is_boot: bool = False) -> list[Note]:
    """Take back all that is not over; return it. The caller holds the lock.

    `is_boot`: no engine has started yet, so that the files are all. Raises NotTakenBackError, after
    it tried each.
    """
    done, failures = [], []
    for path in registration_state.unfinished(places):
        try:
            if note := take_back(places, path, node, has_read=not is_boot):
                done.append(note)
        except NotTakenBackError as error:
            failures.append(str(error))
    if failures:
        raise NotTakenBackError("; ".join(failures))
    node.release(places)  # what a kill after the end of a change left
    return done


def take_back(places: Places, path: Path, node: Systemd, *, has_read: bool = True) -> Note | None:
    """Put every byte back, restart what may have read the new ones, and see that it answers.

    `has_read`: the engine may have read them. Raises NotTakenBackError.
    """
    try:
        found, note = _read(path)
        if found is None:
            return None
        if note is None:  # without a restart; perhaps a command is at it, under its own lock
            registration_plan.settle(path)
            return None
        neutral = _neutral(note, found)
        has_forgotten = has_read and bool(neutral) and _has_forgotten(note, found, neutral, node)
        left = change_set.restore(found, neutral)
        if has_read:
            _restart(note, node, is_needed=not has_forgotten)
        change_set.close(path)
    except (Failure, OSError) as error:
        raise NotTakenBackError(
            f"{path.stem} was not put back: {error}; `runc-wrapctl engine revert` and the next "
            "boot try again"
        ) from error
    node.release(places, note.timer)
    if left:
        raise NotTakenBackError(
            f"{path.stem} was put back, but for {' and '.join(left)}, which somebody else changed "
            "meanwhile: take out of it what you do not want, then restart the engine"
        )
    return note


def _neutral(note: Note, found: ChangeRecord) -> dict[Path, bytes]:
    """Return {daemon.json: what Docker must read before its former text}, {} if that is enough."""
    if (note.how, note.how_back) != (RELOAD, RESTART):
        return {}
    config = Path(note.config).resolve()
    text = engine_registry.ENGINES[note.engine].neutral((found.former(config) or b"").decode())
    return {} if text is None else {config: text.encode()}


def _has_forgotten(
    note: Note, found: ChangeRecord, neutral: dict[Path, bytes], node: Systemd
) -> bool:
    """Have Docker, whose reload keeps what its former file does not say, forget it.

    It reads a text that says it, and no container ends. If that fails, only a restart helps.
    Raises EngineError.
    """
    ((config, text),) = neutral.items()
    if found.changed_by_others(neutral):
        return False
    try:
        files.replace(config, text, keeps=True)
    except OSError:  # a full disk
        return False
    if node.restart(note.unit, RELOAD):
        return False
    access, wanted = node.access(note.engine, config), text.decode()
    return polling.wait_for(lambda: access.has_read(wanted, note.handler), node.patience, _PAUSE)


def _restart(note: Note, node: Systemd, *, is_needed: bool) -> None:
    """Let the engine read its former files, see that it answers, and that no canary is left.

    One that somebody stopped reads them when it is started. Raises EngineError.
    """
    how = note.how_back
    if how != NOTHING and node.state(note.unit) == systemd.STOPPED:
        return  # perhaps somebody has uninstalled it
    access = node.access(note.engine, Path(note.config))
    if is_needed and how != NOTHING:
        why = node.restart(note.unit, how)
        if why and how != RESTART:  # also if the engine died, which a reload does not mend
            why = node.restart(note.unit, RESTART)
        if why:
            raise EngineError(f"{why}{access.journal}")
    wait_until_answers(node, access, ", with its former files")
    with contextlib.suppress(CallFailed):  # the next command removes it, and `doctor --fix`
        access.remove_probes()

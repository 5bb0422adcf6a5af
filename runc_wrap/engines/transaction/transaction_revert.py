"""Taking a change back: every byte, and the engine that may have read the new ones.

What a change set leaves to be undone (host/change_set), with a note of the engine. It may be
interrupted itself and done again: by the next command, by a timer, or at boot, before the engines
start, where only the files are put back.
"""

import contextlib
from pathlib import Path

from runc_wrap.engines import engine_registry
from runc_wrap.engines.engine_class import NOTHING, RELOAD, RESTART
from runc_wrap.engines.handler import CallFailed, EngineError
from runc_wrap.engines.registration import registration_plan, registration_state
from runc_wrap.engines.transaction import engine_restart, transaction_record
from runc_wrap.engines.transaction.engine_restart import Systemd
from runc_wrap.engines.transaction.transaction_record import Note
from runc_wrap.failure import Failure
from runc_wrap.host import change_set, files, polling, systemd
from runc_wrap.node.paths import Places


class NotTakenBackError(Failure):
    """A change could not be taken back; its record stays, for the next try."""

    status = 1


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
        found, note = transaction_record.read(path)
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


def _neutral(note: Note, found: change_set.ChangeRecord) -> dict[Path, bytes]:
    """Return {daemon.json: what Docker must read before its former text}, {} if that is enough."""
    if (note.how, note.how_back) != (RELOAD, RESTART):
        return {}
    config = Path(note.config).resolve()
    text = engine_registry.ENGINES[note.engine].neutral((found.former(config) or b"").decode())
    return {} if text is None else {config: text.encode()}


def _has_forgotten(
    note: Note, found: change_set.ChangeRecord, neutral: dict[Path, bytes], node: Systemd
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
    return polling.wait_for(lambda: access.has_read(wanted, note.handler), node.patience)


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
    engine_restart.wait_until_answers(node, access, ", with its former files")
    with contextlib.suppress(CallFailed):  # the next command removes it, and `doctor --fix`
        access.remove_probes()

"""Carrying out a planned registration: completely, or not at all.

The engine's files, our record of the registration and the handler's link are one change set. A
command that was killed is undone by the next one, unless it restarted an engine: then only
`engine revert` can, as the engine has to read its former files again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from runc_wrap.engines import engine_files, engine_registry
from runc_wrap.engines.handler import DEFAULT_NAME, EngineError
from runc_wrap.engines.registration import registration_state
from runc_wrap.host import change_set
from runc_wrap.host.change_set import ChangedMeanwhile, PathChange
from runc_wrap.host.locks import locked

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path
    from typing import Any

    from runc_wrap.engines.registration.registration_plan import Plan

_OURS = 0o600


def carry_out(
    plan: Plan,
    note: dict[str, Any] | None = None,
    *,
    accept: Callable[[Mapping[Path, Path]], None] | None = None,
    check: Callable[[], None] | None = None,
) -> None:
    """Execute the plan completely or not at all: on OSError, EngineError, and what a check raises.

    `accept` gets {file: where its new text waits}, `check` finds all in place. With a note the
    change can be undone until its caller closes it.
    """
    if plan.is_empty and note is None:
        return
    where = plan.where
    where.state_dir.mkdir(mode=0o755, parents=True, exist_ok=True)
    with locked(where.state_dir.parent, "engines"):
        _settle(where.change)
        if registration_state.of(where) != plan.before:
            raise EngineError(
                "another runc-wrapctl changed this registration meanwhile",
                "no other at the same time",
                "run this again",
            )
        _begin(plan, note, accept)
        try:
            if check:
                check()
            if note is None:
                change_set.close(where.change)
        except BaseException as error:
            _undo(where.change, str(error))
            raise


def _begin(
    plan: Plan,
    note: dict[str, Any] | None,
    accept: Callable[[Mapping[Path, Path]], None] | None,
) -> None:
    gone = [] if plan.after.handlers else plan.after.dirs
    try:
        change_set.begin(plan.where.change, _changes(plan), note, empties=gone, check=accept)
    except ChangedMeanwhile as error:
        raise EngineError(str(error), "unchanged files", "run this again") from None


def carry_out_checked(plan: Plan) -> None:
    """Execute the plan; take all of it back if the engine then refuses what it accepted before.

    Raises EngineError, also for what `carry_out` does.
    """
    engine = engine_registry.at(plan.where.engine, plan.where.config)
    was_refused = bool(plan.changes and engine.complaint())

    def check() -> None:
        if said := engine.complaint() if plan.changes and not was_refused else "":
            raise EngineError(
                f"{engine.name} refuses its configuration with this handler: {said}; it is as "
                "before",
                "one that it accepts",
                "correct what it names, then run this again",
            )

    carry_out(plan, check=check)


def settle(change: Path) -> None:
    """Undo what a killed command left of a change without a restart. Raises EngineError."""
    if change_set.is_left(change):
        with locked(change.parent.parent, "engines"):
            _settle(change)


def _settle(change: Path) -> None:
    try:
        found = change_set.read(change)
    except ValueError as error:
        raise EngineError(
            f"{change}: {error}",
            "the record of an interrupted change",
            "see that the engine's files are as you want them, then remove this one",
        ) from None
    if found and found.note:
        raise EngineError(
            f"{found.note.get('config')} is being changed by {found.note.get('by')}, or that was "
            "interrupted",
            "a change that is over",
            "this again in a moment, or `runc-wrapctl engine revert`",
        )
    _undo(change, "it was interrupted")


def _undo(change: Path, why: str) -> None:
    """Undo a change. Raises EngineError if anything is left, and OSError."""
    if left := change_set.undo(change):
        raise EngineError(
            f"a change was undone ({why}), but for {' and '.join(left)}, which somebody else "
            "changed meanwhile",
            "files that nobody else changes",
            "look at them, then run this again",
        )


def _changes(plan: Plan) -> Iterator[PathChange]:
    """Yield the link before the files that name it, and the other way round for a removal."""
    if plan.link_new:
        yield PathChange(plan.link_new, None, DEFAULT_NAME)
    for each in plan.changes:
        yield PathChange(each.path, _encoded(each.before), _encoded(each.after))
    record = _encoded(engine_files.read(plan.where.state_file))
    after = plan.after.text().encode() if plan.after.handlers else None
    if record != after:
        yield PathChange(plan.where.state_file, record, after, _OURS)
    if plan.link_gone:
        yield PathChange(plan.link_gone, DEFAULT_NAME, plan.given.path if plan.given else None)


def _encoded(text: str | None) -> bytes | None:
    return None if text is None else text.encode()

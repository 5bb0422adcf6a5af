"""Where an engine differs from what is registered with it, in sentences that say what to run."""

from __future__ import annotations

import contextlib
import re
import shlex
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from runc_wrap.engines.engine_class import RESTART
from runc_wrap.engines.handler import DEFAULT_NAME, Handler
from runc_wrap.engines.transaction import last_transaction

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator, Mapping

    from runc_wrap.engines.engine_class import Engine
    from runc_wrap.engines.registration.registration_state import Registered
    from runc_wrap.engines.transaction.engine_restart import Systemd
    from runc_wrap.engines.transaction.last_transaction import Proof
    from runc_wrap.engines.transaction.transaction_revert import Note

_SLACK = 1.0  # seconds that a start's time may be wrong


def shown_time(seconds: float) -> str:
    """Return a time as `engine status` has it."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


def refused(access: Engine) -> list[str]:
    """Return why the engine would not start with the files that it has not read yet, if so."""
    why = access.refusal()
    return [f"{why}; correct that before anything restarts {access.unit}"] if why else []


def differences(
    state: Registered,
    configured: Mapping[str, str | None] | None,
    running: Mapping[str, str | None] | None,
    access: Engine,
) -> Iterator[str]:
    """Yield which handlers the files lack, or the running engine."""
    wanted, config = state.wanted, state.config
    lost = wanted.difference(configured)
    if lost:
        yield f"{config}: {lost}; run `{_command('add', state)} --restart` again"
    if running is not None and not lost and (why := wanted.difference(running)):
        yield f"{config} has them, but in force {why}; restart {access.unit or state.engine}"


def silence(state: Registered, access: Engine) -> tuple[list[str], list[str]]:
    """Return why the active handlers of an engine are unknown: as drift, or as a remark."""
    why, engine = access.silence(), state.engine
    if access.untold and not why:
        return [], [f"{engine} answers, and lists no handlers over CRI: {access.untold}"]
    return [f"{engine} does not say which handlers are active: {why or 'no answer'}"], []


def _command(verb: str, state: Registered) -> str:
    """Return the command for this registration: a node may have several engines of a kind."""
    return f"engine {verb} {state.engine} --config {shlex.quote(str(state.config))}"


def not_default(state: Registered, default: str | None) -> Iterator[str]:
    """Yield that containers are started by another handler than by ours, which is the default."""
    for one in state.handlers:
        if one.default and default not in (None, one.name):
            yield (
                f"containers of {state.engine} that name no handler are started by {default}, "
                f"not by {one.name}: look for a later file that says so, then run "
                f"`{_command('add', state)} --default --restart` again"
            )


def changed(state: Registered, access: Engine, node: Systemd, last: Proof | None) -> list[str]:
    """Return which files the running engine has not read.

    One that was touched since it was started, and has not the bytes of the last transaction.
    """
    if access.reload(loses_default=False) != RESTART or not (begun := node.started(access.unit)):
        return []
    return [
        f"{path} was changed at {shown_time(found.st_ctime)}, and {access.unit} was started "
        f"before, at {shown_time(begun)}; restart it"
        for path, found in _stats({str(state.config), *state.files})
        if found.st_ctime > begun + _SLACK and not _is_as_proved(path, last)
    ]


def _stats(paths: set[str]) -> Iterator[tuple[str, os.stat_result]]:
    for path in sorted(paths):
        with contextlib.suppress(OSError):
            yield path, Path(path).stat()


def _is_as_proved(path: str, last: Proof | None) -> bool:
    return last is not None and last.digests.get(path) == last_transaction.digests([path]).get(path)


def not_restarted(state: Registered, access: Engine, version: str | None) -> Iterator[str]:
    """Yield that another program is installed than runs. Docker's client is not its daemon."""
    if not version or not access.version or not access.checks_files:
        return
    if _numbers(version) != _numbers(access.version):
        yield (
            f"{state.engine} {access.version} is installed, and {version} runs: restart "
            f"{access.unit or state.engine} if it was upgraded"
        )


def upgraded(state: Registered, version: str | None, last: Proof | None) -> Iterator[str]:
    """Yield that a handler was proved with another version of the engine."""
    for one in state.handlers:
        if former := proved_with_other(last, one, version):
            more = "" if one.name == DEFAULT_NAME else f" --handler {shlex.quote(one.name)}"
            yield (
                f"{state.engine} was {former} when {one.name} was proved, and is {version}; "
                f"run `{_command('prove', state)}{more}`"
            )


def proved_with_other(last: Proof | None, one: Handler, version: str | None) -> str:
    """Return with which other version of the engine a handler was proved, "" if with none."""
    if not last or not version:
        return ""
    former = last.versions.get(one.name)
    return former if former and _numbers(former) != _numbers(version) else ""


def _numbers(version: str | None) -> str:
    """Return the part of a version that an engine's upgrade changes, not a rebuilt package."""
    found = re.match(r"[vV]?(\d+(\.\d+)*)", version or "")
    return found[1] if found else ""


def interrupted(note: Note | None) -> Iterator[str]:
    """Yield that a change is not over."""
    if note:
        yield (
            f"a change of {note.config} by {note.by} is under way or was interrupted: wait, or run "
            "`engine revert`"
        )

"""What `engine list` and `engine status` show: what is registered with each engine, and in force.

Where an engine differs from what is registered with it, a sentence says what to run.
"""

from __future__ import annotations

import contextlib
import re
import shlex
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runc_wrap.engines import engine_registry
from runc_wrap.engines.engine_class import RESTART
from runc_wrap.engines.handler import DEFAULT_NAME, EngineError, Handler
from runc_wrap.engines.registration import registration_state
from runc_wrap.engines.transaction import canary_proof, transaction_revert

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator, Mapping

    from runc_wrap.engines.engine_class import Engine
    from runc_wrap.engines.registration.registration_state import Registered
    from runc_wrap.engines.transaction.canary_proof import Proof
    from runc_wrap.engines.transaction.engine_restart import Systemd
    from runc_wrap.engines.transaction.transaction_revert import Note
    from runc_wrap.node.paths import Places

Json = dict[str, Any]
_LOGGED_AT = re.compile(r'\btime=(?:"[^"]*"|\S+)\s*')  # logrus begins each line with it
_SLACK = 1.0  # seconds that a start's time may be wrong


def listed(states: list[Registered]) -> list[Json]:
    """Return [{engine, binary, version, found: [_installed, ...], registered: [_registered, ...]}].

    `binary` and `version` are of the first one found.
    """
    return [_listed(engine, states) for engine in engine_registry.ENGINES]


def _listed(engine: str, states: list[Registered]) -> Json:
    own = [state for state in states if state.engine == engine]
    found = [_installed(each) for each in engine_registry.ENGINES[engine].detect()]
    first = found[0] if found else {"binary": None, "version": None}
    return {
        "engine": engine,
        "binary": first["binary"],
        "version": first["version"],
        "found": found,
        "registered": [_registered(state, each) for state in own for each in state.handlers],
    }


def _installed(each: Engine) -> Json:
    return {
        "config": str(each.config),
        "binary": str(each.binary) if each.binary else None,
        "version": each.version,
        "distribution": each.flavour or None,
        "unit": each.unit or None,
        "socket": str(each.socket) if each.socket else None,
    }


def _registered(state: Registered, one: Handler) -> Json:
    shows = engine_registry.at(state.engine, state.config).shows(one)
    rest = {"path": one.path, "default": one.default, "in_force": shows}
    return {"config": str(state.config), "handler": one.name, **rest}


@dataclass(frozen=True)
class ShownEngine:
    """One registration: what our record says, and what the engine says, None if it says nothing."""

    state: Registered
    unit: str = ""
    version: str | None = None
    configured: Mapping[str, str | None] | None = None
    running: Mapping[str, str | None] | None = None
    last: Proof | None = None
    unfinished: Note | None = None
    default: str | None = None
    running_version: str | None = None
    drift: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)

    def as_json(self) -> Json:
        """Return the document of one registration."""
        last = self.last
        return {
            "engine": self.state.engine,
            "config": str(self.state.config),
            "unit": self.unit or None,
            "version": self.running_version or self.version,
            "handlers": [self._handler(one) for one in self.state.handlers],
            "since": _shown_time(last.begun) if last else None,
            "by": last.by if last else None,
            "transaction": self.unfinished.as_json() if self.unfinished else None,
            "upgraded": any(map(self._proved_with_other, self.state.handlers)),
            "drift": self.drift,
            "remarks": self.remarks,
        }

    def _handler(self, one: Handler) -> Json:
        return {
            "handler": one.name,
            "path": one.path,
            "default": one.default,
            "configured": _has(self.configured, one),
            "gone": self.configured is not None and one.name not in self.configured,
            "in_force": _has(self.running, one),
            "default_in_force": None if self.default is None else self.default == one.name,
            "upgraded": bool(self._proved_with_other(one)),
        }

    def _proved_with_other(self, one: Handler) -> str:
        return _proved_with_other(self.last, one, self.running_version)


def _has(found: Mapping[str, str | None] | None, one: Handler) -> bool | None:
    if found is None:
        return None
    return one.name in found and found[one.name] in (None, one.path)


def survey(places: Places, node: Systemd) -> list[ShownEngine]:
    """Return every registration, and every change that is not over.

    It only reads, as it must where nothing can be written. Raises EngineError for records that
    cannot be read.
    """
    waiting = transaction_revert.unfinished(places)
    found = []
    for state in registration_state.states(places.engines):
        where = state.where(places)
        last = canary_proof.read(where)
        found.append(_shown(state, node, last, waiting.pop(where.change, None)))
    return [*found, *map(_only_begun, waiting.values())]


def _only_begun(note: Note) -> ShownEngine:
    empty = registration_state.empty(note.engine, Path(note.config))
    return ShownEngine(empty, unfinished=note, drift=[*_interrupted(note)])


def _shown(
    state: Registered, node: Systemd, last: Proof | None, waiting: Note | None
) -> ShownEngine:
    try:
        access = node.access(state.engine, state.config)
    except EngineError as error:
        return ShownEngine(state, last=last, unfinished=waiting, drift=[str(error)])
    configured, running = access.configured(), access.running()
    default = access.default()
    changed = _changed(state, access, node, last)
    if changed and configured is None and access.checks_files:
        changed = _refused(access) or changed
    untold, older = _silence(state, access) if running is None else ([], [])
    drift = [*_differences(state, configured, running, access), *untold, *changed]
    drift += _not_default(state, default)
    version = access.running_version()
    drift += [*_upgraded(state, version, last), *_interrupted(waiting)]
    remarks = [*_not_restarted(state, access, version)]
    drift = [_LOGGED_AT.sub("", one) for one in drift]  # else each look would find news
    shown = (access.unit, access.version, configured, running, last, waiting, default, version)
    return ShownEngine(state, *shown, drift, [*remarks, *older])


def _shown_time(seconds: float) -> str:
    """Return a time as `engine status` has it."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


def _refused(access: Engine) -> list[str]:
    """Return why the engine would not start with the files that it has not read yet, if so."""
    why = access.refusal()
    return [f"{why}; correct that before anything restarts {access.unit}"] if why else []


def _differences(
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


def _silence(state: Registered, access: Engine) -> tuple[list[str], list[str]]:
    """Return why the active handlers of an engine are unknown: as drift, or as a remark."""
    why, engine = access.silence(), state.engine
    if access.untold and not why:
        return [], [f"{engine} answers, and lists no handlers over CRI: {access.untold}"]
    return [f"{engine} does not say which handlers are active: {why or 'no answer'}"], []


def _command(verb: str, state: Registered) -> str:
    """Return the command for this registration: a node may have several engines of a kind."""
    return f"engine {verb} {state.engine} --config {shlex.quote(str(state.config))}"


def _not_default(state: Registered, default: str | None) -> Iterator[str]:
    """Yield that containers are started by another handler than by ours, which is the default."""
    for one in state.handlers:
        if one.default and default not in (None, one.name):
            yield (
                f"containers of {state.engine} that name no handler are started by {default}, "
                f"not by {one.name}: look for a later file that says so, then run "
                f"`{_command('add', state)} --default --restart` again"
            )


def _changed(state: Registered, access: Engine, node: Systemd, last: Proof | None) -> list[str]:
    """Return which files the running engine has not read.

    One that was touched since it was started, and has not the bytes of the last transaction.
    """
    if access.reload(loses_default=False) != RESTART or not (begun := node.started(access.unit)):
        return []
    return [
        f"{path} was changed at {_shown_time(found.st_ctime)}, and {access.unit} was started "
        f"before, at {_shown_time(begun)}; restart it"
        for path, found in _stats({str(state.config), *state.files})
        if found.st_ctime > begun + _SLACK and not _is_as_proved(path, last)
    ]


def _stats(paths: set[str]) -> Iterator[tuple[str, os.stat_result]]:
    for path in sorted(paths):
        with contextlib.suppress(OSError):
            yield path, Path(path).stat()


def _is_as_proved(path: str, last: Proof | None) -> bool:
    return last is not None and last.digests.get(path) == canary_proof.digests([path]).get(path)


def _not_restarted(state: Registered, access: Engine, version: str | None) -> Iterator[str]:
    """Yield that another program is installed than runs. Docker's client is not its daemon."""
    if not version or not access.version or not access.checks_files:
        return
    if _numbers(version) != _numbers(access.version):
        yield (
            f"{state.engine} {access.version} is installed, and {version} runs: restart "
            f"{access.unit or state.engine} if it was upgraded"
        )


def _upgraded(state: Registered, version: str | None, last: Proof | None) -> Iterator[str]:
    """Yield that a handler was proved with another version of the engine."""
    for one in state.handlers:
        if former := _proved_with_other(last, one, version):
            more = "" if one.name == DEFAULT_NAME else f" --handler {shlex.quote(one.name)}"
            yield (
                f"{state.engine} was {former} when {one.name} was proved, and is {version}; "
                f"run `{_command('prove', state)}{more}`"
            )


def _proved_with_other(last: Proof | None, one: Handler, version: str | None) -> str:
    """Return with which other version of the engine a handler was proved, "" if with none."""
    if not last or not version:
        return ""
    former = last.versions.get(one.name)
    return former if former and _numbers(former) != _numbers(version) else ""


def _numbers(version: str | None) -> str:
    """Return the part of a version that an engine's upgrade changes, not a rebuilt package."""
    found = re.match(r"[vV]?(\d+(\.\d+)*)", version or "")
    return found[1] if found else ""


def _interrupted(note: Note | None) -> Iterator[str]:
    """Yield that a change is not over."""
    if note:
        yield (
            f"a change of {note.config} by {note.by} is under way or was interrupted: wait, or run "
            "`engine revert`"
        )

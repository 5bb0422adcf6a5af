"""What `engine status` shows: what is registered with each engine, and what is in force there."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runc_wrap.engines.handler import EngineError, Handler
from runc_wrap.engines.registration import registration_state
from runc_wrap.engines.transaction import engine_drift, last_transaction, transaction_revert

if TYPE_CHECKING:
    from collections.abc import Mapping

    from runc_wrap.engines.registration.registration_state import Registered
    from runc_wrap.engines.transaction.engine_restart import Systemd
    from runc_wrap.engines.transaction.last_transaction import Proof
    from runc_wrap.engines.transaction.transaction_revert import Note
    from runc_wrap.node.paths import Places

Json = dict[str, Any]
_LOGGED_AT = re.compile(r'\btime=(?:"[^"]*"|\S+)\s*')  # logrus begins each line with it


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
            "since": engine_drift.shown_time(last.begun) if last else None,
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
        return engine_drift.proved_with_other(self.last, one, self.running_version)


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
        last = last_transaction.read(where)
        found.append(_shown(state, node, last, waiting.pop(where.change, None)))
    return [*found, *map(_only_begun, waiting.values())]


def _only_begun(note: Note) -> ShownEngine:
    empty = registration_state.empty(note.engine, Path(note.config))
    return ShownEngine(empty, unfinished=note, drift=[*engine_drift.interrupted(note)])


def _shown(
    state: Registered, node: Systemd, last: Proof | None, waiting: Note | None
) -> ShownEngine:
    try:
        access = node.access(state.engine, state.config)
    except EngineError as error:
        return ShownEngine(state, last=last, unfinished=waiting, drift=[str(error)])
    configured, running = access.configured(), access.running()
    default = access.default()
    changed = engine_drift.changed(state, access, node, last)
    if changed and configured is None and access.checks_files:
        changed = engine_drift.refused(access) or changed
    untold, older = engine_drift.silence(state, access) if running is None else ([], [])
    drift = [*engine_drift.differences(state, configured, running, access), *untold, *changed]
    drift += engine_drift.not_default(state, default)
    version = access.running_version()
    drift += [*engine_drift.upgraded(state, version, last), *engine_drift.interrupted(waiting)]
    remarks = [*engine_drift.not_restarted(state, access, version)]
    drift = [_LOGGED_AT.sub("", one) for one in drift]  # else each look would find news
    shown = (access.unit, access.version, configured, running, last, waiting, default, version)
    return ShownEngine(state, *shown, drift, [*remarks, *older])

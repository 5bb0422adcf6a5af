"""What `engine list` and `engine status` show: what is registered with each engine, and in force.

Where an engine differs from what is registered with it, a sentence says what to run.
"""

import contextlib
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from runc_wrap.engines import engine_registry
from runc_wrap.engines.engine_class import RESTART, Engine
from runc_wrap.engines.handler import DEFAULT_NAME, EngineError, Handler
from runc_wrap.engines.registration import registration_state
from runc_wrap.engines.registration.registration_state import Registered
from runc_wrap.engines.transaction import proof_record, transaction_record
from runc_wrap.engines.transaction.engine_restart import Systemd
from runc_wrap.engines.transaction.proof_record import Proof
from runc_wrap.node.paths import Places

Json = dict[str, Any]
Handlers = Mapping[str, str | None]
_LOGGED_AT = re.compile(r'\btime=(?:"[^"]*"|\S+)\s*')  # logrus begins each line with it
_SLACK = 1.0  # seconds that a start's time may be wrong


def listed(states: list[Registered]) -> list[Json]:
    """Return [{engine, binary, version, found: [_installed, ...], registered: [...]}].

    `binary` and `version` are of the first one found.
    """
    shown = []
    for name, kind in engine_registry.ENGINES.items():
        found = [_installed(each) for each in kind.detect()]
        first = {key: found[0][key] if found else None for key in ("binary", "version")}
        registered = [
            {"config": str(state.config), "handler": one.name, "path": one.path,
             "default": one.default, "in_force": engine_registry.at(name, state.config).shows(one)}
            for state in states if state.engine == name for one in state.handlers
        ]  # fmt: skip
        shown.append({"engine": name, **first, "found": found, "registered": registered})
    return shown


def _installed(each: Engine) -> Json:
    return {
        "config": str(each.config),
        "binary": str(each.binary) if each.binary else None,
        "version": each.version,
        "distribution": each.flavour or None,
        "unit": each.unit or None,
        "socket": str(each.socket) if each.socket else None,
    }


def survey(places: Places, node: Systemd) -> list[Json]:
    """Return every registration, and every change that is not over.

    It only reads, as it must where nothing can be written. Raises EngineError for records that
    cannot be read.
    """
    waiting = transaction_record.unfinished(places)
    found = []
    for state in registration_state.states(places.engines):
        where = state.where(places)
        last = proof_record.read(where)
        try:
            access = node.access(state.engine, state.config)
        except EngineError as error:
            looked = _Looked(state, last, drift=[str(error)])
        else:
            looked = _look(state, access, node, last)
        found.append(looked.document(waiting.pop(where.change, None)))
    for note in waiting.values():
        begun = registration_state.empty(note.engine, Path(note.config))
        found.append(_Looked(begun, None).document(note))
    return found


@dataclass(frozen=True)
class _Looked:
    """One registration: what our record says, and what the engine says, None if it says nothing."""

    state: Registered
    last: Proof | None
    access: Engine | None = None
    configured: Handlers | None = None
    running: Handlers | None = None
    default: str | None = None
    version: str | None = None
    drift: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)

    def document(self, waiting: transaction_record.Note | None) -> Json:
        """Return what `engine status --json` has of it; `waiting` is a change that is not over."""
        last, access = self.last, self.access
        drift = [_LOGGED_AT.sub("", one) for one in self.drift]  # else each look would find news
        if waiting:
            drift.append(
                f"a change of {waiting.config} by {waiting.by} is under way or was interrupted: "
                "wait, or run `engine revert`"
            )
        return {
            "engine": self.state.engine,
            "config": str(self.state.config),
            "unit": (access and access.unit) or None,
            "version": self.version or (access.version if access else None),
            "handlers": [self._handler(one) for one in self.state.handlers],
            "since": _shown_time(last.begun) if last else None,
            "by": last.by if last else None,
            "transaction": asdict(waiting) if waiting else None,
            "upgraded": any(_upgraded(self.state, self.version, last)),
            "drift": drift,
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
            "upgraded": bool(_proved_with_other(self.last, one, self.version)),
        }


def _has(found: Handlers | None, one: Handler) -> bool | None:
    if found is None:
        return None
    return one.name in found and found[one.name] in (None, one.path)


def _look(state: Registered, access: Engine, node: Systemd, last: Proof | None) -> _Looked:
    """Ask an installed engine."""
    configured, running, default = access.configured(), access.running(), access.default()
    unread, remarks = _unread(state, access, node, last), []
    if unread and configured is None and access.checks_files and (why := access.refusal()):
        unread = [f"{why}; correct that before anything restarts {access.unit}"]
    drift = [*_differences(state, configured, running, access)]
    if running is None:
        why = access.silence()
        if access.untold and not why:
            remarks = [f"{state.engine} answers, and lists no handlers over CRI: {access.untold}"]
        else:
            why = why or "no answer"
            drift.append(f"{state.engine} does not say which handlers are active: {why}")
    version = access.running_version()
    drift += [*unread, *_not_default(state, default), *_upgraded(state, version, last)]
    # Docker's client is not its daemon
    if version and access.checks_files and _numbers(version) != _numbers(access.version or version):
        remarks.insert(0, f"{state.engine} {access.version} is installed, and {version} runs: "
                       f"restart {access.unit or state.engine} if it was upgraded")  # fmt: skip
    return _Looked(state, last, access, configured, running, default, version, drift, remarks)


def _shown_time(seconds: float) -> str:
    """Return a time as `engine status` has it."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


def _differences(
    state: Registered, configured: Handlers | None, running: Handlers | None, access: Engine
) -> Iterator[str]:
    """Yield which handlers the files lack, or the running engine."""
    wanted, config = state.wanted, state.config
    if lost := wanted.difference(configured):
        yield f"{config}: {lost}; run `{_command('add', state)} --restart` again"
    elif why := wanted.difference(running):
        yield f"{config} has them, but in force {why}; restart {access.unit or state.engine}"


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


def _unread(state: Registered, access: Engine, node: Systemd, last: Proof | None) -> list[str]:
    """Return which files the running engine has not read.

    One that was touched since it was started, and has not the bytes of the last transaction.
    """
    if access.reload(loses_default=False) != RESTART or not (begun := node.started(access.unit)):
        return []
    found = []
    for path in sorted({str(state.config), *state.files}):
        with contextlib.suppress(OSError):
            changed = Path(path).stat().st_ctime
            if changed > begun + _SLACK and not (
                last and last.digests.get(path) == proof_record.digests([path]).get(path)
            ):
                found.append(
                    f"{path} was changed at {_shown_time(changed)}, and {access.unit} was started "
                    f"before, at {_shown_time(begun)}; restart it"
                )
    return found


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
    former = last.versions.get(one.name) if last else None
    return former if former and version and _numbers(former) != _numbers(version) else ""


def _numbers(version: str) -> str:
    """Return the part of a version that an engine's upgrade changes, not a rebuilt package."""
    found = re.match(r"[vV]?(\d+(\.\d+)*)", version)
    return found[1] if found else ""

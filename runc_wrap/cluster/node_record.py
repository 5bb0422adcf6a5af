"""What the installer remembers on the node, in PREFIX/var/cluster: JSON files, for root only.

    installed.json   which archive was installed, and the release that came of it; `begun` while
                     another one is installed
    proved.json      which archive a canary proved, the boot in which it was in force last, and
                     whether the node was ever ready
    applied.json     for which engine and kernel the policy was compiled, and what `apply` remarked
    attempts.json    what failed last, so that it is not tried again before its time
    state.json       the state that is shown and since when, for `kubectl runc-wrap` and for people;
                     `told` is the last one of which an Event was told, `untold_proof` whether a
                     canary was to run since the last Event `Installed`, and did not fail

One that is missing or damaged is as if nothing had been remembered.
"""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from runc_wrap import safe_text
from runc_wrap.cluster import archive_copy
from runc_wrap.cluster.next_step import Attempt
from runc_wrap.evidence.store import coverage
from runc_wrap.host import files

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from runc_wrap.node.paths import Places

_INSTALLED, _ATTEMPTS, _STATE = "installed.json", "attempts.json", "state.json"
_PROVED, _APPLIED = "proved.json", "applied.json"
_LARGEST = 256 << 10  # bytes: of a state with all findings of a policy, twice, each letter escaped
_SINCE, _BEGUN = "since", "begun"
_MOST_REMARKS, _LONGEST = 20, 1000  # of `apply`; characters of one


@dataclass(frozen=True)
class Installed:
    """The digest of the archive that was installed, its release's name on the node, its version."""

    archive: str | None = None
    release: str | None = None
    version: str = ""


@dataclass(frozen=True)
class Proved:
    """The digest of the archive that a canary proved, and the boot in which it was well last.

    `boot` is "" if somebody took the handler away since. `was_ready`: the node was ready once, so
    that pods of the RuntimeClass may run on it.
    """

    archive: str | None = None
    boot: str = ""
    was_ready: bool = False


@dataclass(frozen=True)
class Applied:
    """The engine and the kernel that the policy was compiled for, and remarks of `apply`."""

    machine: str = ""
    remarks: tuple[str, ...] = ()


def installed(places: Places) -> Installed:
    """Return what was installed by the cluster; nothing if no release is in force."""
    found, in_force = _read(places, _INSTALLED), archive_copy.release_in_force(places)
    if not isinstance(found, dict) or not found.get("archive") or in_force is None:
        return Installed()
    if found.get(_BEGUN) and found.get("release") != in_force:
        return Installed()  # what came of an installation that a pod began, and did not see end
    version = str(found.get("version", ""))
    return Installed(str(found.get("archive")), str(found.get("release")), version)


def begin_installation(places: Places) -> None:
    """Record that a release is being installed, which is none that somebody installed by hand."""
    found = _read(places, _INSTALLED)
    _write(places, _INSTALLED, {**(found if isinstance(found, dict) else {}), _BEGUN: True})


def end_installation(places: Places) -> None:
    """Record that no release is being installed, if the one that was recorded is in force."""
    found = _read(places, _INSTALLED)
    if not isinstance(found, dict) or not found.get(_BEGUN):
        return
    if found.get("release") == archive_copy.release_in_force(places):
        _write(places, _INSTALLED, {key: one for key, one in found.items() if key != _BEGUN})


def install(places: Places, archive: str, release: str | None, version: str) -> None:
    """Record what was installed. Raises OSError."""
    _write(places, _INSTALLED, {"archive": archive, "release": release, "version": version})


def proved(places: Places) -> Proved:
    """Return which archive was proved."""
    found = _read(places, _PROVED)
    if not isinstance(found, dict):
        return Proved()
    archive, was_ready = found.get("archive"), found.get("was_ready") is True
    return Proved(archive and str(archive), str(found.get("boot", "")), was_ready)


def prove(places: Places, archive: str | None, boot: str, *, is_ready: bool = False) -> None:
    """Record which archive was proved, if it is another record. Raises OSError."""
    before = proved(places)
    new = Proved(archive, boot, before.was_ready or is_ready)
    if before != new:
        _write(places, _PROVED, asdict(new))


def applied(places: Places) -> Applied:
    """Return for what the policy was compiled."""
    found = _read(places, _APPLIED)
    if not isinstance(found, dict):
        return Applied()
    remarks = found.get("remarks")
    told = remarks if isinstance(remarks, list) else []
    return Applied(str(found.get("machine", "")), tuple(map(str, told)))


def apply(places: Places, machine: str, remarks: Iterable[object]) -> None:
    """Record for what the policy was compiled, and what was remarked. Raises OSError."""
    told = [safe_text.name(one, _LONGEST) for one in [*remarks][:_MOST_REMARKS]]
    _write(places, _APPLIED, {"machine": machine, "remarks": told})


def attempts(places: Places) -> tuple[Attempt, ...]:
    """Return the attempts that failed, at most one of each step."""
    found = _read(places, _ATTEMPTS)
    try:
        return tuple(Attempt(**one) for one in found)
    except TypeError:
        return ()


def failed(places: Places, attempt: Attempt) -> None:
    """Record an attempt that failed; it is counted on if it is the same as before."""
    others = [one for one in attempts(places) if one.step != attempt.step]
    for one in attempts(places):
        if (one.step, one.key) == (attempt.step, attempt.key):
            attempt = replace(attempt, count=one.count + 1)
    _write(places, _ATTEMPTS, [asdict(one) for one in (*others, attempt)])


def succeeded(places: Places, step: str) -> None:
    """Forget that a step failed."""
    found = attempts(places)
    left = [asdict(one) for one in found if one.step != step]
    if len(left) != len(found):
        _write(places, _ATTEMPTS, left)


def show(places: Places, shown: dict[str, Any]) -> None:
    """Write the state, if it is another one, with its time. Raises OSError."""
    last = state(places)
    if {**last, _SINCE: None} != {**shown, _SINCE: None}:
        _write(places, _STATE, {**shown, _SINCE: time.time()})


def state_file(places: Places) -> Path:
    """Return the file that has the state."""
    return places.cluster / _STATE


def state(places: Places) -> dict[str, Any]:
    """Return the state that was shown last."""
    found = _read(places, _STATE)
    return found if isinstance(found, dict) else {}


def document(places: Places) -> dict[str, Any]:
    """Return the state and the attempts that failed, for people: times are RFC 3339.

    {state, reason, version, engine, policy, remarks, since, attempts: [{step, state, reason, count,
    at, again}]}; `state` is None if there is none.
    """
    shown = state(places)
    since = shown.get(_SINCE)
    failed_ = [
        {"step": one.step, "state": one.word, "reason": one.reason, "count": one.count,
         "at": coverage.rfc3339(one.at), "again": coverage.rfc3339(one.again)}
        for one in attempts(places)
    ]  # fmt: skip
    told = coverage.rfc3339(since) if isinstance(since, float) else None
    return {"state": None, **shown, _SINCE: told, "attempts": failed_}


def _read(places: Places, name: str) -> Any:  # noqa: ANN401 - any JSON value
    try:
        return json.loads(files.read(places.cluster / name, _LARGEST))
    except (OSError, ValueError, RecursionError):
        return None


def _write(places: Places, name: str, value: Any) -> None:  # noqa: ANN401 - any JSON value
    places.cluster.mkdir(mode=0o700, parents=True, exist_ok=True)
    files.replace(places.cluster / name, json.dumps(value).encode())

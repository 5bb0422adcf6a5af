"""What the installer remembers on the node, in PREFIX/var/cluster: JSON files, for root only.

    installed.json   which archive was installed, and the release that came of it
    attempts.json    what failed last, so that it is not tried again before its time
    state.json       the state that is shown, for `kubectl runc-wrap` and for people; `told` is the
                     last one of which an Event was told

One that is missing or damaged is as if nothing had been remembered.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from runc_wrap.host import files
from runc_wrap.node.cluster.next_step import Attempt

if TYPE_CHECKING:
    from pathlib import Path

    from runc_wrap.node.paths import Places

_INSTALLED, _ATTEMPTS, _STATE = "installed.json", "attempts.json", "state.json"
_LARGEST = 256 << 10  # bytes: of a state with all findings of a policy, twice, each letter escaped


@dataclass(frozen=True)
class Installed:
    """The digest of the archive that was installed, and the name of its release on the node."""

    archive: str | None = None
    release: str | None = None


def installed(places: Places) -> Installed:
    """Return what was installed by the cluster; nothing if no release is in force."""
    found = _read(places, _INSTALLED)
    if not isinstance(found, dict) or not (places.prefix / "lib" / "current").is_symlink():
        return Installed()
    return Installed(str(found.get("archive")), str(found.get("release")))


def install(places: Places, archive: str, release: str | None) -> None:
    """Record what was installed. Raises OSError."""
    _write(places, _INSTALLED, {"archive": archive, "release": release})


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


def show(places: Places, state: dict[str, Any]) -> None:
    """Write the state, if it is another one. Raises OSError."""
    if _read(places, _STATE) != state:
        _write(places, _STATE, state)


def state_file(places: Places) -> Path:
    """Return the file that has the state."""
    return places.cluster / _STATE


def state(places: Places) -> dict[str, Any]:
    """Return the state that was shown last."""
    found = _read(places, _STATE)
    return found if isinstance(found, dict) else {}


def _read(places: Places, name: str) -> Any:  # noqa: ANN401 - any JSON value
    try:
        return json.loads(files.read(places.cluster / name, _LARGEST))
    except (OSError, ValueError, RecursionError):
        return None


def _write(places: Places, name: str, value: Any) -> None:  # noqa: ANN401 - any JSON value
    places.cluster.mkdir(mode=0o700, parents=True, exist_ok=True)
    files.replace(places.cluster / name, json.dumps(value).encode())

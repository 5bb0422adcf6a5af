"""What the installer remembers of its node: one file, PREFIX/var/cluster/state.json, for root only.

It has what cannot be seen on the node: which archive came to be the release in force, what a canary
proved, what failed, and the state that was shown. A file that is missing or damaged is as if
nothing had been remembered: then each step is done again.
"""

import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

from runc_wrap import time_text
from runc_wrap.documents.constraints import First
from runc_wrap.documents.reader import read as read_document
from runc_wrap.documents.reader import record, written
from runc_wrap.host import files
from runc_wrap.node.paths import Places

_LARGEST = 256 << 10  # bytes: of a state with all findings of a policy, twice, each letter escaped
_FIRST_PAUSE, _LONGEST_PAUSE = 600.0, 86400.0  # seconds before what failed is tried again
_TRIES, _WITHIN = 3, 3600.0  # new pods that try at once, in so many seconds


Reason = Annotated[str, First(20_000)]  # all findings of a policy, and more beside them


@record
class Attempt:
    """The last attempt of a step that failed: for which key, when, and for the how-manieth time."""

    step: str
    key: str
    at: float
    count: int
    word: str
    reason: Reason

    @property
    def again(self) -> float:
        """Return when it may be tried again."""
        return self.at + min(_FIRST_PAUSE * (1 << min(self.count - 1, 16)), _LONGEST_PAUSE)

    def waits(self, now: float) -> bool:
        """Tell whether its time has not come; one of the future has none: the clock was set."""
        return self.at <= now < self.again


@record
class NodeRecord:
    """What the installer remembers of its node; times are seconds since 1970.

    `archive` is the digest of the installed archive; `release` and `release_version` are what it
    installed. `begun` has digest and version of an installation whose end nobody has seen.
    `machine` names the engine and kernel that the policy was compiled for. `remarks` are what
    `apply` remarked. `proved` is the archive that a canary proved. `boot` is the last boot in which
    the handler was in force, "" if somebody removed it since. `was_ready`: pods of the RuntimeClass
    may run here. `failed` has one attempt a step, `tries` the times at which new pods tried at
    once. The other fields are the state that is shown, and since when.
    """

    archive: str | None = None
    release: str | None = None
    release_version: str = ""
    begun: tuple[str, str] | None = None
    machine: str = ""
    remarks: tuple[str, ...] = ()
    proved: str | None = None
    boot: str = ""
    was_ready: bool = False
    failed: tuple[Attempt, ...] = ()
    tries: tuple[float, ...] = ()
    state: str | None = None
    reason: Reason = ""
    version: str = ""
    engine: str = ""
    policy: str = ""
    since: float | None = None

    def installed(self, release: str | None) -> str | None:
        """Return the archive that was installed, None if no release is in force."""
        return None if release is None else self.archive

    def is_other_release(self, release: str | None) -> bool:
        """Tell whether somebody installed the release in force by hand."""
        return self.installed(release) is not None and self.release != release

    def without(self, step: str) -> tuple[Attempt, ...]:
        """Return the attempts of other steps that failed."""
        return tuple(one for one in self.failed if one.step != step)

    def with_failure(self, new: Attempt) -> tuple[Attempt, ...]:
        """Return the attempts with one more, which is counted on if it has the key of the last."""
        same = [one.count for one in self.failed if (one.step, one.key) == (new.step, new.key)]
        return (*self.without(new.step), replace(new, count=sum(same) + 1))

    def waits(self, now: float) -> bool:
        """Tell whether something that failed waits for its time."""
        return any(one.waits(now) for one in self.failed)

    def tries_at(self, now: float) -> tuple[float, ...] | None:
        """Return `tries` with one more, None if there were enough within the hour."""
        last = tuple(at for at in self.tries if abs(now - at) < _WITHIN)
        return (*last, now) if len(last) < _TRIES else None


def read(places: Places) -> NodeRecord:
    """Return what is remembered."""
    try:
        return read_document(NodeRecord, files.read(file(places), _LARGEST))
    except (OSError, ValueError):
        return NodeRecord()


def change(places: Places, **changes: Any) -> NodeRecord:  # noqa: ANN401 - the record's fields
    """Remember something else, and return the whole. Raises OSError."""
    before = read(places)
    new = replace(before, **changes)
    if new != before:
        places.cluster.mkdir(mode=0o700, parents=True, exist_ok=True)
        files.replace(file(places), json.dumps(written(new)).encode())
    return new


def file(places: Places) -> Path:
    """Return the file, for people."""
    return places.cluster / "state.json"


_SHOWN = ("state", "reason", "version", "engine", "policy", "remarks")


def show(places: Places, **shown: str) -> None:
    """Remember the state that is shown, and since when if it is another one. Raises OSError."""
    before = read(places)
    if any(getattr(before, name) != value for name, value in shown.items()):
        change(places, **shown, since=time.time())


def document(places: Places) -> dict[str, Any]:
    """Return the state and the attempts that failed, for people: times are RFC 3339.

    {state, reason, version, engine, policy, remarks, since, attempts: [{step, state, reason, count,
    at, again}]}; `state` is None if there is none.
    """
    found = read(places)
    attempts = [
        {"step": one.step, "state": one.word, "reason": one.reason, "count": one.count,
         "at": time_text.rfc3339(one.at), "again": time_text.rfc3339(one.again)}
        for one in found.failed
    ]  # fmt: skip
    since = None if found.since is None else time_text.rfc3339(found.since)
    shown = {name: getattr(found, name) for name in _SHOWN}
    return {**shown, "since": since, "attempts": attempts}

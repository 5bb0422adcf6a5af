"""What the agent saw, on disk: one file for each container, and one for all that is not theirs.

    DIR/containers/DIGEST.json    {version, root, id, ended, dropped, calls, runtimes}, named by the
                                  digest of root NUL id; `runtimes` are the runtime's own calls
    DIR/unattributed.json         the same, of calls whose container is not known (evidence.strays)
    DIR/state.json                {version, lost, watched, covered, cleared_until}

`watched` are the times in which somebody looked, for each source. `covered` are audit records that
were counted: [first serial, last serial, first time, last time]; serials begin anew at each boot,
times tell boots apart. Until `cleared_until` files of containers that are gone were removed.
Files are replaced whole. One that is damaged is counted and passed over, whose container it is
about has no verdict, and the writer puts it aside as FILE.damaged.
Lean: it lives in the agent, which is always there.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any

from runc_wrap.evidence import known, strays, tallies
from runc_wrap.evidence.model import AUDIT, Lost
from runc_wrap.evidence.seen import (
    ASIDE,
    MOST_INTERVALS,
    UNATTRIBUTED,
    Evidence,
    count,
    file_name,
    lose,
    watch,
)
from runc_wrap.evidence.strays import Strays
from runc_wrap.evidence.tallies import Tallies
from runc_wrap.hotpath import bundle, codec
from runc_wrap.hotpath.failure import Refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from runc_wrap.evidence.model import Sighting
    from runc_wrap.evidence.seen import Key

Json = dict[str, Any]

VERSION = 1
DAYS = 30
MOST_CONTAINERS = 10_000
_IN_MEMORY = 256
_STATE = "state.json"
_UNREADABLE = (Refusal, codec.Unreadable, ValueError, TypeError, KeyError, AttributeError)


class Store:
    """Writes evidence; `flush` brings to disk what changed since. One process has one, no more.

    Raises OSError where the directory cannot be made, and from `flush` where it cannot be written;
    what was not written is tried again by the next flush.
    """

    def __init__(
        self, directory: str | os.PathLike[str], now: Callable[[], float] = time.time
    ) -> None:
        self._directory = os.fspath(directory)
        for made in (self._directory, f"{self._directory}/containers"):  # mode: of the last only
            os.makedirs(made, 0o700, exist_ok=True)  # noqa: PTH103 - lean
        self._now = now
        self._seen: dict[Key | None, Tallies] = {}
        self._changed: set[Key | None] = set()
        self._state = Evidence()
        _load_state(self._directory, self._state)
        if self._state.damaged:
            _put_aside(f"{self._directory}/{_STATE}")
        self._state_changed = False
        self._covering = False

    def add(self, key: Key | None, s: Sighting, *, is_runtimes: bool = False) -> None:
        """Count one call, of nobody known where `key` is None; apart if it is the runtime's own."""
        self.cover(s)
        count(self._of(key), s, is_runtimes=is_runtimes)
        self._changed.add(key)

    def add_elsewhere(self, s: Sighting) -> None:
        """Count one call of a process that is known to be in no container."""
        self.cover(s)
        nobodys = self._of(None)
        count(nobodys.elsewhere if isinstance(nobodys, Strays) else nobodys, s)
        self._changed.add(None)

    def lost(self, one: Lost) -> None:
        """Note lost records: what comes afterwards is covered apart from what came before."""
        lose(self._state.lost, one)
        self._state_changed = True
        if one.source == AUDIT:
            self._covering = False

    def watched(self, source: str, begin: float, end: float) -> None:
        """Note that `source` was looked at from `begin` to `end`; call it again as time goes on."""
        watch(self._state.watched.setdefault(source, []), begin, end)
        self._state_changed = True

    def ended(self, key: Key, when: float) -> None:
        """Note that the last process of a container ended."""
        self._of(key).ended = when
        self._changed.add(key)

    def flush(self) -> None:
        """Write what changed; forget what is too old, and what memory need not hold."""
        for key in list(self._changed):
            self._write(key)
            self._changed.discard(key)
        if self._state_changed:
            self._write_state()
        for key in list(self._seen)[:-_IN_MEMORY]:
            del self._seen[key]

    def clear_old(self, days: float = DAYS, most: int = MOST_CONTAINERS) -> int:
        """Remove containers last written before so many days, and the oldest above so many.

        Those that still are keep theirs, and damaged files stay: nobody knows whose they are. Until
        when something was removed is on disk before it is.
        """
        found = sorted(_ages(f"{self._directory}/containers"))
        limit = self._now() - days * 86400
        gone: list[tuple[float, str]] = []
        for when, path in found:
            if when >= limit and len(found) - len(gone) <= most:
                break
            if _is_gone(path):
                gone.append((when, path))
        if gone:
            self._state.cleared_until = max(self._state.cleared_until, gone[-1][0])
            self._write_state()
        for _, path in gone:
            os.unlink(path)  # noqa: PTH108 - lean
        nobodys = self._of(None)
        if isinstance(nobodys, Strays) and nobodys.forget(limit):
            self._changed.add(None)
        return len(gone)

    def _write_state(self) -> None:
        _replace(f"{self._directory}/{_STATE}", _state_json(self._state))
        self._state_changed = False

    def _of(self, key: Key | None) -> Tallies:
        found = self._seen.pop(key, None) or self._loaded(key)
        self._seen[key] = found  # the last used is last
        return found

    def _loaded(self, key: Key | None) -> Tallies:
        path = self._path(key)
        empty, of_json = (Strays, strays.of_json) if key is None else (Tallies, tallies.of_json)
        if not os.path.lexists(path):
            return empty()
        try:
            return of_json(_object(path))
        except _UNREADABLE:
            _put_aside(path)
            return empty()

    def _path(self, key: Key | None) -> str:
        return f"{self._directory}/{file_name(key)}"

    def _write(self, key: Key | None) -> None:
        root, name = (one.encode("utf-8", "backslashreplace").decode() for one in key or ("", ""))
        found = {"version": VERSION, "root": root, "id": name, **self._of(key).as_json()}
        _replace(self._path(key), found)

    def cover(self, s: Sighting) -> None:
        """Note that a record was here: whoever finds it in a log need not look at it."""
        if s.source != AUDIT:
            return
        covered = self._state.covered
        if self._covering:
            first, last, begin, end = covered.pop()
            now = (min(first, s.serial), max(last, s.serial), min(begin, s.time), max(end, s.time))
            covered.append(now)
        else:
            covered.append((s.serial, s.serial, s.time, s.time))
            del covered[:-MOST_INTERVALS]
        self._covering = True
        self._state_changed = True


def load(directory: str | os.PathLike[str]) -> Evidence:
    """Read all evidence; nothing there is none. Raises PermissionError."""
    found = Evidence()
    where = os.fspath(directory)
    _load_state(where, found)
    for _, path in _ages(f"{where}/containers"):
        _load_container(where, path, found)
    _load_nobodys(where, found)
    for place in (f"{where}/containers", where):
        for _, path in _ages(place, f".json{ASIDE}"):
            found.add_damaged(path.removeprefix(f"{where}/"))
    return found


def container(path: str) -> tuple[Key, Tallies] | None:
    """Read one container's file, None if it is damaged or gone."""
    try:
        said = _object(path)
        return (said["root"] + "", said["id"] + ""), tallies.of_json(said)
    except _UNREADABLE:
        return None


def _nobodys(path: str) -> Strays | None:
    try:
        return strays.of_json(_object(path))
    except _UNREADABLE:
        return None


def _load_container(directory: str, path: str, found: Evidence) -> None:
    read = container(path)
    if read:
        found.add_stored(*read)
    elif os.path.lexists(path):  # else it was cleared meanwhile
        found.add_damaged(path.removeprefix(f"{directory}/"))


def _load_nobodys(directory: str, found: Evidence) -> None:
    path = f"{directory}/{UNATTRIBUTED}"
    if not os.path.lexists(path):
        return
    if read := _nobodys(path):
        found.unattributed = read
    else:
        found.add_damaged(UNATTRIBUTED)


def _load_state(directory: str, found: Evidence) -> None:
    path = f"{directory}/{_STATE}"
    if not os.path.lexists(path):
        return
    try:
        said = _object(path)
        lost = {
            (str(s), str(why)): (int(n), float(b), float(e)) for s, why, n, b, e in said["lost"]
        }
        watched = {
            str(source): [(float(b), float(e)) for b, e in intervals]
            for source, intervals in said["watched"].items()
        }
        covered = [(int(a), int(z), float(b), float(e)) for a, z, b, e in said["covered"]]
        cleared_until = float(said.get("cleared_until", 0.0))
    except _UNREADABLE:
        found.add_damaged(_STATE)
        return
    found.lost, found.watched, found.covered = lost, watched, covered
    found.cleared_until = cleared_until


def _state_json(state: Evidence) -> Json:
    return {
        "version": VERSION,
        "lost": [[*kind, *counted] for kind, counted in state.lost.items()],
        "watched": state.watched,
        "covered": state.covered,
        "cleared_until": state.cleared_until,
    }


def _object(path: str) -> Json:
    found = codec.loads(bundle.read(path).text)
    if not isinstance(found, dict) or found.get("version") != VERSION:
        raise ValueError("it is not of this version")
    return found


def _replace(path: str, value: Json) -> None:
    new = f"{path}.new"
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(codec.dumps(value))
    os.replace(new, path)  # noqa: PTH105 - lean


def _is_gone(path: str) -> bool:
    """Tell whether a file is of a container whose runtime knows it no more."""
    read = container(path)
    return read is not None and known.state_directory(read[0]) is None


def _put_aside(path: str) -> None:
    try:
        os.replace(path, f"{path}{ASIDE}")  # noqa: PTH105 - lean
    except OSError as error:
        raise OSError(
            error.errno, f"a damaged file cannot be put aside: {error.strerror}"
        ) from None


def _ages(directory: str, suffix: str = ".json") -> Iterator[tuple[float, str]]:
    try:
        entries = list(os.scandir(directory))
    except (FileNotFoundError, NotADirectoryError):
        return
    for entry in entries:
        if entry.name.endswith(suffix) and entry.is_file(follow_symlinks=False):
            try:
                yield entry.stat(follow_symlinks=False).st_mtime, entry.path
            except FileNotFoundError:  # cleared meanwhile
                continue

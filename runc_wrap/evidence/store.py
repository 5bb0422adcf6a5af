"""What the agent saw, on disk: one file for each container, and one for all that is not theirs.

    DIR/containers/DIGEST.json    {version, root, id, seen, ended, dropped, calls}; of root NUL id
    DIR/unattributed.json         the same, of calls whose container is not known
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
from bisect import bisect_right
from typing import TYPE_CHECKING, Any

from runc_wrap.evidence import known, tallies
from runc_wrap.evidence.model import AUDIT, Lost
from runc_wrap.evidence.tallies import Tallies
from runc_wrap.hotpath import bundle, codec
from runc_wrap.hotpath.digest import digest
from runc_wrap.hotpath.failure import Refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from runc_wrap.evidence.model import Sighting

Json = dict[str, Any]
Key = tuple[str, str]  # the runtime's root, the container's id
Interval = tuple[float, float]

VERSION = 1
DAYS = 30
MOST_CONTAINERS = 10_000
_IN_MEMORY = 256
_MOST_INTERVALS = 1000
_MOST_LOST = 200  # kinds
_SLACK = 1.0  # seconds between a record's own time and when it was counted
_USER_NOTIF = 0x7FC00000
_HEX = 64
_STATE, _UNATTRIBUTED = "state.json", "unattributed.json"
_ASIDE = ".damaged"
_UNREADABLE = (Refusal, codec.Unreadable, ValueError, TypeError, KeyError, AttributeError)
_NEIGHBOURS = 8  # times of counting that may begin within the slack of a record


class Evidence:
    """All that was seen; `damaged` files could not be read.

    `lost` is (source, why) -> (records, first, last).
    """

    def __init__(self) -> None:
        self.containers: dict[Key, Tallies] = {}
        self.unattributed = Tallies()
        self.lost: dict[tuple[str, str], tuple[int, float, float]] = {}
        self.watched: dict[str, list[Interval]] = {}
        self.covered: list[tuple[int, int, float, float]] = []
        self._begins: list[float] = []
        self._damaged: set[str] = set()  # files
        self._stored: set[Key] = set()
        self.cleared_until = 0.0

    @property
    def damaged(self) -> int:
        """How many files could not be read."""
        return len(self._damaged)

    def add_stored(self, key: Key, seen: Tallies) -> None:
        """Take what the agent's file of a container holds."""
        self.containers[key] = seen
        self._stored.add(key)

    def cleared(self, key: Key) -> float:
        """Return until when a container's evidence may have been removed, 0.0 if it was not."""
        return 0.0 if key in self._stored else self.cleared_until

    def add_damaged(self, name: str) -> None:
        """Note a file beneath the directory that could not be read, or was put aside for that."""
        self._damaged.add(name.removesuffix(_ASIDE))

    def is_damaged(self, key: Key) -> bool:
        """Tell whether what was seen in a container could not be read, all or a part of it."""
        return bool(self._damaged) and file_name(key) in self._damaged

    def add(self, key: Key | None, sighting: Sighting) -> None:
        """Count a record from elsewhere, unless the agent has counted it."""
        if not self.has(sighting):
            of = self.unattributed if key is None else self.containers.setdefault(key, Tallies())
            _count(of, sighting)

    def has(self, s: Sighting) -> bool:
        """Tell whether the agent has counted this very audit record."""
        if s.source != AUDIT or not self.covered:
            return False
        if len(self._begins) != len(self.covered):
            self.covered.sort(key=lambda one: one[2])
            self._begins = [one[2] for one in self.covered]
        place = bisect_right(self._begins, s.time + _SLACK)
        return any(
            first <= s.serial <= last and begin - _SLACK <= s.time <= end + _SLACK
            for first, last, begin, end in self.covered[max(place - _NEIGHBOURS, 0) : place]
        )

    def add_lost(self, one: Lost) -> None:
        """Count records that are known to be lost."""
        _lose(self.lost, one)

    def add_watched(self, source: str, begin: float, end: float) -> None:
        """Note that somebody looked."""
        _watch(self.watched.setdefault(source, []), begin, end)


class Store:
    """Writes evidence; `flush` brings to disk what changed since. One process has one, no more.

    Raises OSError where the directory cannot be made, and from `flush` where it cannot be written;
    what was not written is tried again by the next flush.
    """

    def __init__(
        self, directory: str | os.PathLike[str], now: Callable[[], float] = time.time
    ) -> None:
        self._directory = os.fspath(directory)
        os.makedirs(f"{self._directory}/containers", 0o700, exist_ok=True)  # noqa: PTH103 - lean
        self._now = now
        self._seen: dict[Key | None, Tallies] = {}
        self._changed: set[Key | None] = set()
        self._state = Evidence()
        _load_state(self._directory, self._state)
        if self._state.damaged:
            _put_aside(f"{self._directory}/{_STATE}")
        self._state_changed = False
        self._covering = False

    def add(self, key: Key | None, s: Sighting) -> None:
        """Count one call, of nobody known where `key` is None."""
        if s.source == AUDIT:
            self._cover(s)
        _count(self._of(key), s)
        self._changed.add(key)

    def lost(self, one: Lost) -> None:
        """Note lost records: what comes afterwards is covered apart from what came before."""
        _lose(self._state.lost, one)
        self._state_changed = True
        if one.source == AUDIT:
            self._covering = False

    def watched(self, source: str, begin: float, end: float) -> None:
        """Note that `source` was looked at from `begin` to `end`; call it again as time goes on."""
        _watch(self._state.watched.setdefault(source, []), begin, end)
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
        if not os.path.lexists(path):
            return Tallies()
        try:
            return tallies.of_json(_object(path))
        except _UNREADABLE:
            _put_aside(path)
            return Tallies()

    def _path(self, key: Key | None) -> str:
        return f"{self._directory}/{file_name(key)}"

    def _write(self, key: Key | None) -> None:
        root, name = (one.encode("utf-8", "backslashreplace").decode() for one in key or ("", ""))
        found = {"version": VERSION, "root": root, "id": name, **self._of(key).as_json()}
        _replace(self._path(key), found)

    def _cover(self, s: Sighting) -> None:
        covered = self._state.covered
        if self._covering:
            first, last, begin, end = covered.pop()
            now = (min(first, s.serial), max(last, s.serial), min(begin, s.time), max(end, s.time))
            covered.append(now)
        else:
            covered.append((s.serial, s.serial, s.time, s.time))
            del covered[:-_MOST_INTERVALS]
        self._covering = True
        self._state_changed = True


def file_name(key: Key | None) -> str:
    """Return where beneath the directory a container's file is."""
    if key is None:
        return _UNATTRIBUTED
    return f"containers/{digest(chr(0).join(key).encode('utf-8', 'backslashreplace'))[:_HEX]}.json"


def load(directory: str | os.PathLike[str]) -> Evidence:
    """Read all evidence; nothing there is none. Raises PermissionError."""
    found = Evidence()
    where = os.fspath(directory)
    _load_state(where, found)
    for _, path in _ages(f"{where}/containers"):
        _load_container(where, path, found)
    if os.path.lexists(f"{where}/{_UNATTRIBUTED}"):
        _load_container(where, f"{where}/{_UNATTRIBUTED}", found)
    for _, path in _ages(f"{where}/containers", f".json{_ASIDE}"):
        found.add_damaged(path.removeprefix(f"{where}/"))
    return found


def container(path: str) -> tuple[Key, Tallies] | None:
    """Read one container's file, None if it is damaged or gone."""
    try:
        said = _object(path)
        return (said["root"] + "", said["id"] + ""), tallies.of_json(said)
    except _UNREADABLE:
        return None


def _load_container(directory: str, path: str, found: Evidence) -> None:
    name = path.removeprefix(f"{directory}/")
    read = container(path)
    if read is None:
        if os.path.lexists(path):  # else it was cleared meanwhile
            found.add_damaged(name)
    elif name == _UNATTRIBUTED:
        found.unattributed = read[1]
    else:
        found.add_stored(*read)


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
        os.replace(path, f"{path}{_ASIDE}")  # noqa: PTH105 - lean
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


def _count(of: Tallies, s: Sighting) -> None:
    """Count a call once: of one that was sent to us, an audit record says the same again."""
    if s.source != AUDIT or s.code != _USER_NOTIF:
        of.add(s)


def _lose(into: dict[tuple[str, str], tuple[int, float, float]], one: Lost) -> None:
    kind = (one.source, tallies.text(one.why))
    if kind not in into and len(into) >= _MOST_LOST:
        kind = (one.source, "")
    count, first, last = into.get(kind, (0, one.time, one.time))
    into[kind] = (count + one.records, min(first, one.time), max(last, one.time))


def _watch(intervals: list[Interval], begin: float, end: float) -> None:
    """Add a time to the others, joined with what it touches; they stay in order.

    Between two lives of who looks nobody does, however short that is: nothing joins over a hole.
    """
    for place, (other_begin, other_end) in enumerate(intervals):
        if begin <= other_end and other_begin <= end:
            del intervals[place]
            _watch(intervals, min(begin, other_begin), max(end, other_end))
            return
    intervals.append((begin, end))
    intervals.sort()
    del intervals[:-_MOST_INTERVALS]

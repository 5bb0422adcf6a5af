"""The containers in the ledger, followed as it grows, and their first processes.

The runtime's state (runc's state.json, crun's status) names a container's first process
with its start time; it counts if it lies in directories that only root may write.

A container's ledger line is written before its first process starts: if it is read at once, that
process and those that join the container are followed from their start. So its directory is watched
for changes (inotify(7)).
"""

import ctypes
import os
import struct
import time
from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple

from runc_wrap import time_text
from runc_wrap.evidence.sightings import OBSERVE
from runc_wrap.host import runtime_state
from runc_wrap.hotpath import ledger_file
from runc_wrap.hotpath.ledger_file import Key, Origin
from runc_wrap.ledger import new_records
from runc_wrap.ledger.decision_record import Record

MOST = 20_000  # containers remembered, the newest
_MOST_ROOTS = 8  # with containers of one id, the newest
_MOST_ASKED = 500  # containers whose first process is looked for, the newest
_ASKED = 60.0  # seconds that a runtime has from the ledger's line to its state
_MODIFY, _MOVED_TO, _CREATE, _MOVE_SELF = 0x2, 0x80, 0x100, 0x800  # linux/inotify.h
_IGNORED = 0x8000
_EVENTS = _MODIFY | _MOVED_TO | _CREATE | _MOVE_SELF
_EVENT = struct.Struct("=iIII")  # struct inotify_event: watch, mask, cookie, length of the name
_ROOM = 64 * 1024


class LedgerEntry(NamedTuple):
    """A container's entry in the ledger; `creator` is the runtime's pid, and when (s).

    `origin` is who wrote it.
    """

    creator: tuple[int, float] | None
    mode: str | None
    bundle: str | None
    origin: Origin
    is_logged: bool


class Known:
    """The containers in these ledgers; `refresh` reads what was appended since."""

    def __init__(self, *directories: str | os.PathLike[str]) -> None:
        self._ledgers = [_Ledger(os.fspath(one)) for one in directories]
        self._keys: dict[str, dict[Key, LedgerEntry]] = {}
        self._news: list[Key] = []
        self._firsts: dict[tuple[int, int], Key] = {}
        self._asked: dict[Key, float] = {}  # whose first process is looked for, until when
        self.refresh()

    def refresh(self) -> list[Key]:
        """Read on; return the containers in new lines. An unreadable file counts as empty."""
        records = (record for ledger in self._ledgers for record in ledger.appended())
        found = dict.fromkeys(record.key for record in records if self._note(record))
        self._news = [*self._news, *found][-MOST:]
        return list(found)

    def news(self) -> list[Key]:
        """Read on; return the containers in lines that are new since the last call."""
        self.refresh()
        found, self._news = self._news, []
        return found

    def newest(self) -> Iterator[Key]:
        """Yield all containers, the newest first."""
        for keys in reversed(list(self._keys.values())):
            yield from reversed(list(keys))

    def creator(self, key: Key) -> tuple[int, float] | None:
        """Return the pid of the runtime that last created a container, and when, to the second."""
        entry = self._keys.get(key[1], {}).get(key)
        return entry and entry.creator

    def is_recorded(self, key: Key) -> bool:
        """Return whether the kernel logs calls of a container."""
        entry = self._keys.get(key[1], {}).get(key)
        return bool(entry and entry.is_logged)

    def mode(self, key: Key) -> str | None:
        """Return a container's mode, None if unknown."""
        entry = self._keys.get(key[1], {}).get(key)
        return entry and entry.mode

    def of_id(self, name: str, bundle_path: str = "") -> Key | None:
        """Return the container of an id, None if several roots have one that could be meant.

        The bundle decides between them, if known, or which one's state exists.
        """
        entries = self._keys.get(name, {})
        keys = [key for key in entries if entries[key].bundle == bundle_path] or [*entries]
        if len(keys) > 1:
            keys = [key for key in keys if runtime_state.directory(key)]
        return keys[0] if len(keys) == 1 else None

    def all_of_id(self, name: str) -> list[Key]:
        """Return the containers of an id, under any root."""
        return [*self._keys.get(name, ())]

    def of(self, root: str, name: str) -> Key | None:
        """Return the container of a runtime's root and an id, None if the ledger has none."""
        key = (root, name)
        return key if key in self._keys.get(name, ()) else None

    def of_first_process(self, pid: int, start: int) -> Key | None:
        """Return the container whose first process, by the runtime's state, is this one."""
        if (pid, start) not in self._firsts:
            now = time.time()
            for key, until in [*self._asked.items()]:
                first = runtime_state.first_process(key)
                if first:
                    self._firsts[first] = key
                if first or until < now:
                    del self._asked[key]
        while len(self._firsts) > MOST:
            del self._firsts[next(iter(self._firsts))]
        return self._firsts.get((pid, start))

    def _note(self, record: Record) -> bool:
        """Take in a record; return whether it counts."""
        key = record.key
        before = self._keys.get(key[1], {}).get(key)
        if before and ledger_file.is_late(record.origin, before.origin):
            return False
        keys = self._keys.pop(key[1], {})
        keys.pop(key, None)
        newest = islice(keys.items(), max(len(keys) - _MOST_ROOTS + 1, 0), None)
        self._keys[key[1]] = {**dict(newest), key: _entry(record)}
        self._asked.pop(key, None)  # it was created, perhaps again
        self._asked[key] = (time_text.epoch(record.time) or time.time()) + _ASKED
        if len(self._asked) > _MOST_ASKED:
            del self._asked[next(iter(self._asked))]
        if len(self._keys) > MOST:
            del self._keys[next(iter(self._keys))]
        return True


class _Ledger:
    """One ledger, of which each pass reads new lines."""

    def __init__(self, directory: str) -> None:
        self._directory = directory
        self._positions: new_records.Positions = {}
        self._stamp: new_records.Stamp | None = None

    def appended(self) -> Iterator[Record]:
        """Yield new records; opens nothing if no file has changed."""
        stamp = new_records.stamp(self._directory)
        if stamp == self._stamp:
            return
        following = new_records.Following(self._directory, self._positions, oldest=True)
        try:
            yield from following.records()
            self._positions = following.positions or self._positions
            self._stamp = stamp
        except OSError:
            self._positions = {**self._positions, **following.positions}


def _entry(record: Record) -> LedgerEntry:
    when = time_text.epoch(record.time)
    is_creator = record.pid is not None and record.pid > 0 and when is not None
    creator = (record.pid, when) if is_creator else None
    mode = OBSERVE if record.has_listener else record.mode
    return LedgerEntry(creator, mode, record.bundle, record.origin, record.is_logged)  # type: ignore[arg-type]  # both are numbers


class Appended:
    """Watches a ledger's directory, and creates it if it does not exist. Raises OSError."""

    def __init__(self, directory: str) -> None:
        self._directory = directory
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._fd = _checked(self._libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC))
        try:
            self._watch()
        except OSError:
            os.close(self._fd)
            raise

    def fileno(self) -> int:
        """Return the descriptor that is readable after a change."""
        return self._fd

    def take(self) -> None:
        """Read the pending events. Raises OSError if no more can come."""
        try:
            events = os.read(self._fd, _ROOM)
        except BlockingIOError:
            return
        at = 0
        while at < len(events):
            _, mask, _, length = _EVENT.unpack_from(events, at)
            at += _EVENT.size + length
            if mask & (_IGNORED | _MOVE_SELF):  # the directory was removed or renamed
                self._watch()

    def _watch(self) -> None:
        os.makedirs(self._directory, 0o700, exist_ok=True)  # noqa: PTH103 - no pathlib
        _checked(self._libc.inotify_add_watch(self._fd, os.fsencode(self._directory), _EVENTS))


def _checked(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result

"""What has changed of the evidence in memory since it was written to its files.

Which files, and what is in them: evidence.store.evidence_reader.
"""

import os
import time

from runc_wrap.evidence.sightings import AUDIT, LossSpan, Sighting
from runc_wrap.evidence.store import evidence_reader
from runc_wrap.evidence.store.call_counts import PROGRAM, Tallies
from runc_wrap.evidence.store.evidence_memory import ASIDE, MOST_INTERVALS, Strays, count, file_name
from runc_wrap.evidence.store.evidence_reader import STATE, UNREADABLE, VERSION
from runc_wrap.host import runtime_state
from runc_wrap.hotpath import json_codec
from runc_wrap.hotpath.ledger_file import Key

File = tuple[str, bytes]  # its path, its content

DAYS = 30
MOST_CONTAINERS = 10_000
_IN_MEMORY = 256


class EvidenceWriter:
    """Counts evidence, and says which files have changed. Only one process may have one.

    `state` has what is of no container: losses, watched intervals, covered records.
    Raises OSError if the directory cannot be made.
    """

    def __init__(self, directory: str | os.PathLike[str]) -> None:
        self._directory = os.fspath(directory)
        for made in (self._directory, f"{self._directory}/containers"):  # mode: of the last only
            os.makedirs(made, 0o700, exist_ok=True)  # noqa: PTH103 - no pathlib
        self._seen: dict[Key | None, Tallies] = {}
        self._changed: set[Key | None] = set()
        self._writing: set[Key | None] = set()
        self.state = evidence_reader.state(self._directory)
        if self.state.damaged:
            path = f"{self._directory}/{STATE}"
            os.replace(path, f"{path}{ASIDE}")  # noqa: PTH105 - no pathlib
        self._covering = False

    def add(
        self, key: Key | None, s: Sighting, *, made_by: str = PROGRAM, times: int = 1, last: int = 0
    ) -> None:
        """Count a call, unattributed if `key` is None; apart if no program of a container made it.

        If it was made several times at its time, `last` is the serial of the last record.
        """
        self.cover(s, last)
        count(self._of(key), s, made_by=made_by, times=times)
        self._changed.add(key)

    def lost(self, one: LossSpan) -> None:
        """Note lost records: a new covered interval begins after them."""
        self.state.add_lost(one)
        if one.source == AUDIT:
            self._covering = False

    def ended(self, key: Key, when: float) -> None:
        """Note that the last process of a container ended."""
        self._of(key).ended = when
        self._changed.add(key)

    def changes(self) -> list[File]:
        """Return the files to write for the changes; `written` or `unwritten` must follow."""
        self._writing, self._changed = self._changed, set()
        return [*map(self._file, self._writing), self._state_file()]

    def written(self) -> None:
        """Note that the changes are on disk; drop what memory need not hold."""
        self._writing = set()
        for key in list(self._seen)[:-_IN_MEMORY]:
            if key not in self._changed:
                del self._seen[key]

    def unwritten(self) -> None:
        """Note that writing failed: the changes remain to be written."""
        self._changed |= self._writing
        self._writing = set()

    def forget(self, days: float = DAYS) -> None:
        """Forget unattributed calls that are older than so many days."""
        strays = self._of(None)
        if isinstance(strays, Strays) and strays.forget(time.time() - days * 86400):
            self._changed.add(None)

    def outdated(self, days: float = DAYS, most: int = MOST_CONTAINERS) -> list[tuple[float, str]]:
        """Return (time, path) of files older than so many days, and of the oldest beyond `most`.

        Files of existing containers stay, and so do damaged files, whose container is unknown. It
        reads the disk only, and nothing in memory.
        """
        found = sorted(evidence_reader.ages(f"{self._directory}/containers"))
        limit = time.time() - days * 86400
        gone: list[tuple[float, str]] = []
        for when, path in found:
            if when >= limit and len(found) - len(gone) <= most:
                break
            read = evidence_reader.container(path)
            if read and not runtime_state.directory(read[0]):
                gone.append((when, path))
        return gone

    def cleared(self, gone: list[tuple[float, str]]) -> File:
        """Return the state file that notes these removals, to be on disk before them."""
        self.state.cleared_until = max(self.state.cleared_until, gone[-1][0])
        return self._state_file()

    def _state_file(self) -> File:
        state = self.state
        fields = {
            "version": VERSION,
            "lost": [[*kind, *hole] for kind, holes in state.lost.items() for hole in holes],
            "watched": state.watched,
            "covered": state.covered,
            "cleared_until": state.cleared_until,
        }
        return f"{self._directory}/{STATE}", json_codec.dumps(fields)

    def _of(self, key: Key | None) -> Tallies:
        found = self._seen.pop(key, None) or self._loaded(key)
        self._seen[key] = found  # the last used is last
        return found

    def _loaded(self, key: Key | None) -> Tallies:
        path = self._path(key)
        kind = Strays if key is None else Tallies
        if os.path.lexists(path):
            try:
                return kind.of_json(evidence_reader.object_of(path))
            except UNREADABLE:
                os.replace(path, f"{path}{ASIDE}")  # noqa: PTH105 - no pathlib
        return kind()

    def _path(self, key: Key | None) -> str:
        return f"{self._directory}/{file_name(key)}"

    def _file(self, key: Key | None) -> File:
        root, name = (one.encode("utf-8", "backslashreplace").decode() for one in key or ("", ""))
        found = {"version": VERSION, "root": root, "id": name, **self._of(key).as_json()}
        return self._path(key), json_codec.dumps(found)

    def cover(self, s: Sighting, serial: int = 0) -> None:
        """Note that a record was counted: found in a log, it must not count again.

        `serial` is the last one's of several equal records.
        """
        if s.source != AUDIT:
            return
        serial = max(serial, s.serial)
        covered = self.state.covered
        if self._covering:
            first, last, begin, end = covered.pop()
            now = (min(first, s.serial), max(last, serial), min(begin, s.time), max(end, s.time))
            covered.append(now)
        else:
            covered.append((s.serial, serial, s.time, s.time))
            del covered[:-MOST_INTERVALS]
        self._covering = True

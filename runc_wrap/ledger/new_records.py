"""Reads the records that were appended to the ledger since the last pass. Writes nothing.

Its files are opened so that a rotation meanwhile hides no record. A file is identified by its first
line, not by its inode, which a new file may reuse at once.
"""

import os
from collections.abc import Iterator, Sequence

from runc_wrap.host import files
from runc_wrap.hotpath import ledger_file
from runc_wrap.hotpath.json_codec import digest
from runc_wrap.hotpath.ledger_file import LONGEST_LINE
from runc_wrap.ledger import decision_record
from runc_wrap.ledger.decision_record import Record

LARGEST = 64 * 1024 * 1024  # bytes of one file, four times what rotation lets it have
Positions = dict[str, int]  # digest of a file's first line -> bytes of it that were read
Stamp = list[tuple[int, int, int] | None]  # each file's device, inode and size


class Following:
    """One pass over the decisions. Afterwards `positions` says where the next pass begins.

    `damaged` lines were malformed; `gaps` is 1 if a whole file was missed between two passes. The
    oldest file repeats records of removed files: it is read only with `oldest`.
    """

    def __init__(
        self, directory: str | os.PathLike[str], positions: Positions, *, oldest: bool = False
    ) -> None:
        self._directory = os.fspath(directory)
        self._known = positions
        self._names = ledger_file.OLDEST_FIRST[not oldest :]
        self.positions: Positions = {}
        self.damaged = 0
        self.gaps = 0

    def records(self) -> Iterator[Record]:
        """Yield the new records. Raises OSError if the ledger cannot be read."""
        for descriptor in opened(self._directory, self._names):
            yield from self._new(descriptor)
        if self._known and self.positions and not self._known.keys() & self.positions.keys():
            self.gaps = 1

    def _new(self, descriptor: int) -> Iterator[Record]:
        head, newline, _ = os.pread(descriptor, LONGEST_LINE, 0).partition(b"\n")
        if not newline and len(head) < LONGEST_LINE:
            return  # its first line is being written
        name = digest(head, 16)
        size = os.fstat(descriptor).st_size
        # a power failure may take the end of a file whose lines were read already
        at = min(self.positions.get(name, self._known.get(name, 0)), size)
        self.positions[name] = at = max(at, size - LARGEST)
        for line, end in ledger_file.lines(descriptor, at):
            self.positions[name] = end
            for _, found in ledger_file.entries(line):
                if found is None:
                    self.damaged += 1
                elif found.get("action") != ledger_file.TIGHTEN:
                    yield decision_record.of(found)


def stamp(directory: str) -> Stamp:
    """Return a value that changes when anything is written."""
    return [_stamp(f"{directory}/{name}") for name in ledger_file.OLDEST_FIRST]


def _stamp(path: str) -> tuple[int, int, int] | None:
    try:
        found = os.lstat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_size


def opened(directory: str, names: Sequence[str]) -> Iterator[int]:
    """Yield a descriptor of each of these files that is there. Raises OSError.

    All are opened before the first is read. The last name is the newest file, which is opened
    first: a rotation in between may then show records twice but hides none.
    """
    found: list[int] = []
    try:
        for name in reversed(names):
            try:
                found.insert(0, files.opened(f"{directory}/{name}"))
            except (FileNotFoundError, files.Irregular):
                continue
        yield from found
    finally:
        for descriptor in found:
            os.close(descriptor)

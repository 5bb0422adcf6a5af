"""Reading from the ledger what was not read before, across its rotation. Writes nothing.

A file is known by its first line, not by its inode, which a new file may be given again at once.
"""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING, Any

from runc_wrap.ledger import reader

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

Json = dict[str, Any]
Positions = dict[str, int]  # digest of a file's first line -> bytes of it that were read

NEWEST_FIRST = ("ledger.jsonl", "ledger.1.jsonl")  # ledger.2 repeats records of older files
_CHUNK = 1024 * 1024


class Following:
    """One pass over the ledger. Afterwards `positions` is where the next one begins.

    `damaged` lines were none; `gaps` is 1 if a whole file came and went between two passes.
    """

    def __init__(self, directory: Path, positions: Positions) -> None:
        self._directory = directory
        self._known = positions
        self.positions: Positions = {}
        self.damaged = 0
        self.gaps = 0

    def lines(self) -> Iterator[Json]:
        """Yield the new records. Raises OSError for a ledger that cannot be read."""
        for name in NEWEST_FIRST:
            descriptor = reader.opened(self._directory / name)
            if descriptor is None:
                continue
            try:
                yield from self._new(descriptor)
            finally:
                os.close(descriptor)
        if self._known and self.positions and not self._known.keys() & self.positions.keys():
            self.gaps = 1

    def _new(self, descriptor: int) -> Iterator[Json]:
        head, newline, _ = os.pread(descriptor, reader.LONGEST_LINE, 0).partition(b"\n")
        if not newline and len(head) < reader.LONGEST_LINE:
            return  # its first line is being written
        name = hashlib.blake2b(head, digest_size=16).hexdigest()
        size = os.fstat(descriptor).st_size
        at = self.positions.get(name, self._known.get(name, 0))
        at = max(at if at <= size else 0, size - reader.LARGEST)
        for line, end in _lines(descriptor, at):
            at = end
            found = reader.parsed(line)
            if found is None:
                self.damaged += 1
            else:
                yield found
        self.positions[name] = at


def _lines(descriptor: int, at: int) -> Iterator[tuple[bytes, int]]:
    """Yield whole lines and where they end; what is too long to be one comes in pieces."""
    rest = b""
    while part := os.pread(descriptor, _CHUNK, at + len(rest)):
        *lines, rest = (rest + part).split(b"\n")
        for line in lines:
            at += len(line) + 1
            yield line, at
        if len(rest) > reader.LONGEST_LINE:
            at += len(rest)
            yield rest, at
            rest = b""

"""From a stream of bytes to Sighting and Lost, chunk by chunk. Lean.

A line over records.LONGEST is passed over and counted if it began as a record.
"""

from __future__ import annotations

from runc_wrap.evidence import losses, records
from runc_wrap.evidence.model import AUDIT, Lost, Sighting

_BEGINNING = 1024  # bytes that tell what a line is


class Lines:
    """One stream's reader; `name` is what a Lost calls it. Holds at most one unfinished line."""

    def __init__(self, name: str, notices: losses.Notices | None = None) -> None:
        self._name = name
        self._notices = notices or losses.Notices()
        self._rest = b""
        self._overlong = False
        self._time = 0.0
        self._damaged = 0

    def feed(self, chunk: bytes) -> list[Sighting | Lost]:
        """Return what the lines say that this chunk completes, in their order."""
        head, newline, rest = chunk.rpartition(b"\n")
        if not newline:
            self._keep(chunk)
            return []
        lines = (self._rest + head).split(b"\n")
        if self._overlong:  # its beginning has been judged
            del lines[0]
        self._rest, self._overlong = b"", False
        self._keep(rest)
        return self._read(lines)

    def end(self) -> list[Sighting | Lost]:
        """Forget an unfinished line that nothing will complete; say if it was a record."""
        self._judge(self._rest[:_BEGINNING])
        self._rest, self._overlong = b"", False
        return self._damage()

    def _keep(self, rest: bytes) -> None:
        if self._overlong:
            return
        self._rest += rest
        if len(self._rest) > records.LONGEST:
            self._judge(self._rest[:_BEGINNING])
            self._rest, self._overlong = b"", True

    def _read(self, lines: list[bytes]) -> list[Sighting | Lost]:
        found: list[Sighting | Lost] = []
        parse, add = records.parse, found.append
        for line in lines:
            sighting = parse(line)
            if sighting is not None:
                add(sighting)
                self._time = sighting.time
            elif line:
                found += self._other(line)
        return found + self._damage()

    def _other(self, line: bytes) -> list[Lost]:
        if records.claims(line[:_BEGINNING]):
            self._damaged += 1
            return []
        lost = self._notices.lost(line, self._time)
        return [lost] if lost else []

    def _judge(self, beginning: bytes) -> None:
        self._damaged += records.claims(beginning)

    def _damage(self) -> list[Sighting | Lost]:
        damaged, self._damaged = self._damaged, 0
        why = f"damaged SECCOMP records in {self._name}"
        return [Lost(self._time, damaged, AUDIT, why)] if damaged else []

"""From a stream of bytes to Sighting and Lost, chunk by chunk.

A line over records.LONGEST is passed over and counted if it began as a record.

Lines that tell of losses seldom tell when: a loss lasts from the record before to the one after. So
it is held back until that comes, or `settle`.

A program with CAP_AUDIT_WRITE may put newlines into a message of its own. auditd, journald and
/dev/kmsg keep that on one line; a syslog fed from /proc/kmsg has each of its lines in the kernel's
name. So lines after a printed user message that is not closed are not believed.
"""

from __future__ import annotations

import re

from runc_wrap.evidence.model import AUDIT, Lost, Sighting
from runc_wrap.evidence.sources import audit_record, loss_notices

_BEGINNING = 1024  # bytes that tell what a line is
_KINDS = 64  # reasons of losses that are held back
_UNCLOSED = 8  # lines that the rest of a message may be: the kernel prints at most 1 KiB of it
_USERS = re.compile(
    rb"[^\n]{0,400}?audit: type=(?:11\d\d|2[1-9]\d\d) audit\([\d.:]{1,40}\): [^\n]*(?<!')\Z"
).match


class Lines:
    """One stream's reader; `name` is what a Lost calls it. Holds at most one unfinished line."""

    def __init__(self, name: str, notices: loss_notices.Notices | None = None) -> None:
        self._name = name
        self._notices = notices or loss_notices.Notices()
        self._rest = b""
        self._overlong = False
        self._time = 0.0
        self._damaged = 0
        self._doubtful = 0
        self._held: dict[str, Lost] = {}  # by why: no more than there are kinds of lines

    @property
    def time(self) -> float:
        """The time of the last record, 0.0 before the first."""
        return self._time

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
        """Forget an unfinished line that nothing will complete; it is a loss if it was a record."""
        self._judge(self._rest[:_BEGINNING])
        self._rest, self._overlong = b"", False
        self._damage()
        return []

    def settle(self, until: float) -> list[Sighting | Lost]:
        """Return the losses that are held back: no record came after them until then."""
        held, self._held = self._held, {}
        return [one._replace(time=max(until, one.begin or 0.0)) for one in held.values()]

    def _keep(self, rest: bytes) -> None:
        if self._overlong:
            return
        self._rest += rest
        if len(self._rest) > audit_record.LONGEST:
            self._judge(self._rest[:_BEGINNING])
            self._rest, self._overlong = b"", True

    def _read(self, lines: list[bytes]) -> list[Sighting | Lost]:
        found: list[Sighting | Lost] = []
        parse, add = audit_record.parse, found.append
        for line in lines:
            sighting = parse(line)
            if self._doubtful and self._continues(line):
                continue
            if sighting is not None:
                if self._held or self._damaged:
                    self._damage()
                    found += self.settle(sighting.time)
                add(sighting)
                self._time = sighting.time
            elif line:
                self._other(line)
        self._damage()
        return found

    def _other(self, line: bytes) -> None:
        if audit_record.claims(line[:_BEGINNING]):
            self._damaged += 1
        elif b"audit: type=" in line and len(line) <= audit_record.LONGEST and _USERS(line):
            self._doubtful = _UNCLOSED
        elif lost := self._notices.lost(line, self._time):
            self._hold(lost)

    def _hold(self, lost: Lost) -> None:
        why = lost.why if lost.why in self._held or len(self._held) < _KINDS else ""
        before = self._held.get(why)
        begin = before.begin if before else self._time
        records = lost.records + (before.records if before else 0)
        self._held[why] = lost._replace(records=records, why=why, begin=begin)

    def _continues(self, line: bytes) -> bool:
        """Return whether a line may be the rest of a user's message, and must not be believed."""
        self._doubtful = 0 if line.endswith(b"'") else self._doubtful - 1
        doubted = audit_record.claims(line[:_BEGINNING])
        self._damaged += doubted
        return doubted

    def _judge(self, beginning: bytes) -> None:
        self._damaged += audit_record.claims(beginning)

    def _damage(self) -> None:
        damaged, self._damaged = self._damaged, 0
        why = f"damaged SECCOMP records in {self._name}"
        if damaged:
            self._hold(Lost(self._time, damaged, AUDIT, why))

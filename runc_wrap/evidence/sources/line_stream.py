"""Parses a stream of bytes into Sighting and LossSpan, chunk by chunk.

A line over audit_record.LONGEST is no record; it counts as a loss if it began as one.

Notices of lost records, and how many they are, are recognized too. Sources of fact:
linux:kernel/audit.c (audit_log_lost prints the sum since boot, then the reason; kauditd_printk_skb
is rate limited), linux:lib/ratelimit.c, audit-userspace:src/auditd-event.c. Notices seldom have a
time: a loss lasts from the record before to the record after it. So it is held back until that
comes, or until `settle`.

A program with CAP_AUDIT_WRITE may put newlines into its own message. auditd, journald and /dev/kmsg
keep them on one line; a syslog fed from /proc/kmsg attributes each of its lines to the kernel. So
lines after a printed user message that is not closed are not trusted.
"""

import re

from runc_wrap.evidence.sightings import AUDIT, LossSpan, Sighting
from runc_wrap.evidence.sources import audit_record

_BEGINNING = 1024  # bytes that suffice to recognize a line
_KINDS = 64  # reasons of losses that are held back
_UNCLOSED = 8  # lines that the rest of a message may be: the kernel prints at most 1 KiB of it
_USERS = re.compile(
    rb"[^\n]{0,400}?audit: type=(?:11\d\d|2[1-9]\d\d) audit\([\d.:]{1,40}\): [^\n]*(?<!')\Z"
).match
UNPRINTED = "not printed by the kernel (rate limit of printk)"
_RECORDS = (b"type=", b"node=")
_BEFORE = (
    rb"(?:[0-7],\d{1,20},\d{1,20},[^;\n]{1,80};|[^\n]{1,300}? kernel(?:: | - - - )|<[0-7]>|)"
    rb"(?:\[[^\]\n]{1,40}\](?:\[ *[TC]\d{1,10}\])? )?"
)
_SUM = re.compile(_BEFORE + rb"audit: audit_lost=(\d{1,10}) audit_rate_limit=").match
_SUPPRESSED = re.compile(
    _BEFORE + rb"(?:audit: )?kauditd_printk_skb: (\d{1,10}) callbacks suppressed"
).match
_WHY = re.compile(
    _BEFORE + rb"audit: ((?:backlog|rate|printk) limit exceeded|kauditd hold queue overflow"
    rb"|out of memory in audit_log_start)"
).match
_DAEMON = re.compile(
    rb"[^\n]{1,300}? auditd(?:\[\d{1,10}\])?: "
    rb"(dispatch err \(pipe full\) event lost"
    rb"|Audit daemon has no space left on logging partition"
    rb"|Audit daemon is suspending logging[ -~]{0,80})"
).match


class LineSplitter:
    """Cuts a stream into lines; of a longer one than `longest` bytes a part may be left out.

    So a line that has not ended takes no more memory than that.
    """

    def __init__(self, longest: int) -> None:
        self._longest = longest
        self._begun = b""

    def feed(self, chunk: bytes) -> list[bytes]:
        """Return the lines that this chunk completes."""
        *lines, begun = (self._begun + chunk).split(b"\n")
        self._begun = begun[: self._longest + 1]
        return lines


class Lines:
    """Parses one stream; `name` stands in its losses. Holds at most one unfinished line."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._notices = Notices()
        self._lines = LineSplitter(audit_record.LONGEST)
        self.time = 0.0  # of the last record
        self._damaged = 0
        self._doubtful = 0
        self._held: dict[str, LossSpan] = {}  # by why: no more than there are kinds of lines

    def feed(self, chunk: bytes) -> list[Sighting | LossSpan]:
        """Return the records and losses in the lines that this chunk completes, in order."""
        found: list[Sighting | LossSpan] = []
        parse, add = audit_record.parse, found.append
        for line in self._lines.feed(chunk):
            sighting = parse(line)
            if self._doubtful and self._continues(line):
                continue
            if sighting is not None:
                if self._held or self._damaged:
                    self._damage()
                    found += self.settle(sighting.time)
                add(sighting)
                self.time = sighting.time
            elif line:
                self._other(line)
        self._damage()
        return found

    def settle(self, until: float) -> list[Sighting | LossSpan]:
        """Return the losses held back: no record has come after them until then."""
        held, self._held = self._held, {}
        return [one._replace(time=max(until, one.begin or 0.0)) for one in held.values()]

    def _other(self, line: bytes) -> None:
        if audit_record.claims(line[:_BEGINNING]):
            self._damaged += 1
        elif b"audit: type=" in line and len(line) <= audit_record.LONGEST and _USERS(line):
            self._doubtful = _UNCLOSED
        elif lost := self._notices.lost(line, self.time):
            self._hold(lost)

    def _hold(self, lost: LossSpan) -> None:
        why = lost.why if lost.why in self._held or len(self._held) < _KINDS else ""
        before = self._held.get(why)
        begin = before.begin if before else self.time
        records = lost.records + (before.records if before else 0)
        self._held[why] = lost._replace(records=records, why=why, begin=begin)

    def _continues(self, line: bytes) -> bool:
        """Return whether a line claims to be a record but may be the rest of a user's message."""
        self._doubtful = 0 if line.endswith(b"'") else self._doubtful - 1
        doubted = audit_record.claims(line[:_BEGINNING])
        self._damaged += doubted
        return doubted

    def _damage(self) -> None:
        damaged, self._damaged = self._damaged, 0
        why = f"damaged SECCOMP records in {self._name}"
        if damaged:
            self._hold(LossSpan(self.time, damaged, AUDIT, why))


class Notices:
    """Reads one source's lines in order, as the kernel prints a running sum of lost records."""

    def __init__(self) -> None:
        self._sum = 0
        self._explains = False

    def lost(self, line: bytes, time: float) -> LossSpan | None:
        """Return the loss that a line reports, None if none; `time` is a neighbouring record's."""
        if line.startswith(_RECORDS) or b"audit" not in line or b"audit: type=" in line:
            return None  # most lines; searching the others takes longer
        if len(line) > audit_record.LONGEST:
            return None
        return self._summed(line, time) or self._suppressed(line, time) or self._other(line, time)

    def _summed(self, line: bytes, time: float) -> LossSpan | None:
        found = _SUM(line)
        if not found:
            return None
        before, self._sum = self._sum, int(found[1])
        # A smaller sum comes from a new boot.
        more = self._sum - before if self._sum >= before else self._sum
        self._explains = more > 0
        why = f"dropped by the kernel (audit_lost reached {self._sum})"
        return LossSpan(time, more, AUDIT, why) if more else None

    def _suppressed(self, line: bytes, time: float) -> LossSpan | None:
        found = _SUPPRESSED(line)
        return LossSpan(time, int(found[1]), AUDIT, UNPRINTED) if found else None

    def _other(self, line: bytes, time: float) -> LossSpan | None:
        found = _WHY(line)
        if found and self._explains:  # already counted in the sum printed just before
            self._explains = False
            return None
        found = found or _DAEMON(line)
        if not found:
            return None
        return LossSpan(time, 1, AUDIT, f"at least one record: {found[1].decode('ascii')}")

"""Recognizes, in the lines of one source, notices of lost records, and how many.

Sources of fact: linux:kernel/audit.c (audit_log_lost prints the sum since boot, then the reason;
kauditd_printk_skb is rate limited), linux:lib/ratelimit.c, audit-userspace:src/auditd-event.c.
"""

from __future__ import annotations

import re

from runc_wrap.evidence.sightings import AUDIT, LossSpan
from runc_wrap.evidence.sources import audit_record

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

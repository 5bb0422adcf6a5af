"""Notes from when to when each source of evidence was watched, and what the kernel dropped."""

import time

from runc_wrap.agent.record.source_check import SourceCheck
from runc_wrap.agent.service_log import warn
from runc_wrap.evidence.attribution.proc_connector import SOURCE as PROCESSES
from runc_wrap.evidence.sightings import AUDIT, OBSERVE, LossSpan
from runc_wrap.evidence.sources import audit_netlink, audit_obstacles
from runc_wrap.evidence.store.evidence_changes import EvidenceWriter

_DROPPED = "at most so many: the kernel had no room for them, or its rate limit held them back"
_CLOCK_SET = 1.0  # seconds: what keeps a clock right makes smaller steps


class WatchedTime:
    """The time since this service began; `check` says which sources deliver.

    `has_audit`: audit records are read.
    """

    def __init__(self, store: EvidenceWriter, check: SourceCheck, *, has_audit: bool) -> None:
        self._store = store
        self._check = check
        self._has_audit = has_audit
        self.begun = self._audit_begun = time.time()
        self._clock = _clock_offset()
        self._obstacles: list[str] = []
        self._dropped = audit_netlink.kernel_lost() if has_audit else None
        self._dropped_until = self.begun
        if has_audit:
            self._complain(audit_obstacles.warnings())

    def note(self, now: float) -> None:
        """Note in the store that all was watched until now, as far as that is so."""
        before, self._clock = self._clock, _clock_offset()
        if abs(self._clock - before) > _CLOCK_SET:  # nobody watched while it jumped
            self.begun = self._audit_begun = now
            self._check.begun = dict.fromkeys(self._check.begun, now)
        self._store.state.add_watched(OBSERVE, self.begun, now)
        if PROCESSES in self._check.begun:
            self._store.state.add_watched(PROCESSES, self._check.begun[PROCESSES], now)
        if self._has_audit:
            self._note_audit(now)

    def _complain(self, obstacles: list[str]) -> None:
        """Log each new obstacle to audit records once, and check the sources anew."""
        if obstacles != self._obstacles:
            self._check.look()
        for why in obstacles:
            if why not in self._obstacles:
                warn(f"audit records may not come: {why}")
        self._obstacles = obstacles

    def _note_audit(self, now: float) -> None:
        """Note audit as watched if every logged call could arrive; note the losses."""
        obstacles = audit_obstacles.warnings()
        self._complain(obstacles)
        if [why for why in obstacles if why != audit_obstacles.UNREAD]:
            self._audit_begun = now
        elif AUDIT in self._check.begun:
            since = max(self._audit_begun, self._check.begun[AUDIT])
            self._store.state.add_watched(AUDIT, since, now)
        self._note_dropped(now)

    def _note_dropped(self, now: float) -> None:
        """Note how many records the kernel has dropped since the last note."""
        dropped = audit_netlink.kernel_lost()
        before, self._dropped = self._dropped, dropped
        since, self._dropped_until = self._dropped_until, now
        more = 0 if dropped is None or before is None else dropped - before
        if more > 0 and not audit_obstacles.counts_what_came():
            self._store.lost(LossSpan(now, more, AUDIT, _DROPPED, since))


def _clock_offset() -> float:
    """Return by how much the time of day is ahead of the clock that nobody sets."""
    return time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)

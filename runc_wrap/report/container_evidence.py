"""One container in a report: its decision, its evidence, and when it ran."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from runc_wrap.hotpath.decision import AUDIT, ENFORCE_LOG, OBSERVE

if TYPE_CHECKING:
    from runc_wrap.evidence.store.call_counts import Tallies
    from runc_wrap.ledger.record import Record

_LOOKING = (AUDIT, OBSERVE, ENFORCE_LOG)  # modes in which calls are recorded


@dataclass(frozen=True, slots=True)
class ContainerEvidence:
    """One container. `end` is when it ended or `now`, as far as known.

    `watched` is for how many seconds its calls would have been recorded, `is_whole` whether from
    its start on; `until` is the latest time at which it may have run.
    """

    record: Record
    seen: Tallies
    begin: float
    end: float
    restarts: int
    is_there: bool
    watched: float = 0.0
    until: float = math.inf
    is_whole: bool = False

    @property
    def looks(self) -> bool:
        """Return whether its calls are recorded in its mode."""
        return self.record.mode in _LOOKING

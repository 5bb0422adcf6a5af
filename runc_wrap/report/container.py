"""One container as a report sees it: what was decided, what was seen of it, and when it ran."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from runc_wrap.profiles import modes

if TYPE_CHECKING:
    from runc_wrap.evidence.store.call_counts import Tallies
    from runc_wrap.ledger.record import Record

_LOOKING = (modes.AUDIT, modes.OBSERVE, modes.ENFORCE_LOG)  # modes in which calls are seen


@dataclass(frozen=True, slots=True)
class Container:
    """One container: decided, and seen. `end` is when it ended or `now`, as far as known.

    `watched` is for how many seconds its calls would have been seen, `until` how long it may have
    been there at most.
    """

    record: Record
    seen: Tallies
    begin: float
    end: float
    restarts: int
    is_there: bool
    watched: float = 0.0
    until: float = math.inf

    @property
    def looks(self) -> bool:
        """Return whether its mode lets its calls be seen."""
        return self.record.mode in _LOOKING

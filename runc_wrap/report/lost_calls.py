"""Which calls that a workload was seen to make a further filter would deny."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runc_wrap.evidence.store import evidence_files
from runc_wrap.ledger import whole_ledger
from runc_wrap.profiles import return_codes
from runc_wrap.report import profile_simulation, workloads
from runc_wrap.report.enforced_profile import Enforced
from runc_wrap.report.profile_simulation import SeenAt, Simulated

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from runc_wrap.filters.evaluate.runtime_load import Loader
    from runc_wrap.node.paths import Places
    from runc_wrap.report.workloads import Workload

_LET_THROUGH = (return_codes.LOG, return_codes.USER_NOTIF)


class SeenCalls:
    """The calls that the agent recorded of each workload, and that were let through then.

    What a profile allows leaves no record. Raises OSError.
    """

    def __init__(self, places: Places) -> None:
        records = whole_ledger.read(places.ledger).records
        self._seen: dict[Workload, list[SeenAt]] = {}
        for key, seen in evidence_files.load(places.evidence).containers.items():
            if record := records.get(key):
                found = self._seen.setdefault(workloads.of(record), [])
                found += [
                    SeenAt(kind, key[1])
                    for kind in seen.calls
                    if kind.code & return_codes.ACTION_MASK in _LET_THROUGH
                ]

    def lost(self, whose: Workload, block: Mapping[str, Any], loader: Loader) -> list[Simulated]:
        """Return those that a block would not let through, worst first."""
        seen = self._seen.get(whose, [])
        return profile_simulation.simulated(seen, Enforced({**block}, loader)) if seen else []

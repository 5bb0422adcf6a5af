"""Which calls that a workload was seen to make a further filter would deny."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runc_wrap.profiles import return_codes
from runc_wrap.report import profile_simulation, workload_names
from runc_wrap.report.enforced_profile import Enforced

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from runc_wrap.filters.evaluate.libseccomp_input import Loader
    from runc_wrap.node.paths import Places
    from runc_wrap.report.profile_simulation import Json, SeenAt
    from runc_wrap.report.workload_names import Workload

_LET_THROUGH = (return_codes.LOG, return_codes.USER_NOTIF)


class SeenCalls:
    """The calls that the agent recorded of each workload, and that were let through then.

    What a profile allows leaves no record. Raises OSError.
    """

    def __init__(self, places: Places) -> None:
        self._seen: dict[Workload, list[SeenAt]] = {}
        for record, each in profile_simulation.of_evidence(places):
            if record and each.kind.code & return_codes.ACTION_MASK in _LET_THROUGH:
                self._seen.setdefault(workload_names.of(record), []).append(each)

    def lost(self, whose: Workload, block: Mapping[str, Any], loader: Loader) -> list[Json]:
        """Return those that a block would not let through, worst first."""
        seen = self._seen.get(whose, [])
        return profile_simulation.simulated(seen, Enforced({**block}, loader)) if seen else []

"""Which handlers an engine must have after a change, and which it must have no more."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from runc_wrap.engines.registration.registration_plan import Plan
    from runc_wrap.engines.registration.registration_state import Registered


@dataclass(frozen=True)
class Wanted:
    """`present`: {handler: path}, `gone`: names."""

    present: Mapping[str, str]
    gone: frozenset[str] = frozenset()

    def difference(self, found: Mapping[str, str | None] | None) -> str:
        """Return in one phrase what is different; "" if nothing is or `found` is None."""
        if found is None:
            return ""
        for name, path in self.present.items():
            if name not in found:
                return f"the handler {name} is missing"
            if found[name] not in (None, path):
                return f"the handler {name} is {found[name] or 'runc itself'}, not {path}"
        return next((f"the handler {name} is still there" for name in self.gone & {*found}), "")


def of_state(state: Registered) -> Wanted:
    """Return what a registration's state records."""
    return Wanted({each.name: each.path for each in state.handlers})


def after(plan: Plan) -> Wanted:
    """Return what a plan makes."""
    present = dict(of_state(plan.after).present)
    if plan.given:
        present[plan.given.name] = plan.given.path
    return Wanted(present, frozenset(plan.before.names) - present.keys())

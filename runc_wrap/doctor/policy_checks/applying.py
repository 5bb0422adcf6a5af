"""Applying the policy as the fix of a finding."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runc_wrap.apply import apply_policy
from runc_wrap.doctor.check_finding import NotMended
from runc_wrap.failure import Failure

if TYPE_CHECKING:
    from collections.abc import Callable

    from runc_wrap.node.paths import Places


def fix(places: Places) -> Callable[[], None]:
    """Return what puts the policy's sources in force."""

    def act() -> None:
        try:
            apply_policy.put_in_force(places)
        except Failure as error:
            raise NotMended(str(error)) from error

    return act

"""The state that all listeners of one container share: each process that joins it brings one more.

A container is identified by its id and bundle, which its runtime sends with every listener. It has
ended with its last listener: its first process holds one as long as the container lives.
"""

from __future__ import annotations

from runc_wrap.agent.observe.caller_lookup import Callers
from runc_wrap.agent.observe.rate_limit import Pace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    Whose = tuple[str, str]

PATIENCE = 0.05  # seconds in all that reading one container's callers may hold up others
WAITING = 1.0  # seconds in all that its calls may wait for an inspector to start or get a CPU
_UNNOTICED = 0.001  # seconds: a read up to this long is not counted


def whose(state: Mapping[str, object]) -> Whose:
    """Return the id and bundle in a listener's state; all listeners without them count as one."""
    name, bundle = state.get("id"), state.get("bundle")
    return (name if isinstance(name, str) else "", bundle if isinstance(bundle, str) else "")


class ObservedContainer:
    """`patience` is how long reading about its callers may still take; 0: nothing is read.

    `waiting` is how long its calls may still wait for the inspector.
    """

    __slots__ = ("callers", "pace", "patience", "waiting", "whose")

    def __init__(self, name: Whose) -> None:
        self.whose = name
        self.callers = Callers()
        self.pace = Pace()
        self.patience = PATIENCE
        self.waiting = WAITING

    @property
    def may_be_read(self) -> bool:
        """Return whether anything is read about its callers."""
        return self.patience > _UNNOTICED

    def spend(self, seconds: float) -> bool:
        """Subtract the time that a read took, and return whether none is left."""
        if seconds > _UNNOTICED:
            self.patience -= seconds
        return not self.may_be_read

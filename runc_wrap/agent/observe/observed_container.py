"""What listeners of one container have in common: each process that joins it brings one more.

A container is told by its id and bundle, which its runtime says with every listener. It is over
with the last of them: its first process holds one for as long as the container lives.
"""

from __future__ import annotations

from runc_wrap.agent.observe.callers import Callers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    Whose = tuple[str, str]

PATIENCE = 0.05  # seconds in all that reading about one container's callers may hold up others
WAITING = 1.0  # seconds in all that its calls may wait for a reader that starts or has no CPU
_UNNOTICED = 0.001  # seconds of a read that are not counted


def whose(state: Mapping[str, object]) -> Whose:
    """Return which container a listener's state is of; those that nobody told are one."""
    name, bundle = state.get("id"), state.get("bundle")
    return (name if isinstance(name, str) else "", bundle if isinstance(bundle, str) else "")


class Container:
    """`patience` is how long reading about its callers may still take; 0: nothing is read.

    `waiting` is how long its calls may still wait for who reads.
    """

    __slots__ = ("callers", "patience", "waiting", "whose")

    def __init__(self, name: Whose) -> None:
        self.whose = name
        self.callers = Callers()
        self.patience = PATIENCE
        self.waiting = WAITING

    @property
    def may_be_read(self) -> bool:
        """Tell whether anything is read about its callers."""
        return self.patience > _UNNOTICED

    def spend(self, seconds: float) -> bool:
        """Take off what a read has taken, and tell whether nothing is left."""
        if seconds > _UNNOTICED:
            self.patience -= seconds
        return not self.may_be_read

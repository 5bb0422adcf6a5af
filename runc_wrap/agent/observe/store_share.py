"""Which container gives way where the descriptor store is full: the one with most places in it.

Each process that joins a container brings a listener and takes a place. So one container that is
joined all the time would leave none for the others, whose calls fail if this process is killed.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import TypeVar

    Whose = TypeVar("Whose")


def giver(taker: Whose, stored: Iterable[tuple[Whose, int]]) -> int | None:
    """Return the listener that gives its place to one more of `taker`, None if none has to.

    `stored` are the listeners in the store: container and number. Of the container with most, the
    newest gives way: the oldest is its first process'. None gives way to a container that then had
    more than it.
    """
    newest: dict[Whose, int] = {}
    counts: dict[Whose, int] = {taker: 0}
    for whose, number in stored:
        counts[whose] = counts.get(whose, 0) + 1
        newest[whose] = max(number, newest.get(whose, 0))
    most = max(counts, key=lambda whose: (counts[whose], newest.get(whose, 0)))
    return newest[most] if counts[most] > counts[taker] + 1 else None

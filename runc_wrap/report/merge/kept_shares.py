"""What nodes send, in bounded number, so that no node crowds out what others send.

Each counts for the node that sent it first. When there is no room for another, one of the node
that has the most goes: the one that the fewest have sent. So every node has its share, whatever
the order in which they answer, and nodes that send the same together have one share.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Mapping

Value = TypeVar("Value")


class KeptShares(Generic[Value]):
    """`kept` has what was sent by its key, `most` of them; `left_out` counts the rest, by node."""

    def __init__(self, most: int) -> None:
        self.kept: dict[str, Value] = {}
        self.left_out = 0
        self._most = most
        self._first: dict[str, str] = {}  # the node that sent it first
        self._senders: Counter[str] = Counter()  # how many nodes have sent it
        self._held: Counter[str] = Counter()  # how many of them a node sent first

    def add(self, node: str, sent: Mapping[str, Value]) -> None:
        """Take what a node sent, each of its nodes once."""
        has_room = True
        for key, value in sent.items():
            if key not in self.kept:
                has_room = has_room and (len(self.kept) < self._most or self._make_room(node))
                if not has_room:
                    self.left_out += 1
                    continue
                self.kept[key], self._first[key] = value, node
                self._held[node] += 1
            self._senders[key] += 1

    def _make_room(self, node: str) -> bool:
        """Forget one of the node that has the most, unless this one would have as many."""
        greediest, number = max(self._held.items(), key=lambda one: one[1], default=("", 0))
        if number <= self._held[node] + 1:
            return False
        theirs = (one for one in reversed(self.kept) if self._first[one] == greediest)
        gone = min(theirs, key=self._senders.__getitem__)  # the last one of those
        self.left_out += self._senders[gone]
        del self.kept[gone], self._first[gone], self._senders[gone]
        self._count(greediest)
        return True

    def _count(self, node: str) -> None:
        """Count one less; a node without any is forgotten, as there may be many nodes."""
        self._held[node] -= 1
        if not self._held[node]:
            del self._held[node]

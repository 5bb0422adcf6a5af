"""The profiles that nodes send, in bounded number, so that no node crowds out what others send.

When there is no room for another, one goes that the greediest node alone has sent. So every node
has its share, whatever the order in which they answer.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


class KeptBlocks:
    """`texts` are JSON texts by digest, `most` of them."""

    def __init__(self, most: int) -> None:
        self.texts: dict[str, bytes] = {}
        self._most = most
        self._senders: dict[str, str | None] = {}  # the only node that sent it; None for several
        self._alone: Counter[str] = Counter()  # how many of these a node has

    def add(self, node: str, blocks: Mapping[str, bytes]) -> None:
        """Take what a node sent, each of its nodes once."""
        for digest, text in blocks.items():
            if digest in self.texts:
                self._share(digest)
            elif len(self.texts) < self._most or self._make_room(node):
                self.texts[digest], self._senders[digest] = text, node
                self._alone[node] += 1

    def _share(self, digest: str) -> None:
        if (sender := self._senders[digest]) is not None:
            self._senders[digest] = None
            self._count(sender)

    def _make_room(self, node: str) -> bool:
        """Forget the last one of the node that has the most, unless this one would have as many."""
        greediest, number = max(self._alone.items(), key=lambda one: one[1], default=("", 0))
        if number <= self._alone[node] + 1:
            return False
        gone = next(one for one in reversed(self.texts) if self._senders[one] == greediest)
        del self.texts[gone], self._senders[gone]
        self._count(greediest)
        return True

    def _count(self, node: str) -> None:
        """Count one less; a node without any is forgotten, as there may be many nodes."""
        self._alone[node] -= 1
        if not self._alone[node]:
            del self._alone[node]

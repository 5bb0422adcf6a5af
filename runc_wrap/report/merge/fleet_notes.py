"""What nodes remark on their own reports, each sentence once, with its nodes.

    ["3 records were lost (they came too fast): …"]                                of a node
    [{"note": "3 records …", "nodes": 40, "names": ["a", …]}, …]                   of a fleet

Sentences that differ only in numbers, such as a time, count as the same; the first node's is shown.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from runc_wrap import safe_text
from runc_wrap.documents.constraints import First
from runc_wrap.report.merged_workload import CountedNodes

if TYPE_CHECKING:
    from collections.abc import Sequence

Json = dict[str, Any]
_MOST_OF_NODE = 50
_LONGEST = 600  # characters
# of a document; one of an older release has none
Notes = Annotated[tuple[Annotated[str, First(_LONGEST)], ...], First(_MOST_OF_NODE)]
_NUMBER = re.compile(r"\d+", re.ASCII)


def fitting(notes: Sequence[str]) -> list[str]:
    """Return what a node's document has of these sentences."""
    return [safe_text.fitted(one, _LONGEST) for one in notes[:_MOST_OF_NODE]]


@dataclass
class _Note(CountedNodes):
    """`first` is the sentence as the first node says it; `at` is its place among that node's."""

    first: str = ""
    at: int = 0

    @property
    def sentence(self) -> str:
        """Return it with its nodes, safe to print."""
        where = f"on {safe_text.number(self.nodes, 'node')} ({self.shown()})"
        such = f"such as on {safe_text.word(self.names[0])}: " if self.nodes > 1 else ""
        return f"{where}: {such}{safe_text.name(self.first, _LONGEST)}"


class FleetNotes:
    """The sentences of all nodes."""

    def __init__(self) -> None:
        self._notes: dict[str, _Note] = {}

    def add(self, node: str, notes: Sequence[str]) -> None:
        """Add what one node remarks."""
        said = {_NUMBER.sub("0", one): one for one in notes}
        for at, (key, sentence) in enumerate(said.items()):
            if key not in self._notes:
                self._notes[key] = _Note(first=sentence, at=at)
            self._notes[key].add(node)

    def as_json(self) -> list[Json]:
        """Return a row for each: those of most nodes first, then the first one of each node."""
        return [
            {"note": one.first, "nodes": one.nodes, "names": one.names} for one in self._ranked()
        ]

    def sentences(self) -> list[str]:
        """Return what to tell the fleet's owner, safe to print."""
        return [one.sentence for one in self._ranked()]

    def _ranked(self) -> list[_Note]:
        return sorted(self._notes.values(), key=lambda one: (-one.nodes, one.at))

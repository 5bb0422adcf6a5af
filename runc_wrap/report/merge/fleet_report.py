"""The report of a fleet: takes one node's document after the other, and keeps workloads only.

Memory grows with different workloads, not with nodes: of a node its name is kept, which tells a
document that comes twice. A node that did not answer, or whose document is refused, is named; what
runs there is unknown.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

from runc_wrap import text
from runc_wrap.report.merge import merged_workload, node_document
from runc_wrap.report.merge.call_fields import BadDocument
from runc_wrap.report.merge.document_stream import Document, documents
from runc_wrap.report.merge.fleet_notes import FleetNotes
from runc_wrap.report.merge.kept_defaults import FleetKept
from runc_wrap.report.merge.kept_shares import KeptShares
from runc_wrap.report.merge.merged_workload import MergedWorkload

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from runc_wrap.report.merge.node_document import NodeDocument
    from runc_wrap.report.merge.node_workload import NodeWorkload
    from runc_wrap.report.workloads import Workload

Json = dict[str, Any]
MOST_NODES = 100_000
ROOM = 400 << 20  # bytes that all workloads' names and calls may take, as estimated
_SHARE = 8  # a node may take the eighth of that: more than the workloads that a kubelet takes
_MOST_BLOCKS = 256
_MOST_REFUSED = 10_000  # that are named
_BYTES_OF_WORKLOAD = 4000


class Missing(NamedTuple):
    """A node, or a place where a node's document should stand, and why it says nothing."""

    name: str
    why: str

    @property
    def sentence(self) -> str:
        """Return it in a safe sentence."""
        return f"{text.word(self.name, node_document.LONGEST_NODE)}: {text.name(self.why, 600)}"


class FleetReport:
    """What all documents taken so far say together."""

    def __init__(self, room: int = ROOM) -> None:
        self._room, self._share = room, room // _SHARE
        self._answered: set[str] = set()
        self._silent: dict[str, str] = {}
        self.refused: list[Missing] = []
        self.refused_count = 0
        self.left_out = 0  # workloads for which there was no room, each node's counted
        self.oldest: str | None = None  # when the oldest document was made, as its node says
        self.oldest_node: str | None = None
        self.not_linux: list[str] = []  # nodes that were not asked, by their own word
        self.crowding: list[str] = []  # nodes that report more than a node may
        self.kept = FleetKept()
        self.notes = FleetNotes()
        self._blocks: KeptShares[bytes] = KeptShares(_MOST_BLOCKS)
        self._workloads: dict[Workload, MergedWorkload] = {}

    def read(self, read: Callable[[int], bytes], where: str) -> None:
        """Take all documents of a stream. Raises OSError if it cannot be read."""
        at = 0
        for at, found in enumerate(documents(read), 1):
            name = f"{where}, document {at}"
            if isinstance(found, Document):
                self.take(found.value, name)
            else:
                self.refuse(name, found.why)
        if not at:
            self.refuse(where, "has no document; collect the report again")

    def take(self, value: object, name: str) -> None:
        """Take one decoded document; `name` says which, if it must be refused."""
        try:
            self._add(node_document.read(value))
        except BadDocument as error:
            self.refuse(name, str(error))

    def refuse(self, name: str, why: str) -> None:
        """Name a document that could not be had, or is none."""
        self.refused_count += 1
        if len(self.refused) < _MOST_REFUSED:
            self.refused.append(Missing(name, why))

    @property
    def blocks(self) -> dict[str, bytes]:
        """The profiles that nodes sent, by digest."""
        return self._blocks.kept

    @property
    def answered(self) -> int:
        """How many nodes have answered."""
        return len(self._answered)

    @property
    def silent(self) -> list[Missing]:
        """The nodes of which somebody says that they did not answer."""
        return [Missing(*one) for one in sorted(self._silent.items())]

    @property
    def is_whole(self) -> bool:
        """Whether every node that is known of has answered, and all that it says is kept."""
        return not (self._silent or self.refused_count or self.left_out)

    def workloads(self) -> list[MergedWorkload]:
        """Return the workloads, the worst first."""
        names = Counter(whose.name for whose in self._workloads)
        for whose, one in self._workloads.items():
            one.shares_name = names[whose.name] > 1
        return sorted(self._workloads.values(), key=merged_workload.order)

    def as_json(self, workloads: list[Json]) -> Json:
        """Return the whole as one document."""
        return {
            "form": node_document.FORM,
            "nodes": self.answered,
            "silent": [{"node": one.name, "error": one.why} for one in self.silent],
            "refused": [{"document": one.name, "error": one.why} for one in self.refused],
            "refused_count": self.refused_count,
            "left_out": self.left_out,
            "crowding": self.crowding,
            "not_linux": self.not_linux,
            "oldest": self.oldest,
            "oldest_node": self.oldest_node,
            "kept": self.kept.as_json(),
            "notes": self.notes.as_json(),
            "notes_left_out": self.notes.left_out,
            "workloads": workloads,
        }

    def _add(self, found: NodeDocument) -> None:
        node = found.node
        if node in self._answered:
            raise BadDocument(f"is of the node {text.word(node)}, which has answered already")
        if len(self._answered) + len(self._silent) >= MOST_NODES:
            raise BadDocument(f"is of one more node than the {MOST_NODES} that can be merged")
        if found.error is not None:
            self._silent.setdefault(node, found.error)
            return
        self._silent.pop(node, None)
        self._answered.add(node)
        if found.generated and (not self.oldest or found.generated < self.oldest):
            self.oldest, self.oldest_node = found.generated, node
        self.kept.add(found.kept)
        self.notes.add(node, found.notes)
        self._blocks.add(node, found.blocks)
        self._add_workloads(node, found.workloads)

    def _add_workloads(self, node: str, found: Sequence[NodeWorkload]) -> None:
        """Add them, as long as this node's share of the room lasts, and the room itself."""
        room = share = min(self._share, self._room)
        out = self.left_out
        for one in found:
            room -= self._taken(node, one, room)
        self._room -= share - room
        if self.left_out > out and share == self._share:
            self.crowding.append(node)

    def _taken(self, node: str, one: NodeWorkload, room: int) -> int:
        """Add a workload if there is room; return how many bytes that took."""
        known, size = self._workloads.get(one.whose), 0
        if known is None:
            size = _BYTES_OF_WORKLOAD + sum(len(part or "") for part in one.whose)
            if size > room:
                self.left_out += 1
                return 0
            known = self._workloads[one.whose] = MergedWorkload(one.whose)
        return size + known.add(node, one, room - size)

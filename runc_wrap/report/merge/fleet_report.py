"""The report of a fleet: takes one node's document after the other, and keeps workloads only.

Memory grows with different workloads, not with nodes: of a node its name is kept, which tells a
document that comes twice. A node that did not answer, or whose document is refused, is named; what
runs there is unknown.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from runc_wrap import safe_text
from runc_wrap.documents.reader import DocumentError
from runc_wrap.failure import Failure
from runc_wrap.report import reported_workload
from runc_wrap.report.merge import node_document
from runc_wrap.report.merge.document_stream import Document, NodeAnswer, answers
from runc_wrap.report.merge.fleet_notes import FleetNotes
from runc_wrap.report.merge.kept_defaults import FleetKept
from runc_wrap.report.reported_workload import ReportedWorkload

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence

    from runc_wrap.report.merge.node_document import NodeDocument
    from runc_wrap.report.workloads import Workload

Json = dict[str, Any]
MOST_NODES = 100_000
ROOM = 400 << 20  # bytes that all that is kept may take, as estimated
_MOST_REFUSED = 10_000  # that are named
_BYTES_OF_WORKLOAD = 4000


_TWICE = "it gave two different answers."


class TooMuch(Failure):
    """The nodes report more than fits; the message says which one to leave out."""

    def __init__(self, what: str, node: str) -> None:
        name = safe_text.word(node, node_document.LONGEST_NODE)
        super().__init__(
            f"{what}; the largest part comes from {name}: leave it out by --without {name}, or "
            "ask fewer nodes at once"
        )


class Missing(NamedTuple):
    """A node, or a place where a node's document should stand, and why it says nothing."""

    name: str
    why: str

    @property
    def sentence(self) -> str:
        """Return it in a safe sentence."""
        node = safe_text.word(self.name, node_document.LONGEST_NODE)
        return f"{node}: {safe_text.name(self.why, 600)}"


class FleetReport:
    """What all documents taken so far say together."""

    def __init__(self, without: Collection[str] = (), form: int = node_document.FORM) -> None:
        self.without = without
        self._form = form
        self._taken, self._largest = 0, (0, "")  # bytes; those of one node, and which
        self._answered: dict[str, tuple[int, Sequence[ReportedWorkload]]] = {}
        self._contradicting: set[str] = set()
        self._silent: dict[str, str] = {}
        self.refused: list[Missing] = []
        self.refused_count = 0
        self.oldest: str | None = None  # when the oldest document was made, as its node says
        self.oldest_node: str | None = None
        self.not_linux: list[str] = []  # nodes that were not asked, by their own word
        self.kept = FleetKept()
        self.notes = FleetNotes()
        self.blocks: dict[str, bytes] = {}  # the profiles that nodes sent, by digest
        self._workloads: dict[Workload, ReportedWorkload] = {}

    def read(self, readline: Callable[[int], bytes], where: str) -> None:
        """Take all answers of a stream. Raises TooMuch, and OSError if it cannot be read."""
        at = 0
        for at, one in enumerate(answers(readline), 1):
            self.take(one, f"{where}, document {at}")
        if not at:
            self.refuse(where, "has no document; collect the report again")

    def take(self, one: NodeAnswer, name: str = "") -> None:
        """Take one answer; `name` says which, if nobody says which node was asked.

        Raises TooMuch.
        """
        if one.asked in self.without:
            return
        try:
            if isinstance(one.found, Document):
                self._add(node_document.read(one.found.value, self._form), one)
            elif one.asked is None:
                self.refuse(name, one.found.why)
            else:
                self._add_silent(one.asked, f"its answer {one.found.why}", one.mark)
        except DocumentError as error:
            self.refuse(one.asked or name, str(error))

    def refuse(self, name: str, why: str) -> None:
        """Name a document that could not be had, or is none."""
        self.refused_count += 1
        if len(self.refused) < _MOST_REFUSED:
            self.refused.append(Missing(name, why))

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
        """Whether every node that is known of has answered."""
        return not (self._silent or self.refused_count)

    def workloads(self) -> list[ReportedWorkload]:
        """Return the workloads, the worst first."""
        return reported_workload.ordered(self._workloads)

    def as_json(self, workloads: list[Json]) -> Json:
        """Return the whole as one document."""
        return {
            "form": self._form,
            "nodes": self.answered,
            "silent": [{"node": one.name, "error": one.why} for one in self.silent],
            "refused": [{"document": one.name, "error": one.why} for one in self.refused],
            "refused_count": self.refused_count,
            "without": sorted(self.without),
            "not_linux": self.not_linux,
            "oldest": self.oldest,
            "oldest_node": self.oldest_node,
            "kept": self.kept.as_json(),
            "notes": self.notes.as_json(),
            "workloads": workloads,
        }

    def _add(self, found: NodeDocument, answer: NodeAnswer) -> None:
        node = found.node
        if answer.asked not in (None, node):
            raise DocumentError(
                f"says that it is of the node {safe_text.word(node)}, which was not asked"
            )
        if node in self.without:
            return
        if len(self._answered) + len(self._silent) >= MOST_NODES:
            raise DocumentError(f"is of one more node than the {MOST_NODES} that can be merged")
        if found.error is not None:
            self._add_silent(node, found.error, answer.mark)
        elif node in self._answered:
            self._contradict(node, answer.mark, found.workloads)
        else:
            self._silent.pop(node, None)
            self._answered[node] = (answer.mark, self._added(found))

    def _add_silent(self, node: str, why: str, mark: int) -> None:
        if node in self._answered:
            self._contradict(node, mark, ())
        else:
            self._silent.setdefault(node, why)

    def _contradict(self, node: str, mark: int, workloads: Iterable[Workload]) -> None:
        """Take a further answer of a node: unless it is the same, nothing is known of the node."""
        before, own = self._answered[node]
        if mark == before or node in self._contradicting:
            return
        self._contradicting.add(node)
        self.refuse(node, f"{_TWICE} Ask it again, and give its answer once")
        named = (self._workloads.get(one) for one in workloads)
        for one in dict.fromkeys((*own, *named)):
            if one is not None:
                one.doubt(node, _TWICE)

    def _added(self, found: NodeDocument) -> Sequence[ReportedWorkload]:
        """Add what a node says first; return its workloads."""
        node = found.node
        if found.generated and (not self.oldest or found.generated < self.oldest):
            self.oldest, self.oldest_node = found.generated, node
        taken = self.kept.add(found.kept) + self.notes.add(node, found.notes)
        blocks = dict(found.blocks.values())
        taken += sum(len(one) for key, one in blocks.items() if key not in self.blocks)
        self.blocks |= blocks
        digests = {claimed: ours for claimed, (ours, _) in found.blocks.items()}
        own = []
        for whose, one in found.workloads.items():
            known = self._workloads.get(whose)
            if known is None:
                taken += _BYTES_OF_WORKLOAD + sum(len(part or "") for part in whose)
                known = self._workloads[whose] = ReportedWorkload(whose)
            taken += known.add(node, one, digests.get(one.block_digest or ""))
            own.append(known)
        self._take_room(node, taken)
        return tuple(own)

    def _take_room(self, node: str, taken: int) -> None:
        """Raise TooMuch if it has no room, with the name of the node that takes the most."""
        self._taken += taken
        self._largest = max(self._largest, (taken, node))
        if self._taken > ROOM:
            what = f"the nodes report more than fits into {ROOM >> 20} MiB"
            raise TooMuch(what, self._largest[1])

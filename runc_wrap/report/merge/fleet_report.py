"""The report of a fleet: takes one node's document after the other, and keeps sums only.

Memory grows with different workloads, not with nodes: of a node its name is kept, which tells a
document that comes twice. A node that did not answer, or whose document is refused, is named; what
runs there is unknown. Beside the workloads it has what nodes remark, and how many containers keep
their engine's default profile:

    "notes": [{"note": "3 records …", "nodes": 40, "names": ["a", …]}, …]
    "kept": [{"adopts": false, "nodes": 3, "containers": 40, "profiles": {...}}, ...]

Remarks that differ only in numbers, such as a time, count as the same; the first node's is shown.
"""

import re
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from runc_wrap import safe_text
from runc_wrap.documents.reader import DocumentError
from runc_wrap.failure import Failure
from runc_wrap.node.container_state import kept_default_sentence
from runc_wrap.report.merge import merged_workload, node_document
from runc_wrap.report.merge.document_stream import NodeAnswer, answers
from runc_wrap.report.merge.merged_workload import CountedNodes, MergedWorkload
from runc_wrap.report.merge.node_document import Kept, NodeDocument, SilentNode
from runc_wrap.report.workload_names import Workload

Json = dict[str, Any]
_NUMBER = re.compile(r"\d+", re.ASCII)
_MOST_PROFILES = 5  # named in a sentence


class AnsweredTwice(Failure):
    """A node gave two answers: which one is true is unknown."""

    def __init__(self, node: str, where: str = "") -> None:
        name = safe_text.word(node, node_document.LONGEST_NODE)
        second = f" (the second is {where})" if where else ""  # it may be of a node that lies
        said = f"{name} gave two different answers{second}"
        super().__init__(f"{said}: give one, or leave it out by --without {name}")


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

    def __init__(
        self,
        without: Collection[str] = (),
        form: int = node_document.FORM,
        check: Callable[[str, int], object] = lambda _node, _size: None,
    ) -> None:
        self.without = without
        self._form = form
        self._check = check
        self._answered: dict[str, int] = {}  # node -> what tells its answer apart
        self._silent: dict[str, str] = {}
        self.refused: list[Missing] = []
        self.oldest: str | None = None  # when the oldest document was made, as its node says
        self.oldest_node: str | None = None
        self.not_linux: list[str] = []  # nodes that were not asked, by their own word
        self.kept = FleetKept()
        self.notes = FleetNotes()
        self._workloads = dict[Workload, MergedWorkload]()

    def read(self, readline: Callable[[int], bytes], where: str) -> None:
        """Take all answers of a stream. Raises Failure, and OSError if it cannot be read."""
        at = 0
        for at, one in enumerate(answers(readline), 1):
            self.take(one, f"{where}, document {at}")
        if not at:
            self.refuse(where, "has no document; collect the report again")

    def take(self, one: NodeAnswer, name: str = "") -> None:
        """Take one answer; `name` says which, if nobody says which node was asked.

        Raises AnsweredTwice, and what `check` raises, which is given each node and its bytes.
        """
        if one.asked in self.without:
            return
        node = one.asked or name
        try:
            if not one.why:
                found = node_document.read(one.value, self._form)
                node = one.asked or found.node  # not who a liar says he is
                if one.asked is None and node in self.without:
                    return
                self._add(found, one, name)
            elif one.asked is None:
                self.refuse(name, one.why)
            else:
                self._add_silent(one.asked, f"its answer {one.why}")
        except DocumentError as error:
            self.refuse(one.asked or name, str(error))
        self._check(node, one.size)

    def refuse(self, name: str, why: str) -> None:
        """Name a document that could not be had, or is none."""
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
        return not (self._silent or self.refused)

    def workloads(self) -> list[MergedWorkload]:
        """Return the workloads, the worst first."""
        return merged_workload.ordered(self._workloads)

    def as_json(self, workloads: list[Json]) -> Json:
        """Return the whole as one document."""
        return {
            "form": self._form,
            "nodes": self.answered,
            "silent": [{"node": one.name, "error": one.why} for one in self.silent],
            "refused": [{"document": one.name, "error": one.why} for one in self.refused],
            "refused_count": len(self.refused),
            "without": sorted(self.without),
            "not_linux": self.not_linux,
            "oldest": self.oldest,
            "oldest_node": self.oldest_node,
            "kept": self.kept.as_json(),
            "notes": self.notes.as_json(),
            "workloads": workloads,
        }

    def _add(self, found: NodeDocument | SilentNode, answer: NodeAnswer, where: str) -> None:
        node = found.node
        if answer.asked not in (None, node):
            other = safe_text.word(node)
            raise DocumentError(f"says that it is of the node {other}, which was not asked")
        before = len(self._answered)
        if isinstance(found, SilentNode):
            self._add_silent(node, found.error)
        elif self._answered.setdefault(node, answer.mark) != answer.mark:
            raise AnsweredTwice(node, where if answer.asked is None else "")
        elif len(self._answered) > before:
            self._silent.pop(node, None)
            self._add_rows(found)

    def _add_silent(self, node: str, why: str) -> None:
        if node in self._answered:
            raise AnsweredTwice(node)
        self._silent.setdefault(node, why)

    def _add_rows(self, found: NodeDocument) -> None:
        node = found.node
        if found.generated and (not self.oldest or found.generated < self.oldest):
            self.oldest, self.oldest_node = found.generated, node
        self.kept.add(found.kept)
        self.notes.add(node, found.notes)
        for one in found.workloads:
            self._workloads.setdefault(one.whose, MergedWorkload(one.whose)).add(node, one)


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
        return f"{where}: {such}{safe_text.name(self.first, node_document.LONGEST_NOTE)}"


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


class FleetKept:
    """The containers of all nodes that keep a default, apart by whether the policy adopts such."""

    def __init__(self) -> None:
        self._nodes: Counter[bool] = Counter()
        self._profiles: dict[bool, Counter[str]] = {False: Counter(), True: Counter()}

    def add(self, kept: Kept | None) -> None:
        """Add what one node says."""
        if kept and any(kept.profiles.values()):
            self._nodes[kept.adopts] += 1
            self._profiles[kept.adopts].update(kept.profiles)

    def as_json(self) -> list[Json]:
        """Return a row for each kind of policy that has such containers."""
        return [
            {"adopts": adopts, "nodes": self._nodes[adopts], "containers": found.total(),
             "profiles": dict(found.most_common())}
            for adopts, found in self._profiles.items()
            if found
        ]  # fmt: skip

    def sentences(self) -> list[str]:
        """Return what to tell the fleet's owner, safe to print."""
        said = []
        for adopts, found in self._profiles.items():
            if found:
                words = [safe_text.word(name) for name, _ in found.most_common()]
                names = safe_text.some(words, _MOST_PROFILES)
                where = f" on {safe_text.number(self._nodes[adopts], 'node')}"
                said.append(kept_default_sentence.of(found, names, where, adopts=adopts))
        return said

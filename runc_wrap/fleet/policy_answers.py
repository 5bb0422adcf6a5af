"""What the nodes of a cluster say of a policy that is not in force yet, each answer checked.

A node may be hostile: its answer is bounded and escaped where it is shown, it counts for that node
alone. A node that did not answer, or not in this form, is named: it is never taken for one that
would take the policy.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

from runc_wrap.documents.constraints import Count, First, Most
from runc_wrap.documents.reader import DocumentError, record, taken
from runc_wrap.report import workload_names
from runc_wrap.report.workload_names import Workload

if TYPE_CHECKING:
    from collections.abc import Callable

Json = dict[str, Any]
FORM = 1
MOST_OF_NODE = 1000  # changes that one answer may list
_LONGEST = 4000  # characters of why there is no answer
_MOST_REMARKS = 100
_Words = Annotated[str, Most(2100)]  # a sentence, or a name
_Remarks = Annotated[tuple[Annotated[str, First(2100)], ...], First(_MOST_REMARKS)]
_SHOWN_NODES = 10
OTHER_FILTER = "the same profile, another filter"


class PolicyChange(NamedTuple):
    """A container of one node; `now` and `then` in words; `refused`: why it would not start."""

    whose: Workload
    now: str
    then: str
    refused: str | None


@record
class _Decision:
    action: _Words | None = None
    mode: _Words | None = None
    profile: _Words | None = None

    def __str__(self) -> str:
        """Return the decision as `apply --diff` shows it."""
        if self.action == "inject":
            return f"{self.profile} ({self.mode})"
        return self.action or "unknown"


@record
class _ChangeOfNode:
    now: _Decision
    then: _Decision | None = None
    refused: _Words | None = None
    id: _Words | None = None
    namespace: _Words | None = None
    pod: _Words | None = None
    container: _Words | None = None
    image: _Words | None = None

    def summed(self) -> PolicyChange:
        """Return it as one of the workload, of which there may be several."""
        pod = self.pod and workload_names.without_owner(self.pod)
        whose = Workload(self.namespace, pod, self.container or self.id, self.image)
        now, then = str(self.now), str(self.then)
        if self.then is None:
            return PolicyChange(whose, now, "refused", self.refused or "it does not say why")
        return PolicyChange(whose, now, OTHER_FILTER if then == now else then, None)


@record
class PolicyAnswer:
    """One node's; `refused` is why the policy would not be put in force there, None if it would."""

    form: Literal[1]
    node: str
    changed: Count
    changes: Annotated[tuple[_ChangeOfNode, ...], Most(MOST_OF_NODE)]
    remarks: _Remarks
    refused: _Words | None

    def __post_init__(self) -> None:
        if self.changed != len(self.changes):
            raise ValueError(f"changed is {self.changed}, and {len(self.changes)} are listed")


@dataclass
class NodeCounts:
    """On how many nodes something is so, the first of them, and in how many containers."""

    nodes: int = 0
    names: list[str] = field(default_factory=list)
    containers: int = 0

    def add(self, node: str) -> None:
        """Count a node once; each node's are added one after the other."""
        if not self.names or self._last != node:
            self.nodes += 1
            if len(self.names) < _SHOWN_NODES:
                self.names.append(node)
        self._last = node
        self.containers += 1

    _last: str = ""


class PolicyAnswers:
    """What all nodes that were asked say together."""

    def __init__(self, check: Callable[[str, int], object] = lambda _node, _size: None) -> None:
        self.taken: int = 0
        self.silent: list[tuple[str, str]] = []  # node and why
        self.not_linux: list[str] = []  # nodes that were not asked, by their own word
        self.not_reached: list[str] = []  # nodes on which the installer has never been
        self.refused: dict[str, list[str]] = {}  # why -> nodes
        self.remarks: dict[str, NodeCounts] = {}
        self.changes: dict[PolicyChange, NodeCounts] = {}
        self._check = check

    def take(self, document: Json, size: int = 0) -> None:
        """Take the document of one node, which has `size` bytes. Raises what `check` raises."""
        node = document["node"]
        if "error" in document:
            why = document["error"]
            why = why[:_LONGEST] if isinstance(why, str) else "it did not say why"
            self.silent.append((node, why))
        else:
            self._read(node, document)
        self._check(node, size)

    def _read(self, node: str, document: Json) -> None:
        try:
            self._add(taken(PolicyAnswer, document))
        except DocumentError as error:
            why = "its answer is none about a policy; its release may be an older one"
            self.silent.append((node, f"{why} ({error})"))

    def _add(self, answer: PolicyAnswer) -> None:
        if answer.refused is not None:
            why = answer.refused or "it does not say why"
            self.refused.setdefault(why, []).append(answer.node)
            return
        self.taken += 1
        for remark in answer.remarks:
            self.remarks.setdefault(remark, NodeCounts()).add(answer.node)
        for one in answer.changes:
            self.changes.setdefault(one.summed(), NodeCounts()).add(answer.node)

    @property
    def is_well(self) -> bool:
        """Whether every node that gets it would take it, one at least, and all containers run."""
        return self.taken > 0 and not (self.silent or self.refused or any(
            one.refused is not None for one in self.changes
        ))  # fmt: skip

    def ordered(self) -> list[tuple[PolicyChange, NodeCounts]]:
        """Return the changes, those that would be refused first, then by how many there are."""
        found = self.changes.items()
        return sorted(found, key=lambda one: (one[0].refused is None, -one[1].containers))

    def as_json(self) -> Json:
        """Return the whole as one document."""
        return {
            "form": FORM,
            "taken": self.taken,
            "refused": [{"why": why, "nodes": nodes} for why, nodes in self.refused.items()],
            "silent": [{"node": node, "error": why} for node, why in sorted(self.silent)],
            "not_linux": self.not_linux,
            "not_reached": [{"node": node} for node in self.not_reached],
            "remarks": [
                {"remark": one, "nodes": where.nodes, "names": where.names}
                for one, where in self.remarks.items()
            ],
            "changes": [_as_json(*one) for one in self.ordered()],
        }


def _as_json(change: PolicyChange, where: NodeCounts) -> Json:
    return {
        **change.whose._asdict(),
        "now": change.now,
        "then": change.then,
        "refused": change.refused,
        "containers": where.containers,
        "nodes": where.nodes,
        "names": where.names,
    }

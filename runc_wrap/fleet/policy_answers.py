"""What the nodes of a cluster say of a policy that is not in force yet, each answer checked.

A node may be hostile: its answer is bounded and escaped where it is shown, it counts for that node
alone. A node that did not answer, or not in this form, is named: it is never taken for one that
would take the policy.
"""

from collections import Counter
from dataclasses import asdict, dataclass
from typing import Annotated, Any, Literal, NamedTuple

from runc_wrap.documents.constraints import Count, First, Most
from runc_wrap.documents.reader import DocumentError, record, taken
from runc_wrap.report import workload_names
from runc_wrap.report.merge.merged_workload import CountedNodes
from runc_wrap.report.merge.node_document import SilentNode

Json = dict[str, Any]
FORM = 1
MOST_OF_NODE = 1000  # changes that one answer may list
_MOST_REMARKS = 100
_Words = Annotated[str, Most(2100)]  # a sentence, or a name
_Remarks = Annotated[tuple[Annotated[str, First(2100)], ...], First(_MOST_REMARKS)]
OTHER_FILTER = "the same profile, another filter"


class PolicyChange(NamedTuple):
    """A container of one node; `now` and `then` in words; `refused`: why it would not start."""

    whose: workload_names.Workload
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
        whose = workload_names.Workload(self.namespace, pod, self.container or self.id, self.image)
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
class ChangedNodes(CountedNodes):
    """On how many nodes a decision would change, and of how many containers."""

    containers: int = 0


class PolicyAnswers:
    """What all nodes that were asked say together."""

    def __init__(self) -> None:
        self.taken: int = 0
        self.silent: list[tuple[str, str]] = []  # node and why
        self.not_linux: list[str] = []  # nodes that were not asked, by their own word
        self.not_reached: list[str] = []  # nodes on which the installer has never been
        self.refused: dict[str, list[str]] = {}  # why -> nodes
        self.remarks: dict[str, CountedNodes] = {}
        self.changes: dict[PolicyChange, ChangedNodes] = {}

    def take(self, document: Json) -> None:
        """Take the document of one node."""
        node = document["node"]
        try:
            if "error" in document:
                self.silent.append((node, taken(SilentNode, document).error))
            else:
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
        for remark in dict.fromkeys(answer.remarks):
            self.remarks.setdefault(remark, CountedNodes()).add(answer.node)
        for change, containers in Counter(one.summed() for one in answer.changes).items():
            where = self.changes.setdefault(change, ChangedNodes())
            where.add(answer.node)
            where.containers += containers

    @property
    def is_well(self) -> bool:
        """Whether every node that gets it would take it, one at least, and all containers run."""
        is_refused = any(one.refused is not None for one in self.changes)
        return self.taken > 0 and not (self.silent or self.refused or is_refused)

    def ordered(self) -> list[tuple[PolicyChange, ChangedNodes]]:
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
            "remarks": [{"remark": one, **asdict(where)} for one, where in self.remarks.items()],
            "changes": [
                {**whose._asdict(), **asdict(where), "now": now, "then": then, "refused": refused}
                for (whose, now, then, refused), where in self.ordered()
            ],
        }

"""What the nodes of a cluster say of a policy that is not in force yet, each answer checked.

A node may be hostile: its answer is bounded and escaped where it is shown, it counts for that node
alone. A node that did not answer, or not in this form, is named: it is never taken for one that
would take the policy.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

from runc_wrap.report import workloads
from runc_wrap.report.merge.call_fields import BadDocument, number, said, shown, texts
from runc_wrap.report.merge.fleet_report import TooMuch
from runc_wrap.report.workloads import Workload

Json = dict[str, Any]
FORM = 1
MOST_OF_NODE = 1000  # changes that one answer may list
MOST_ROWS = 20_000  # different changes and remarks of all nodes
_MOST_REMARKS = 100
_LONGEST = 2100  # characters of a sentence, or of a name
_SHOWN_NODES = 10
OTHER_FILTER = "the same profile, another filter"


class Change(NamedTuple):
    """A container of one node; `now` and `then` in words; `refused`: why it would not start."""

    whose: Workload
    now: str
    then: str
    refused: str | None


class Answer(NamedTuple):
    """One node's; `refused` is why the policy would not be put in force there, None if it would."""

    node: str
    refused: str | None
    remarks: list[str]
    changes: list[Change]


@dataclass
class Where:
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


def read(value: Json) -> Answer:
    """Return a node's answer; `node` is the name by which it was asked. Raises BadDocument."""
    if value.get("form") != FORM or "refused" not in value:
        raise BadDocument("is no answer about a policy; its release may be an older one")
    rows = value.get("changes")
    if not isinstance(rows, list) or len(rows) > MOST_OF_NODE:
        raise BadDocument(f"changes is {shown(rows)}, not a list of at most {MOST_OF_NODE}")
    if (changed := number(value, "changed")) != len(rows):
        raise BadDocument(f"changed is {changed}, and {len(rows)} changes are listed")
    refused = said(value, "refused", _LONGEST)
    remarks = [one[:_LONGEST] for one in texts(value, "remarks", _MOST_REMARKS)]
    return Answer(value["node"], refused, remarks, [_change(row) for row in rows])


def _change(row: object) -> Change:
    if not isinstance(row, dict):
        raise BadDocument(f"a change is {shown(row)}, not an object")
    names = [said(row, name, _LONGEST) for name in ("namespace", "pod", "container", "image")]
    pod = names[1] and workloads.without_owner(names[1])
    whose = Workload(names[0], pod, names[2] or said(row, "id", _LONGEST), names[3])
    now, refused = _words(row.get("now")), said(row, "refused", _LONGEST)
    if row.get("then") is None:
        return Change(whose, now, "refused", refused or "it does not say why")
    then = _words(row["then"])
    return Change(whose, now, OTHER_FILTER if then == now else then, None)


def _words(decision: object) -> str:
    """Return a decision as `apply --diff` shows it."""
    if not isinstance(decision, dict):
        raise BadDocument(f"a decision is {shown(decision)}, not an object")
    action, mode, profile = (said(decision, key, _LONGEST) for key in ("action", "mode", "profile"))
    return f"{profile} ({mode})" if action == "inject" else action or "unknown"


class PolicyAnswers:
    """What all nodes that were asked say together."""

    def __init__(self) -> None:
        self.taken: int = 0
        self.silent: list[tuple[str, str]] = []  # node and why
        self.not_linux: list[str] = []  # nodes that were not asked, by their own word
        self.not_reached: list[str] = []  # nodes on which the installer has never been
        self.refused: dict[str, list[str]] = {}  # why -> nodes
        self.remarks: dict[str, Where] = {}
        self.changes: dict[Change, Where] = {}
        self._largest = (0, "")  # how many rows one node added, and which

    def take(self, document: Json) -> None:
        """Take the document of one node. Raises TooMuch."""
        node = document["node"]
        if "error" in document:
            why = document["error"]
            self.silent.append((node, why if isinstance(why, str) else "it did not say why"))
            return
        try:
            self._add(read(document))
        except BadDocument as error:
            self.silent.append((node, f"its answer cannot be used: it {error}"))

    def _add(self, answer: Answer) -> None:
        if answer.refused is not None:
            why = answer.refused or "it does not say why"
            self.refused.setdefault(why, []).append(answer.node)
            return
        self.taken += 1
        before = self._rows
        for remark in answer.remarks:
            self.remarks.setdefault(remark, Where()).add(answer.node)
        for change in answer.changes:
            self.changes.setdefault(change, Where()).add(answer.node)
        self._largest = max(self._largest, (self._rows - before, answer.node))
        if self._rows > MOST_ROWS:
            raise TooMuch(
                f"the nodes list more than {MOST_ROWS} changes and remarks", self._largest[1]
            )

    @property
    def _rows(self) -> int:
        return len(self.remarks) + len(self.changes)

    @property
    def is_well(self) -> bool:
        """Whether every node that gets it would take it, one at least, and all containers run."""
        return self.taken > 0 and not (self.silent or self.refused or any(
            one.refused is not None for one in self.changes
        ))  # fmt: skip

    def ordered(self) -> list[tuple[Change, Where]]:
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


def _as_json(change: Change, where: Where) -> Json:
    return {
        **change.whose._asdict(),
        "now": change.now,
        "then": change.then,
        "refused": change.refused,
        "containers": where.containers,
        "nodes": where.nodes,
        "names": where.names,
    }

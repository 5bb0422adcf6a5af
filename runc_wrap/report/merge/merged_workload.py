"""One workload of many nodes: what its nodes said, added up, and the verdict on it.

What would break on one node breaks. A node that knows nothing of the workload although it should
keeps it from being safe, as does one whose calls were not all kept. Nodes that enforce it without
recording add nothing: where it is watched elsewhere, that decides.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

from runc_wrap import safe_text
from runc_wrap.evidence.store import coverage
from runc_wrap.report import any_filter, model, outcomes
from runc_wrap.report.merge.merged_call import MergedCall
from runc_wrap.report.model import place
from runc_wrap.report.outcomes import DENIED, DEPENDS, SAFE

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from runc_wrap.report.merge.call_fields import NodeCall
    from runc_wrap.report.merge.node_workload import NodeWorkload
    from runc_wrap.report.model import Row
    from runc_wrap.report.outcomes import Filter
    from runc_wrap.report.workloads import Workload

Json = dict[str, Any]
_MOST_NODES = 10  # named as the reason of one thing
_SHOWN_NODES = 3
_MOST_NAMES = 10
_MOST_BLOCKS = 8
_BYTES_OF_CALL, _BYTES_OF_TEXT = 2000, 100  # as estimated, beside the text itself


class Unknown(NamedTuple):
    """On how many nodes nothing is known, the first of them, and what the first one says."""

    nodes: int
    names: Sequence[str]
    why: str


class MergedWorkload:
    """A workload of the fleet. It stands where `Judged` stands for one node's."""

    def __init__(self, whose: Workload) -> None:
        self.workload = whose
        self.shares_name = False
        self.filter: Filter | None = None
        self.more: list[str] = []  # that the nodes' own profile lets through
        self.unknown_profile = ""  # why there is no filter
        self.nodes = self.containers = self.running = self.restarts = 0
        self.lost = self.dropped = self.watched = self.watchers = 0
        self.least: tuple[int, str] | None = None  # seconds, and on which node
        self.lost_at_least = self.lost_at_most = False
        self._calm = True
        self.has_unshown = False
        self.since: str | None = None
        self.modes: dict[str, None] = {}
        self.profiles: Counter[str] = Counter()
        self.blocks: Counter[str] = Counter()
        self.pods: dict[str, None] = {}
        self.calls: dict[tuple[int, int], MergedCall] = {}
        self._worst: str | None = None
        self._unknown: list[str] = []
        self._unknown_nodes = 0
        self._why = self._enforced = ""
        self._rows: list[Row] | None = None

    def add(self, node: str, one: NodeWorkload) -> int:
        """Add what a node says; return how many bytes that took."""
        self.nodes += 1
        self.containers += one.containers
        self.running += one.running
        self.restarts += one.restarts
        self.lost += one.lost
        self.lost_at_least |= one.lost_at_least
        self.lost_at_most |= one.lost_at_most
        self.dropped += one.dropped
        self._calm &= one.calm
        self.has_unshown |= one.has_unshown
        if one.since and (not self.since or one.since < self.since):
            self.since = one.since
        self._add_verdict(node, one)
        _count(self.blocks, one.block, _MOST_BLOCKS)
        taken = _count(self.profiles, one.profile, _MOST_NAMES)
        taken += _keep(self.modes, one.modes) + _keep(self.pods, one.pods)
        for call in one.calls:
            taken += self._add_call(call)
        return taken

    def _add_verdict(self, node: str, one: NodeWorkload) -> None:
        if one.looks:
            self.watchers += 1
            self.watched = max(self.watched, one.watched)
            if self.least is None or one.watched < self.least[0]:
                self.least = (one.watched, node)
        if one.is_unknown:
            self.doubt(node, one.reason or "it was not watched.")
        elif one.verdict is None:
            self._enforced = self._enforced or one.reason or ""
        if one.verdict != self._worst and place(one.verdict) < place(self._worst):
            self._worst = one.verdict

    def doubt(self, node: str, why: str) -> None:
        """Count a node on which nothing is known."""
        self._unknown_nodes += 1
        self._why = self._why or why
        if len(self._unknown) < _MOST_NODES:
            self._unknown.append(node)

    def _add_call(self, call: NodeCall) -> int:
        """Add a call; what it saw counts, whatever the node's own verdict."""
        verdict = call.verdict
        if verdict != self._worst and verdict in (DENIED, DEPENDS):
            self._worst = min(verdict, self._worst, key=place)
        key = (call.arch, call.number)
        known, taken = self.calls.get(key), 0
        if known is None:
            taken = _BYTES_OF_CALL
            known = self.calls[key] = MergedCall(call)
        return taken + known.add(call)

    @property
    def name(self) -> str:
        """Its name for `suggest`."""
        return self.workload.distinct_name(is_shared=self.shares_name)

    @property
    def rows(self) -> list[Row]:
        """Its calls, the worst first."""
        if self._rows is None:
            found = [one.row() for one in self.calls.values()]
            self._rows = sorted(found, key=lambda row: (place(row.verdict), -row.tally.count))
        return self._rows

    @property
    def ids(self) -> list[str]:
        """Containers' ids: those of other nodes are nobody's argument here."""
        return []

    @property
    def instances(self) -> list[Workload]:
        """The names of its containers, as rules match them, as far as they are kept."""
        pods: list[str | None] = [*self.pods]
        pods = pods or [self.workload.pod]
        return [self.workload._replace(pod=pod) for pod in pods]

    @property
    def unknown(self) -> Unknown:
        """Where nothing is known."""
        return Unknown(self._unknown_nodes, self._unknown, self._why)

    @property
    def verdict(self) -> str | None:
        """The verdict on all its nodes; None is unknown."""
        if self._worst in (DENIED, DEPENDS):
            return self._worst
        return None if self._unknown_nodes else self._worst

    @property
    def is_wrong(self) -> bool:
        """Whether it would break, or is unknown although it should be known."""
        return self.verdict in (DENIED, DEPENDS) or bool(self._unknown_nodes)

    @property
    def is_calm(self) -> bool:
        """Return whether it is enforced everywhere, and nothing known needs attention."""
        return self._calm and not self.is_wrong

    @property
    def reason(self) -> str | None:
        """Why there is no verdict."""
        if self.verdict is not None:
            return None
        if self._unknown_nodes:
            return f"Unknown on {self._unknown_where()}: {_end(self._why)}"
        return self._enforced or None

    def _unknown_where(self) -> str:
        names = [safe_text.word(name) for name in self._unknown[:_SHOWN_NODES]]
        more = self._unknown_nodes - len(names)
        others = [f"{more} more"] if more else []
        return f"{self._unknown_nodes} of {_nodes(self.nodes)} ({', '.join([*names, *others])})"

    @property
    def confidence(self) -> str:
        """How much the verdict is worth, in words."""
        where = f"{safe_text.number(self.containers, 'container')} on {_nodes(self.nodes)}"
        if self.least is None:
            return f"Not watched: it is enforced, in {where}."
        if not self.watched:
            return f"Nothing was watching, in {where}."
        is_doubtful = bool(self.lost or self.dropped or self._unknown_nodes)
        shortest = self.least[0] or self.watched  # one node alone must not make it well watched
        what = coverage.WORDS[coverage.grade(shortest, doubtful=is_doubtful)]
        found = f"{what[0].upper()}{what[1:]}: {self._spans()} in {where}{self._doubts()}."
        return f"{found} {any_filter.ON_A_NODE}" if self.has_unshown else found

    def _spans(self) -> str:
        most, least = coverage.words(self.watched), self.least
        if least is None or self.watchers == 1 or least[0] == self.watched:
            return most
        return (
            f"{most} at most, {coverage.words(least[0])} at least (on {safe_text.word(least[1])}),"
        )

    def _doubts(self) -> str:
        found = ""
        if self.lost:
            lost = model.Lost(self.lost, self.lost_at_least, self.lost_at_most)
            found += f"; meanwhile {lost.amount} lost"
        if self.dropped:
            found += f"; {safe_text.number(self.dropped, 'call')} beyond the kinds that are kept"
        if self._unknown_nodes and self.verdict is not None:
            found += f"; unknown on {self._unknown_where()}"
        enforced = self.nodes - self.watchers
        return found + (f"; enforced unwatched on {_nodes(enforced)}" if enforced else "")

    def as_json(self) -> Json:
        """Return it with the keys of one node's report, and on which nodes it is."""
        firsts = [row.tally.first for row in self.rows if row.tally.first]
        seconds, node = self.least or (None, None)
        return {
            **self.workload._asdict(),
            "name": self.name,
            "verdict": self.verdict,
            "reason": self.reason,
            "confidence": self.confidence,
            "calm": self.is_calm,
            "nodes": self.nodes,
            "unknown": {"nodes": self._unknown_nodes, "names": self._unknown, "why": self._why},
            "containers": self.containers,
            "running": self.running,
            "restarts": self.restarts,
            "first": coverage.rfc3339(min(firsts, default=None)),
            "last": coverage.rfc3339(max((row.tally.last for row in self.rows), default=None)),
            "lost": self.lost,
            "lost_at_least": self.lost_at_least,
            "lost_at_most": self.lost_at_most,
            "dropped": self.dropped,
            "watched": self.watched,
            "watched_least": {"seconds": seconds, "node": node},
            "watched_on": self.watchers,
            "since": self.since,
            "modes": sorted(self.modes),
            "profile": max(self.profiles, key=lambda one: self.profiles[one], default=None),
            "pods": sorted(self.pods),
            "unshown": any_filter.ON_A_NODE if self.has_unshown else None,
            "calls": [row.as_json() for row in self.rows],
        }


def order(one: MergedWorkload) -> tuple[bool, int, int, str]:
    """Return a key to sort by: what breaks, what is unknown, what degrades, what is safe."""
    consequence = (DENIED, DEPENDS, None, outcomes.DEGRADES, SAFE).index(one.verdict)
    return one.is_calm, consequence, -one.nodes, one.name


def _nodes(number: int) -> str:
    return safe_text.number(number, "node")


def _end(sentence: str) -> str:
    """Return a node's reason without the word that begins ours."""
    return sentence.removeprefix("Unknown: ")


def _count(counted: Counter[str], value: str | None, most: int) -> int:
    """Count one of a few values; return the bytes that a new one takes."""
    if value is None or (value not in counted and len(counted) >= most):
        return 0
    counted[value] += 1
    return 0 if counted[value] > 1 else len(value) + _BYTES_OF_TEXT


def _keep(kept: dict[str, None], values: Iterable[str]) -> int:
    """Keep the first few values; return the bytes that the new ones take."""
    taken = 0
    if len(kept) >= _MOST_NAMES:
        return taken
    for value in values:
        if value not in kept and len(kept) < _MOST_NAMES:
            kept[value] = None
            taken += len(value) + _BYTES_OF_TEXT
    return taken

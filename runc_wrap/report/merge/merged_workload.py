"""One workload in a report: what its nodes said, added up, and the verdict on it.

What would break on one node breaks. A node that knows nothing of the workload although it should
keeps it from being safe, as does one whose calls were not all kept. Nodes that enforce it without
recording add nothing: where it is watched elsewhere, that decides. The report of this node is one
of a single node, which says the verdict, the reason and the confidence itself.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

from runc_wrap import safe_text, time_text
from runc_wrap.report import call_outcomes, filter_conflicts, merged_call
from runc_wrap.report.call_outcomes import DENIED, DEPENDS, SAFE, Filter
from runc_wrap.report.confidence import Doubts, LostRecords, watched_well
from runc_wrap.report.merge.node_document import MOST_NAMES, NodeWorkload, SeenHere
from runc_wrap.report.merged_call import CallRow, place
from runc_wrap.report.recorded_calls import RecordedCalls
from runc_wrap.report.workload_names import Workload

Json = dict[str, Any]
_MOST_NODES, _SHOWN_NODES = 10, 3  # named with one thing
_SUMS = ("containers", "running", "restarts", "lost", "dropped")  # over the nodes
# attributes that its JSON has unchanged
_SAME = tuple("name verdict reason confidence lost_at_least lost_at_most watched since".split())


@dataclass
class CountedNodes:
    """On how many nodes something is so, and the first of them."""

    nodes: int = 0
    names: list[str] = field(default_factory=list)

    def add(self, node: str) -> None:
        """Count one more."""
        self.nodes += 1
        if len(self.names) < _MOST_NODES:
            self.names.append(node)

    def shown(self, most: int = _MOST_NODES) -> str:
        """Return the first names, and how many more there are, safe to print."""
        return safe_text.some([*map(safe_text.word, self.names)], most, self.nodes)


@dataclass
class UnknownNodes(CountedNodes):
    """Where nothing is known, and what the first of these nodes says."""

    why: str = ""


class MergedWorkload:
    """A workload of one node or of a fleet.

    `shares_name`: only the image distinguishes it from another. `filter` is the profile to which
    calls are added. `here` is what this node knows of it, None in the report of a fleet.
    """

    def __init__(self, whose: Workload) -> None:
        self.workload = whose
        self.shares_name = False
        self.filter: Filter | None = None
        self.here: SeenHere | None = None
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
        self.pods: dict[str, None] = {}
        self.calls: dict[tuple[int, int], CallRow] = {}
        self.recorded: RecordedCalls | None = None
        self._worst: str | None = None
        self.unknown = UnknownNodes()
        self._enforced = ""

    def add(self, node: str, one: NodeWorkload, here: SeenHere | None = None) -> None:
        """Add what a node says; `here` is what it knows beside its document if it is this one."""
        self.nodes += 1
        for key in _SUMS:
            setattr(self, key, getattr(self, key) + getattr(one, key))
        self.lost_at_least |= one.lost_at_least
        self.lost_at_most |= one.lost_at_most
        self.has_unshown |= bool(one.unshown)
        is_quiet = not (here.calls if here else one.calls)
        self._calm = self._calm and one.is_calm(is_quiet=is_quiet)
        if here:
            self.here, self.filter, self.calls = here, here.filter, here.calls
        if one.since and (not self.since or one.since < self.since):
            self.since = one.since
        self._add_verdict(node, one)
        name = one.profile or ""
        if name in self.profiles or (name and len(self.profiles) < MOST_NAMES):
            self.profiles[name] += 1
        _keep(self.modes, one.modes)
        _keep(self.pods, one.pods)
        for call in one.calls:
            if call.verdict in (DENIED, DEPENDS):  # whatever the node's own verdict
                self._worst = min(self._worst, call.verdict, key=place)
            merged_call.add(self.calls, call)
        if one.recorded:
            self.recorded = self.recorded or RecordedCalls()
            self.recorded.add(one.recorded)

    def _add_verdict(self, node: str, one: NodeWorkload) -> None:
        if one.looks:
            self.watchers += 1
            self.watched = max(self.watched, one.watched)
            if self.least is None or one.watched < self.least[0]:
                self.least = (one.watched, node)
        if one.is_unknown:
            self.unknown.add(node)
            self.unknown.why = self.unknown.why or one.reason or "it was not watched."
        elif one.verdict is None:
            self._enforced = self._enforced or one.reason or ""
        self._worst = min(self._worst, one.verdict, key=place)

    @property
    def name(self) -> str:
        """Its name for `suggest`."""
        return self.workload.distinct_name(is_shared=self.shares_name)

    @cached_property
    def rows(self) -> list[CallRow]:
        """Its calls, the worst first."""
        return sorted(self.calls.values(), key=lambda row: (place(row.verdict), -row.count))

    @property
    def ids(self) -> list[str]:
        """Containers' ids: those of other nodes are nobody's argument here."""
        return self.here.ids if self.here else []

    @property
    def instances(self) -> list[Workload]:
        """The names of its containers, as rules match them, as far as they are kept."""
        if self.here:
            return self.here.instances
        pods: list[str | None] = [*self.pods]
        pods = pods or [self.workload.pod]
        return [self.workload._replace(pod=pod) for pod in pods]

    @property
    def verdict(self) -> str | None:
        """The verdict on all its nodes; None is unknown."""
        if self._worst in (DENIED, DEPENDS):
            return self._worst
        return None if self.unknown.nodes else self._worst

    @property
    def is_wrong(self) -> bool:
        """Whether it would break, or is unknown although it should be known."""
        return self.verdict in (DENIED, DEPENDS) or bool(self.unknown.nodes)

    @property
    def is_calm(self) -> bool:
        """Return whether it is enforced everywhere, and nothing known needs attention."""
        return self._calm and not self.is_wrong

    @property
    def reason(self) -> str | None:
        """Why there is no verdict."""
        if self.verdict is not None:
            return None
        if self.unknown.nodes:
            if self.here:
                return self.unknown.why
            why = self.unknown.why.removeprefix("Unknown: ")
            return f"Unknown on {self._unknown_where()}: {why}"
        return self._enforced or None

    def _unknown_where(self) -> str:
        return f"{self.unknown.nodes} of {_nodes(self.nodes)} ({self.unknown.shown(_SHOWN_NODES)})"

    @property
    def confidence(self) -> str:
        """How much the verdict is worth, in words."""
        if self.here:
            return self.here.confidence
        where = f"{safe_text.number(self.containers, 'container')} on {_nodes(self.nodes)}"
        if self.least is None:
            return f"Not watched: it is enforced, in {where}."
        if not self.watched:
            return f"Nothing was watching, in {where}."
        lost = LostRecords(self.lost, self.lost_at_least, self.lost_at_most)
        doubts = Doubts(lost, 0, self.dropped, unknown=self.unknown.nodes)
        shortest = self.least[0] or self.watched  # one node alone must not make it well watched
        what = watched_well(shortest, doubtful=doubts.is_any)
        found = f"{what}: {self._spans()} in {where}{doubts.words()}{self._others()}."
        return f"{found} {filter_conflicts.ON_A_NODE}" if self.has_unshown else found

    def _spans(self) -> str:
        most, least = time_text.duration(self.watched), self.least
        if least is None or self.watchers == 1 or least[0] == self.watched:
            return most
        shortest, node = time_text.duration(least[0]), safe_text.word(least[1])
        return f"{most} at most, {shortest} at least (on {node}),"

    def _others(self) -> str:
        """Return on which nodes it is unknown, and on how many unwatched."""
        found = ""
        if self.unknown.nodes and self.verdict is not None:
            found = f"; unknown on {self._unknown_where()}"
        enforced = self.nodes - self.watchers
        return found + (f"; enforced unwatched on {_nodes(enforced)}" if enforced else "")

    def as_json(self) -> Json:
        """Return it as `report --json` shows it; a node's has what only that node knows, too."""
        return {
            **self.workload._asdict(),
            **{key: getattr(self, key) for key in (*_SAME, *_SUMS)},
            "calm": self.is_calm,
            "first": min((row.first for row in self.rows if row.first), default=None),
            "last": max((row.last for row in self.rows if row.last), default=None),
            "modes": sorted(self.modes),
            "profile": max(self.profiles, key=lambda one: self.profiles[one], default=None),
            "pods": sorted(self.pods),
            "calls": [row.as_json() for row in self.rows],
            "recorded": self.recorded.as_json() if self.recorded else None,
            **(self.here.as_json() if self.here else self._of_fleet()),
        }

    def _of_fleet(self) -> Json:
        seconds, node = self.least or (None, None)
        return {
            "nodes": self.nodes,
            "unknown": asdict(self.unknown),
            "watched_least": {"seconds": seconds, "node": node},
            "watched_on": self.watchers,
            "unshown": filter_conflicts.ON_A_NODE if self.has_unshown else None,
        }


def ordered(workloads: Mapping[Workload, MergedWorkload]) -> list[MergedWorkload]:
    """Return the workloads, the worst first, each with its name."""
    names = Counter(whose.name for whose in workloads)
    for whose, one in workloads.items():
        one.shares_name = names[whose.name] > 1
    return sorted(workloads.values(), key=_order)


def _order(one: MergedWorkload) -> tuple[bool, int, int, int, int, str]:
    """Order by consequence: what breaks, what is unknown, what degrades, what is safe.

    Among equals, those of most nodes come first, on one node those that run, then those with most
    calls; enforced ones last.
    """
    consequence = (DENIED, DEPENDS, None, call_outcomes.DEGRADES, SAFE).index(one.verdict)
    running = calls = 0
    if one.here:
        running, calls = one.running, sum(row.count for row in one.calls.values())
    return one.is_calm, consequence, -one.nodes, -running, -calls, one.name


def _nodes(number: int) -> str:
    return safe_text.number(number, "node")


def _keep(kept: dict[str, None], values: Iterable[str]) -> None:
    """Keep the first few values."""
    for value in values:
        if len(kept) < MOST_NAMES:
            kept[value] = None

"""One workload as one node reports on it: what its containers did there, and the verdict."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

from runc_wrap.documents.constraints import Count, First, Most, Time
from runc_wrap.documents.reader import record
from runc_wrap.hotpath.decision import ENFORCE, ENFORCE_LOG
from runc_wrap.report.call_outcomes import SAFE
from runc_wrap.report.call_row import CallRow, NodeCall, Verdict
from runc_wrap.report.recorded_calls import NodeRecording
from runc_wrap.report.workload_names import Workload

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runc_wrap.report.call_outcomes import Filter
    from runc_wrap.report.container_evidence import ContainerEvidence
    from runc_wrap.report.filter_conflicts import OwnFilters

Json = dict[str, Any]
MOST_NAMES = 10  # of pods or containers in a document
_Name = Annotated[str, Most(1000)]
_ENFORCED = frozenset((ENFORCE, ENFORCE_LOG))
_SILENT = frozenset((ENFORCE,))  # records no calls


class SeenHere(NamedTuple):
    """What only the node itself knows of its workload.

    `calls` are by architecture and number. `filter` is the profile of its newest container.
    `runtimes` are the runtime's own calls, which do not count for the verdict. `own_filters` are
    those that its programs installed. `unshown` is what no mode can show
    (report.filter_conflicts).
    """

    confidence: str
    calls: dict[tuple[int, int], CallRow]
    containers: Sequence[ContainerEvidence]
    runtimes: Sequence[CallRow]
    filter: Filter | None
    own_filters: OwnFilters
    unshown: str | None

    @property
    def ids(self) -> list[str]:
        """Its containers' ids."""
        return [one.record.id for one in self.containers]

    @property
    def instances(self) -> list[Workload]:
        """The names of its containers, as rules match them."""
        records = (one.record for one in self.containers)
        return [Workload(one.namespace, one.pod, one.container, one.image) for one in records]

    @property
    def rule(self) -> str | None:
        """The rule that decided the newest container that a rule decided."""
        return next((one.record.rule for one in reversed(self.containers) if one.record.rule), None)

    def as_json(self) -> Json:
        """Return what a node's own document has of it."""
        return {
            "unshown": self.unshown,
            "ids": self.ids[-MOST_NAMES:],
            "runtime_calls": [row.as_json() for row in self.runtimes],
            "own_filters": self.own_filters.as_json(),
        }


@record
class NodeWorkload:
    """One workload on one node, as its document has it. `watched` is in seconds."""

    containers: Count
    running: Count
    restarts: Count
    lost: Count
    lost_at_least: bool
    lost_at_most: bool
    dropped: Count
    watched: Count
    modes: Annotated[list[Annotated[str, First(100)]], First(10)]
    pods: Annotated[list[_Name], First(MOST_NAMES)]
    calls: Annotated[list[NodeCall], Most(1000)]  # of one workload: more than there are
    namespace: _Name | None = None
    pod: _Name | None = None
    container: _Name | None = None
    image: _Name | None = None
    verdict: Verdict | None = None
    reason: Annotated[str, Most(4000)] | None = None
    since: Time | None = None
    profile: _Name | None = None
    unshown: Any = None
    recorded: NodeRecording | None = None

    @property
    def whose(self) -> Workload:
        """The names that its containers share."""
        return Workload(self.namespace, self.pod, self.container, self.image)

    @property
    def looks(self) -> bool:
        """Whether in one of its modes calls would be recorded."""
        return not self.modes or not _SILENT.issuperset(self.modes)

    def is_calm(self, *, is_quiet: bool) -> bool:
        """Return whether it is enforced, and needs no attention; `is_quiet`: no call was seen."""
        if not self.modes or not _ENFORCED.issuperset(self.modes):
            return False
        return self.verdict == SAFE or not (self.verdict or self.looks or not is_quiet)

    @property
    def is_unknown(self) -> bool:
        """Whether nothing is known although calls would be recorded; silence is not safety."""
        if self.verdict == SAFE:
            return self.watched == 0
        return self.verdict is None and self.looks

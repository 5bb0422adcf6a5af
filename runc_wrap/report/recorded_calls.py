"""What a workload's containers were recorded to call: on one node, or added up over a fleet.

Recorded calls are those that the profile in force allows. A list of them is never complete: it is
as good as what the containers did while they were recorded.
"""

from collections.abc import Iterator, Sequence
from typing import Annotated, Any

from runc_wrap import safe_text, time_text
from runc_wrap.documents.constraints import Count, First, Most
from runc_wrap.documents.reader import record
from runc_wrap.evidence.sightings import RECORDED
from runc_wrap.evidence.store.call_counts import EITHER, PROGRAM, RUNTIME, CallKind
from runc_wrap.profiles.return_codes import ACTION_MASK, USER_NOTIF
from runc_wrap.report import call_outcomes, merged_call
from runc_wrap.report.call_outcomes import LET_THROUGH, SAFE, Filter
from runc_wrap.report.container_evidence import ContainerEvidence, NodeFacts

Json = dict[str, Any]
_MOST_NOTES = 10
BY_RUNTIME = LET_THROUGH._replace(how="made by the runtime before the container's program")
UNSEEN = (
    "What did not happen meanwhile may be denied: a shell by exec, a probe, a reload, an error's "
    "handling, the shutdown. Let it happen while the workload is recorded."
)


@record
class NodeRecording:
    """What was recorded of a workload on one node, as its document has it.

    `whole` containers were recorded from their start on; `watched` is in seconds, of the container
    that was recorded longest; `notes` say what may be missing.
    """

    containers: Count
    whole: Count
    watched: Count
    lost: Count
    notes: Annotated[list[Annotated[str, First(1000)]], First(_MOST_NOTES)]
    calls: Annotated[list[merged_call.NodeCall], Most(4000)]


class RecordedCalls:
    """What was recorded of a workload on all nodes; `calls` by architecture and number."""

    def __init__(self) -> None:
        self.nodes = self.containers = self.whole = self.watched = self.lost = 0
        self.notes: dict[str, None] = {}
        self.calls: dict[tuple[int, int], merged_call.CallRow] = {}

    def add(self, other: NodeRecording) -> None:
        """Add what one node recorded."""
        self.nodes += 1
        self.containers += other.containers
        self.whole += other.whole
        self.watched = max(self.watched, other.watched)
        self.lost += other.lost
        self.notes |= dict.fromkeys(other.notes[: _MOST_NOTES - len(self.notes)])
        for call in other.calls:
            merged_call.add(self.calls, call)

    def as_json(self) -> Json:
        """Return it as `NodeRecording` reads it."""
        rows = [row.as_json() for row in self.rows]
        return {**vars(self), "notes": [*self.notes], "calls": rows}

    @property
    def rows(self) -> list[merged_call.CallRow]:
        """The calls."""
        return [*self.calls.values()]

    def sentences(self) -> Iterator[str]:
        """Yield for how long and where was recorded, and what may be missing; safe to print."""
        many = safe_text.number(self.containers, "container")
        nodes = f" on {safe_text.number(self.nodes, 'node')}" if self.nodes else ""
        yield (
            f"Recorded in {many}{nodes}, {self.whole} of them from the start, the longest for "
            f"{time_text.duration(self.watched)}; {safe_text.number(self.lost, 'record')} lost."
        )
        yield from (safe_text.name(one, 1000) for one in self.notes)
        yield UNSEEN


def of(group: Sequence[ContainerEvidence], facts: NodeFacts) -> RecordedCalls:
    """Return what one node recorded in these containers; calls of none are noted."""
    found = RecordedCalls()
    found.containers = len(group)
    found.whole = sum(one.is_whole for one in group)
    found.watched = round(max(one.watched for one in group))
    begin = max(facts.since, min(one.begin for one in group))
    strays = facts.evidence.unattributed
    own = ((call, t) for call, t in strays.calls.items() if t.last >= begin)
    stray = [tally.count for call, tally in own if call.code & RECORDED]
    if stray:
        found.notes[f"{safe_text.number(sum(stray), 'call')} came of no known container."] = None
    for one in group:
        profile, seen = facts.profile_of(one.record), one.seen
        for made_by in (PROGRAM, EITHER, RUNTIME):
            outcome = BY_RUNTIME if made_by == RUNTIME else LET_THROUGH
            for call, tally in seen.part(made_by).calls.items():
                if tally.last >= facts.since and _is_allowed(call, profile):
                    merged_call.count_in(found.calls, call, tally, outcome)
    return found


def _is_allowed(call: CallKind, profile: Filter | str) -> bool:
    """Return whether a call of a recorded container is one that its profile allows."""
    if call.code & RECORDED:
        return True
    is_sent = call.code & ACTION_MASK == USER_NOTIF
    return is_sent and call_outcomes.of_record(call, profile).verdict == SAFE

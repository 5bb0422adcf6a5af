"""One node's document (`report --json --node NAME`), checked before anything of it is merged.

    {"form": 1, "node": "a", "workloads": [...], "kept": …, "notes": [...]}
    {"form": 1, "node": "a", "error": "it timed out"}      from who asked: this node did not answer

`kept` counts the containers that keep their engine's default profile, {"adopts": false, "profiles":
{"containerd@1.7.24": 12}}: they are in no workload's row, as the policy decides nothing about them.
`adopts`: it does about such containers that start from now on. `notes` are the node's remarks on
its report. What the node itself knows of a workload beyond its document is `SeenHere`.

A document of another form, with a wrong type or with a number that cannot be is refused whole: what
half of it says could be wrong, too.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Annotated, Any, NamedTuple

from runc_wrap import safe_text
from runc_wrap.documents.constraints import Count, First, Like, Most, Time
from runc_wrap.documents.reader import DocumentError, record, shown, taken
from runc_wrap.documents.reader import written as json_of
from runc_wrap.hotpath.decision import ENFORCE, ENFORCE_LOG
from runc_wrap.node.container_state import kept_default_sentence
from runc_wrap.report.call_outcomes import SAFE, Filter
from runc_wrap.report.container_evidence import ContainerEvidence
from runc_wrap.report.filter_conflicts import OwnFilters
from runc_wrap.report.merged_call import CallRow, NodeCall, Verdict
from runc_wrap.report.recorded_calls import NodeRecording
from runc_wrap.report.workload_names import Workload

Json = dict[str, Any]
FORM, CANDIDATE_FORM = 1, 2  # the second is a report on candidates, which no other is merged with
LONGEST_NODE = 253  # characters, as of a DNS name
MOST_CONTAINERS = 10_000  # of one node; Kubernetes is made for 110 pods
MOST_NAMES = 10  # of pods or containers
MOST_PROFILES = 16  # that containers keep: engines, each in a version or two
_MOST_NOTES = 50
LONGEST_NOTE = 600  # characters
_ENFORCED = frozenset((ENFORCE, ENFORCE_LOG))
_SILENT = frozenset((ENFORCE,))  # records no calls
_AGAIN = "; collect it again by `runc-wrapctl report --json --node NAME`"
_Name = Annotated[str, Most(1000)]
_Node = Annotated[str, Like(rf".{{1,{LONGEST_NODE}}}", f"a name of 1 to {LONGEST_NODE} characters")]
# a document of an older release has none
_Notes = Annotated[tuple[Annotated[str, First(LONGEST_NOTE)], ...], First(_MOST_NOTES)]


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


@record
class Kept:
    """A node's containers that keep their engine's default: {profile: how many}."""

    adopts: bool
    profiles: Annotated[dict[Annotated[str, Most(100)], Count], Most(MOST_PROFILES)]

    @property
    def sentence(self) -> str:
        """Return what to tell the node's owner, "" if there are none."""
        is_any = any(self.profiles.values())
        return kept_default_sentence.of(self.profiles, adopts=self.adopts) if is_any else ""


@record
class NodeDocument:
    """One node's answer. `kept` is None if nothing is known of it."""

    node: _Node
    workloads: Annotated[list[NodeWorkload], Most(5000)]  # a kubelet takes some hundred pods
    generated: Time | None = None
    kept: Kept | None = None
    notes: _Notes = ()

    def __post_init__(self) -> None:
        if self.kept and (total := sum(self.kept.profiles.values())) > MOST_CONTAINERS:
            most = f"more than the {MOST_CONTAINERS} that a node may run"
            raise ValueError(f"kept counts {total} containers, {most}")
        seen = Counter(one.whose for one in self.workloads)
        if twice := next((one for one, times in seen.items() if times > 1), None):
            raise ValueError(f"has the workload {safe_text.word(twice.name)} twice")


@record
class SilentNode:
    """A node that did not answer, and why."""

    node: _Node
    error: Annotated[str, Most(4000)] = "it did not say why"


def written(  # noqa: PLR0913 - what a document has
    workloads: list[Json],
    node: str,
    generated: str | None,
    kept: Kept | None = None,
    notes: Sequence[str] = (),
    *,
    form: int = FORM,
) -> Json:
    """Return the document of a node that is named; without `kept`, nothing is known of that."""
    document = {"form": form, "node": node, "generated": generated, "workloads": workloads}
    fitting = [safe_text.fitted(one, LONGEST_NOTE) for one in notes[:_MOST_NOTES]]
    return {**document, "kept": json_of(kept), "notes": fitting}


def silent(node: str, error: str) -> Json:
    """Return the document of a node that did not answer."""
    return {"form": FORM, "node": node, "error": error}


def read(value: object, form: int = FORM) -> NodeDocument | SilentNode:
    """Return a decoded document, of this form if the node answered. Raises DocumentError."""
    if not isinstance(value, dict):
        raise DocumentError(f"is {shown(value)}, not a node's report{_AGAIN}")
    _check_form(value, FORM if "error" in value else form)
    return taken(SilentNode, value) if "error" in value else taken(NodeDocument, value)


def _check_form(value: Json, wanted: int) -> None:
    form = value.get("form")
    if type(form) is int and {form, wanted} == {FORM, CANDIDATE_FORM}:
        what = "is" if form == CANDIDATE_FORM else "is not"
        raise DocumentError(f"{what} a report on candidates, which --candidate merges")
    if type(form) is not int or form != wanted:
        if form is None:
            raise DocumentError(f"has no form{_AGAIN}")
        other = f"has the form {shown(form)}"
        raise DocumentError(f"{other}, and this release reads form {wanted}{_AGAIN}")


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

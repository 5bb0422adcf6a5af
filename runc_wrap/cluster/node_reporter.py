"""Telling what became of a node: the API server, the record on the node, and the pod's log.

What the API server cannot be told now is told later.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from runc_wrap import safe_text
from runc_wrap.cluster import next_step, node_record
from runc_wrap.cluster.kubernetes_api import api_server, node_object
from runc_wrap.cluster.kubernetes_api.node_object import Wanted
from runc_wrap.host import files

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from runc_wrap.cluster.kubernetes_api.api_server import ApiServer
    from runc_wrap.cluster.kubernetes_api.node_object import Node
    from runc_wrap.cluster.next_step import Decision
    from runc_wrap.node.paths import Places

_REASONS = {  # of the state's Event; READY has "Installed" after a canary, "Ready" without one
    next_step.REFUSED: "Refused",
    next_step.FAILED: "NotInstalled",
    next_step.REVERTED: "Reverted",
    next_step.UNPROVED: "Unproved",
    next_step.EDITED: "Edited",
    next_step.DRIFTED: "Drifted",
    next_step.POLICY_REFUSED: "PolicyRefused",
    next_step.REMOVED: "Removed",
}
_EVENTS = "/apis/events.k8s.io/v1/namespaces/default/events"
_UNTOLD = frozenset((next_step.INSTALLING, next_step.WAITING))  # on the way to another state
_CHANGING = frozenset((next_step.INSTALL, next_step.REGISTER))  # what comes of it is told anyway
_PROVING = frozenset((next_step.REGISTER, next_step.PROVE))  # by a canary
_DISPROVED = frozenset((next_step.REVERTED, next_step.UNPROVED))  # those failed
_LONGEST_FINDING = 300  # characters, in an Event
_TROUBLE = (api_server.Unreachable, api_server.Refused)
_MOST = 64  # Events that wait for an API server


@dataclass(frozen=True)
class Pod:
    """What the pod was given: its node's name, its own, the image's archive and the policy.

    `state` is a file for the state's word, which the pod's other container reads.
    """

    node: str
    name: str
    archive: Path
    config: Path
    profiles: Path
    taints: bool = False
    state: Path | None = None


@dataclass(frozen=True)
class Shown:
    """What belongs to a state: the release's version, the engine's, and the policy's digest.

    `remarks` are those of the policy's `apply`.
    """

    version: str
    engine: str
    policy: str
    remarks: list[str] = field(default_factory=list)


@dataclass
class Reporter:
    """One node's object, and what is said about it. `tell` gets a sentence for the pod's log."""

    places: Places
    pod: Pod
    api: ApiServer
    tell: Callable[[str], None]
    is_heard: bool = True  # False: the API server was away, or refuses for now
    _node: Node | None = None
    _shown: list[str] | None = None  # state and reason
    _told: list[str] | None = None  # the same, of the last Event; None: the next one is told anyway
    _untold_proof: bool = False  # a canary was to run and did not fail, and no Event has told so
    _events: list[tuple[str, str]] = field(default_factory=list)  # not told yet

    def node(self) -> Node:
        """Return the node as it is, or as it was if the API server is away.

        Raises Unreachable and Refused before it is known.
        """
        try:
            self._node = node_object.read(self.api.get(self._path))
        except _TROUBLE as error:
            if self._node is None:
                raise
            self.tell(str(error))  # what is to be done on the node does not wait for it
        return self._node

    @property
    def _path(self) -> str:
        return f"/api/v1/nodes/{self.pod.node}"

    def add_event(self, reason: str, note: str) -> None:
        """Have an Event told with the next report."""
        self._events = [*self._events, (reason, note)][-_MOST:]

    def offer(self) -> None:
        """Have the RuntimeClass select the node, which its object may have forgotten."""
        if self._node is None or node_object.is_installed(self._node):
            return
        try:
            self._node = node_object.read(self.api.patch(self._path, node_object.OFFER))
        except _TROUBLE as error:
            self.tell(str(error))  # the report that follows has it, too

    def report(
        self, decision: Decision, shown: Shown, note: str, *, is_installed: bool | None
    ) -> None:
        """Tell a state; `note` is its Event's, if it has no reason of its own.

        `is_installed`: whether the RuntimeClass selects the node; None: as before.
        """
        self._log(decision)
        before = self._told
        if self._is_change(decision):
            self._add_events(decision, before, shown.version, note)
        is_over = decision.word == next_step.REMOVED
        if not is_over:
            document = {"state": decision.word, "reason": decision.why, **vars(shown)}
            document |= {"told": self._told, "untold_proof": self._untold_proof}
            node_record.show(self.places, document)
        self._write(decision.word)
        try:
            self._tell(Wanted(
                None if is_over else node_object.state(decision.word, shown.policy), shown.version,
                decision.is_ready, is_installed, self.pod.taints,
            ))  # fmt: skip
            self.is_heard = True
        except _TROUBLE as error:
            self.tell(str(error))
            self.is_heard = _is_final(error)

    def _add_events(
        self, decision: Decision, before: list[str] | None, version: str, note: str
    ) -> None:
        """Add the Event of a state, if it has one; `before` is what the last one told."""
        if decision.word == next_step.READY:
            is_proved, self._untold_proof = self._untold_proof, False
            event = ("Installed", note) if is_proved else ("Ready", _ready_again(version, before))
            self.add_event(*event)
            return
        is_removing = decision.word == next_step.REMOVING and decision.why
        if reason := "NotRemoved" if is_removing else _REASONS.get(decision.word):
            self.add_event(reason, self._note(decision) or note)

    def _write(self, word: str) -> None:
        """Write the state's word for the pod's other container, if there is a place for it."""
        if self.pod.state is None or not self.pod.state.parent.is_dir():
            return
        try:
            files.replace(self.pod.state, word.encode(), is_synced=False, writer="installer")
        except OSError as error:  # as if the directory were full: the node matters more
            self.tell(str(error))

    def _log(self, decision: Decision) -> None:
        """Tell a state in the pod's log, unless it was shown last, maybe by a pod before."""
        now = [decision.word, decision.why]
        if self._shown is None:
            last = node_record.state(self.places)
            self._shown = [str(last.get("state")), str(last.get("reason"))]
            self._told = last.get("told", self._shown)
            self._untold_proof = last.get("untold_proof", self._told is None) is True
        if now != self._shown:
            self._shown = now
            self.tell(f"{decision.word}: {decision.why}" if decision.why else decision.word)

    def _is_change(self, decision: Decision) -> bool:
        """Tell whether an Event is due: in another state than the last Event's, or after a change.

        States on the way to another count for nothing: a roll-out that changes the policy only
        leads from `ready` to `ready`.
        """
        self._untold_proof |= decision.step in _PROVING
        self._untold_proof &= decision.word not in _DISPROVED
        if decision.step in _CHANGING:
            self._told = None
        if decision.word in _UNTOLD:
            return False
        before, self._told = self._told, [decision.word, decision.why]
        return before != self._told or (decision.word == next_step.READY and self._untold_proof)

    def _note(self, decision: Decision) -> str:
        """Return why a node is in a state; of a policy's findings the first, and where all are."""
        first, *others = decision.why.split("\n")
        if decision.word != next_step.POLICY_REFUSED or (
            len(first) <= _LONGEST_FINDING and not others
        ):
            return decision.why
        more = f"and {len(others)} more; all" if others else "the whole"
        return f"{_shortened(first)} ({more} in {node_record.state_file(self.places)} on the node)"

    def _tell(self, wanted: Wanted) -> None:
        """Change the node's object where it differs, then create Events. Raises _TROUBLE."""
        node = self._node or self.node()
        change = node_object.change(node, wanted)
        if change is not None:
            self._node = node_object.read(self.api.patch(self._path, change))
        while self._events:
            event = node_object.event(node, self.pod.name, *self._events[0], _now())
            try:
                self.api.create(_EVENTS, event)
            except api_server.Refused as error:
                if error.status not in (api_server.BAD_REQUEST, api_server.INVALID):
                    raise
                self.tell(str(error))  # nor would it be taken later, and others wait behind it
            del self._events[0]


def _ready_again(version: str, before: list[str] | None) -> str:
    """Return the note of a node that is ready without a canary; `before` is what was told."""
    word = before[0] if before else ""
    return f"runc-wrap {version} is ready{f' again: it was {word}' if word in _REASONS else ''}"


def waiting_for(units: Iterable[str]) -> str:
    """Return the sentence of a pod that waits for what one before it began."""
    return f"waiting for what another pod began on this node: {', '.join(units)}"


def _shortened(finding: str) -> str:
    """Return a finding without what is too long in it: a list of all settings, say."""
    if len(finding) <= _LONGEST_FINDING:
        return finding
    clause, _, _ = finding[:_LONGEST_FINDING].rpartition("; ")
    return clause or safe_text.fitted(finding, _LONGEST_FINDING)


def _is_final(error: Exception) -> bool:
    """Tell whether the same would be refused again; a conflict is with who was faster."""
    return isinstance(error, api_server.Refused) and error.status != api_server.CONFLICT


def _now() -> str:
    """Return the time as the API has it: RFC 3339 with microseconds."""
    return datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")

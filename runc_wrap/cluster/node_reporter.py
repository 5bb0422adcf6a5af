"""Reports what became of a node: to the API server, the pod's log and the pod's readiness probe.

The node's annotation is the last report. Where it differs from the state, an Event is due: a report
that fails is made later, by this pod or by another.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from runc_wrap import safe_text
from runc_wrap.cluster import api_server, next_step, node_object, state_file
from runc_wrap.cluster.next_step import NextStep
from runc_wrap.cluster.node_object import Json, KubernetesNode, Wanted
from runc_wrap.host import files
from runc_wrap.hotpath import config_file
from runc_wrap.node.paths import Places

_REASONS = {  # of the state's Event; READY has "Installed" after a canary, "Ready" without one
    next_step.REFUSED: "Refused",
    next_step.FAILED: "NotInstalled",
    next_step.REVERTED: "Reverted",
    next_step.UNPROVED: "Unproved",
    next_step.EDITED: "Edited",
    next_step.DRIFTED: "Drifted",
    next_step.POLICY_REFUSED: "PolicyRefused",
    next_step.REMOVING: "NotRemoved",
}
# What the readiness probe (the image's is-ready) finds: the one while the node is as it should be,
# the other with what to say of it.
READY_MARK, READY_SENTENCE = Path("/run/runc-wrap/ready"), Path("/run/runc-wrap/sentence")
_LONGEST = 300  # characters of the sentence; the probe prints 1000 bytes
_TROUBLE = (api_server.Unreachable, api_server.Refused)


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
    """What belongs to a state: the release's version, the engine's, and the policy's digest."""

    version: str = ""
    engine: str = ""
    policy: str = ""


@dataclass
class Reporter:
    """One node's object, and what is said about it. `tell` gets a sentence for the pod's log."""

    places: Places
    pod: Pod
    api: api_server.ApiServer
    tell: Callable[[str], None]
    is_heard: bool = True  # False: the API server was away, or refuses for now
    _node: KubernetesNode | None = None
    _last: tuple[str, str] = ("", "")  # state and reason, as in the log

    def node(self) -> KubernetesNode:
        """Return the node as it is, or as it was if the API server is away.

        Raises Unreachable and Refused before it is known.
        """
        try:
            self._node = node_object.read(self.api.request("GET", self._path))
        except _TROUBLE as error:
            if self._node is None:
                raise
            self.tell(str(error))  # the work on the node does not wait for it
        return self._node

    @property
    def _path(self) -> str:
        return f"/api/v1/nodes/{self.pod.node}"

    @property
    def is_offered(self) -> bool:
        """Whether the RuntimeClass selects the node, as far as is known."""
        return self._node is not None and node_object.is_installed(self._node)

    def offer(self, *, is_offered: bool) -> bool:
        """Have the RuntimeClass select the node, or not; tell whether it is so now."""
        change = node_object.offer(is_offered=is_offered)
        return self.is_offered == is_offered or self._changed(change)

    def take_request(self) -> bool:
        """Tell whether a person asks for the handler, and take that from the node: once is once."""
        is_asked = self._node is not None and node_object.AGAIN in self._node.annotations
        return is_asked and self._changed(node_object.ANSWERED)

    def _changed(self, change: Json) -> bool:
        try:
            self._node = node_object.read(self.api.request("PATCH", self._path, change))
        except _TROUBLE as error:
            self.tell(str(error))
            return False
        return True

    def report(self, decision: NextStep, shown: Shown, note: str = "") -> None:
        """Tell a state; `note` is the Event's of a canary that ran, or of a removal."""
        self._log(decision)
        self._write(decision.word)
        before = state_file.read(self.places)
        is_other = self.is_heard is False or (before.state, before.reason) != _what(decision)
        is_over = decision.word == next_step.REMOVED
        state = None if is_over else node_object.state(decision.word, shown.policy)
        try:
            node = self._node or self.node()
            events = self._events(node, decision, shown, note, is_other=is_other)
            self._create_events(node, events)
            wanted = Wanted(
                state, shown.version, decision.is_ready, decision.is_installed, self.pod.taints
            )
            if (change := node_object.change(node, wanted)) is not None:
                self._node = node_object.read(self.api.request("PATCH", self._path, change))
            self.is_heard = True
        except _TROUBLE as error:
            self.tell(str(error))
            # the same would be refused again; a conflict is with who was faster
            is_refused = isinstance(error, api_server.Refused)
            self.is_heard = is_refused and error.status != api_server.CONFLICT
        if not is_over:  # last: a pod that is killed before it leaves the Event to the next one
            state_file.show(self.places, state=decision.word, reason=decision.why, **vars(shown))

    def _events(
        self, node: KubernetesNode, decision: NextStep, shown: Shown, note: str, *, is_other: bool
    ) -> Iterator[tuple[str, str]]:
        """Yield the Events that are due: of another policy, and of another state or reason."""
        word, _, policy = node.annotations.get(node_object.STATE, "").partition(" ")
        if (digits := node_object.state("", shown.policy)) not in ("", policy):
            yield "PolicyApplied", f"policy {digits}, for {shown.engine}"
        if decision.word == word and not (is_other and decision.why):
            return
        if decision.word == next_step.REMOVED and word:
            yield "Removed", note
        elif word == next_step.INSTALLING and _is_proved(decision):
            yield "Installed", note
        elif decision.word == next_step.READY and word != next_step.WAITING:
            again = f" again: it was {word}" if word in _REASONS else ""
            yield "Ready", f"runc-wrap {shown.version} is ready{again}"
        elif decision.word in _REASONS and decision.why:
            is_policy = decision.word == next_step.POLICY_REFUSED
            file = state_file.file(self.places) if is_policy else None
            yield _REASONS[decision.word], node_object.reason_note(decision.why, file)

    def _create_events(self, node: KubernetesNode, events: Iterable[tuple[str, str]]) -> None:
        now = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
        for reason, note in events:
            event = node_object.event(node, self.pod.name, reason, note, now)
            try:
                self.api.request("POST", node_object.EVENTS, event)
            except api_server.Refused as error:
                self.tell(str(error))  # what is refused is refused again: the state matters more

    def _write(self, word: str) -> None:
        """Write the state's word for the pod's other container, if there is a place for it."""
        if self.pod.state is None or not self.pod.state.parent.is_dir():
            return
        try:
            files.replace(self.pod.state, word.encode(), is_synced=False, writer="installer")
        except OSError as error:  # as if the directory were full: the node matters more
            self.tell(str(error))

    def _log(self, decision: NextStep) -> None:
        """Tell a state in the pod's log, unless it was the last one there."""
        if self._last != _what(decision):
            self._last = _what(decision)
            self.tell(f"{decision.word}: {decision.why}" if decision.why else decision.word)


def note_readiness(sentence: str, *, is_well: bool) -> None:
    """Have the readiness probe say a sentence on one line, whatever others wrote into it.

    Nothing where there is no pod. Raises OSError.
    """
    if not READY_MARK.parent.is_dir():
        return
    said = safe_text.name(" ".join(sentence.split()), _LONGEST).encode()
    files.replace(READY_SENTENCE, said, is_synced=False, writer="installer")
    if is_well:
        READY_MARK.touch()
    else:
        config_file.remove(str(READY_MARK))


def _is_proved(decision: NextStep) -> bool:
    """Tell whether a canary ran: what is waited for then is the kubelet's list."""
    is_listed_later = decision.word == next_step.WAITING and decision.is_ready is False
    return decision.word in next_step.WELL or is_listed_later


def _what(decision: NextStep) -> tuple[str, str]:
    return decision.word, decision.why

"""The node's object in the API: what is read of it, what is written into it, its Events. Pure.

label       runc-wrap.dev/installed=true    it was ready once; until no container needs us any more
            runc-wrap.dev/ready=true        the canary ran and the kubelet lists the handler
            runc-wrap.dev/version=0.2.0     what it ran with
annotation  runc-wrap.dev/state="ready 1f2e3d4c5b6a"    the state, and the policy's digest
            runc-wrap.dev/register-again        a person's: taken off when it is done
taint       runc-wrap.dev/not-ready:PreferNoSchedule    installed, and not ready
            runc-wrap.dev/installing:NoSchedule         only where that is asked for

The RuntimeClass selects `installed`, which becomes part of each pod's own nodeSelector. A kubelet
that starts rejects running pods which no longer match. So nothing may select `ready`, which comes
and goes while pods run.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from runc_wrap import safe_text

if TYPE_CHECKING:
    from pathlib import Path

PREFIX = "runc-wrap.dev"
INSTALLED, READY, VERSION, STATE, AGAIN = (
    f"{PREFIX}/{name}" for name in ("installed", "ready", "version", "state", "register-again")
)
NOT_READY, INSTALLING = f"{PREFIX}/not-ready", f"{PREFIX}/installing"
EFFECTS = {NOT_READY: "PreferNoSchedule", INSTALLING: "NoSchedule"}  # of each taint
EVENTS = "/apis/events.k8s.io/v1/namespaces/default/events"  # where they are posted
_DIGITS = 12
_TRUE = "true"
_LONGEST_FINDING = 300  # characters
_LONGEST_NOTE = 1000  # bytes; 1024 are allowed

Json = dict[str, Any]
ANSWERED: Json = {"metadata": {"annotations": {AGAIN: None}}}  # a merge patch


@dataclass(frozen=True)
class KubernetesNode:
    """What is read of a node. `handlers` is None if the kubelet lists none."""

    name: str
    uid: str
    resource_version: str
    engine: str  # as the kubelet says: containerd://1.7.24
    kernel: str  # the same: 6.12.48
    labels: dict[str, str]
    annotations: dict[str, str]
    taints: tuple[Json, ...]
    handlers: frozenset[str] | None


def read(document: Json) -> KubernetesNode:
    """Return what is needed of an object of the API, whatever it lacks."""
    metadata, status = _map(document, "metadata"), _map(document, "status")
    # it lists the default alone, without a name, where the engine tells it none
    handlers = {str(one["name"]) for one in _maps(status, "runtimeHandlers") if one.get("name")}
    return KubernetesNode(
        name=str(metadata.get("name", "")),
        uid=str(metadata.get("uid", "")),
        resource_version=str(metadata.get("resourceVersion", "")),
        engine=str(_map(status, "nodeInfo").get("containerRuntimeVersion", "")),
        kernel=str(_map(status, "nodeInfo").get("kernelVersion", "")),
        labels={str(k): str(v) for k, v in _map(metadata, "labels").items()},
        annotations={str(k): str(v) for k, v in _map(metadata, "annotations").items()},
        taints=tuple(_maps(_map(document, "spec"), "taints")),
        handlers=frozenset(handlers) or None,
    )


def _map(document: Json, name: str) -> Json:
    found = document.get(name)
    return found if isinstance(found, dict) else {}


def _maps(document: Json, name: str) -> list[Json]:
    found = document.get(name)
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []


def state(word: str, digest: str) -> str:
    """Return the annotation's value."""
    return f"{word} {digest[:_DIGITS]}".strip()


@dataclass(frozen=True)
class Wanted:
    """What a node shall say: None for what stays as it is, but `state` None for no annotation.

    `taints`: the node takes no new pods until it is ready.
    """

    state: str | None
    version: str = ""
    is_ready: bool | None = None
    is_installed: bool | None = None
    taints: bool = False


def change(node: KubernetesNode, wanted: Wanted) -> Json | None:
    """Return the merge patch that makes a node say so, None if it does."""
    labels: dict[str, str | None] = {}
    if wanted.is_ready is not None:
        labels[READY] = _TRUE if wanted.is_ready else None
        labels[VERSION] = wanted.version or None if wanted.is_ready else None
    if wanted.is_installed is not None:
        labels[INSTALLED] = _TRUE if wanted.is_installed else None
    metadata: Json = {
        "labels": _different(node.labels, labels),
        "annotations": _different(node.annotations, {STATE: wanted.state}),
    }
    patch: Json = {}
    taints = _taints(node, wanted)
    if taints != [*node.taints]:
        # A list is replaced as a whole: only if nobody changed the node meanwhile.
        metadata["resourceVersion"] = node.resource_version
        patch["spec"] = {"taints": taints}
    if metadata := {name: value for name, value in metadata.items() if value}:
        patch["metadata"] = metadata
    return patch or None


def _different(found: dict[str, str], wanted: dict[str, str | None]) -> dict[str, str | None]:
    return {key: value for key, value in wanted.items() if found.get(key) != value}


def offer(*, is_offered: bool) -> Json:
    """Return the merge patch that has the RuntimeClass select a node, or not."""
    return {"metadata": {"labels": {INSTALLED: _TRUE if is_offered else None}}}


def is_installed(node: KubernetesNode) -> bool:
    """Tell whether the RuntimeClass selects a node."""
    return node.labels.get(INSTALLED) == _TRUE


def _taints(node: KubernetesNode, wanted: Wanted) -> list[Json]:
    """Return the taints that a node shall have, in the order in which it has them."""
    was_ready = node.labels.get(READY) == _TRUE
    is_ready = was_ready if wanted.is_ready is None else wanted.is_ready
    is_selected = is_installed(node) if wanted.is_installed is None else wanted.is_installed
    present = {NOT_READY: is_selected and not is_ready}
    if wanted.is_ready is not None:
        present |= {INSTALLING: wanted.taints and not is_ready}
    found = [one for one in node.taints if present.get(str(one.get("key")), True)]
    keys = {one.get("key") for one in found}
    new = [key for key, is_present in present.items() if is_present and key not in keys]
    return [*found, *({"key": key, "effect": EFFECTS[key]} for key in new)]


def reason_note(why: str, findings: Path | None) -> str:
    """Return why a node is in a state; of a policy's findings the first, and the file with all."""
    first, *others = why.split("\n")
    if findings is None or (len(first) <= _LONGEST_FINDING and not others):
        return why
    more = f"and {len(others)} more; all" if others else "the whole"
    return f"{_shortened(first)} ({more} in {findings} on the node)"


def _shortened(finding: str) -> str:
    """Return a finding without what is too long in it: a list of all settings, say."""
    if len(finding) <= _LONGEST_FINDING:
        return finding
    clause, _, _ = finding[:_LONGEST_FINDING].rpartition("; ")
    return clause or safe_text.fitted(finding, _LONGEST_FINDING)


def _fitted(note: str) -> str:
    """Return a note cut to the bytes that the API takes, whatever letters it has."""
    data = note.encode(errors="replace")
    if len(data) <= _LONGEST_NOTE:
        return note
    return data[: _LONGEST_NOTE - len("…".encode())].decode(errors="ignore") + "…"


def event(node: KubernetesNode, reporter: str, reason: str, note: str, when: str) -> Json:
    """Return the Event for a change: `when` is RFC 3339 with microseconds."""
    is_normal = reason in ("Installed", "Ready", "PolicyApplied", "Removed")
    return {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {"generateName": "runc-wrap-", "namespace": "default"},
        "eventTime": when,
        "type": "Normal" if is_normal else "Warning",
        "reason": reason,
        "action": "Install" if reason not in ("Removed", "NotRemoved") else "Remove",
        "note": _fitted(safe_text.name(note, _LONGEST_NOTE)),
        "regarding": {"apiVersion": "v1", "kind": "Node", "name": node.name, "uid": node.uid},
        "reportingController": f"{PREFIX}/installer",
        "reportingInstance": reporter[:128] or "installer",
    }

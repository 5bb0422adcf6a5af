"""The node's object in the API: what is read of it, and what is written into it. Pure.

label       runc-wrap.dev/ready=true        the canary ran and the kubelet lists the handler
            runc-wrap.dev/version=0.2.0     what it ran with
annotation  runc-wrap.dev/state="ready 1f2e3d4c5b6a"    the state, and the policy's digest
taint       runc-wrap.dev/installing:NoSchedule         only where that is asked for
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from runc_wrap import text

PREFIX = "runc-wrap.dev"
READY, VERSION, STATE = f"{PREFIX}/ready", f"{PREFIX}/version", f"{PREFIX}/state"
TAINT = f"{PREFIX}/installing"
_DIGITS = 12
_LONGEST_NOTE = 1000  # bytes of an Event's; 1024 are allowed
_TRUE = "true"

Json = dict[str, Any]


@dataclass(frozen=True)
class Node:
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


def read(document: Json) -> Node:
    """Return what is needed of an object of the API, whatever it lacks."""
    metadata, status = _map(document, "metadata"), _map(document, "status")
    return Node(
        name=str(metadata.get("name", "")),
        uid=str(metadata.get("uid", "")),
        resource_version=str(metadata.get("resourceVersion", "")),
        engine=str(_map(status, "nodeInfo").get("containerRuntimeVersion", "")),
        kernel=str(_map(status, "nodeInfo").get("kernelVersion", "")),
        labels={str(k): str(v) for k, v in _map(metadata, "labels").items()},
        annotations={str(k): str(v) for k, v in _map(metadata, "annotations").items()},
        taints=tuple(_maps(_map(document, "spec"), "taints")),
        handlers=_handlers(status),
    )


def _handlers(status: Json) -> frozenset[str] | None:
    """Return the names that the kubelet lists, None for none.

    It lists the default alone, without a name, where the engine tells it none.
    """
    names = {str(one["name"]) for one in _maps(status, "runtimeHandlers") if one.get("name")}
    return frozenset(names) or None


def _map(document: Json, name: str) -> Json:
    found = document.get(name)
    return found if isinstance(found, dict) else {}


def _maps(document: Json, name: str) -> list[Json]:
    found = document.get(name)
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []


def state(word: str, digest: str) -> str:
    """Return the annotation's value."""
    return f"{word} {digest[:_DIGITS]}".strip()


def change(
    node: Node, shown: str | None, version: str, *, is_ready: bool | None, taints: bool
) -> Json | None:
    """Return the merge patch that makes a node say so, None if it does.

    `is_ready`: None leaves labels and taint as they are. `shown` None removes the annotation.
    """
    labels = {} if is_ready is None else {
        READY: _TRUE if is_ready else None,
        VERSION: version or None if is_ready else None,
    }  # fmt: skip
    metadata: Json = {}
    if labels := _different(node.labels, labels):
        metadata["labels"] = labels
    if annotations := _different(node.annotations, {STATE: shown}):
        metadata["annotations"] = annotations
    patch: Json = {"metadata": metadata} if metadata else {}
    wanted = None if is_ready is None else _taints(node, present=taints and not is_ready)
    if wanted is not None and wanted != [*node.taints]:
        # A list is replaced as a whole: only if nobody changed the node meanwhile.
        patch.setdefault("metadata", {})["resourceVersion"] = node.resource_version
        patch["spec"] = {"taints": wanted}
    return patch or None


def _different(found: dict[str, str], wanted: dict[str, str | None]) -> dict[str, str | None]:
    return {key: value for key, value in wanted.items() if found.get(key) != value}


def _taints(node: Node, *, present: bool) -> list[Json]:
    others = [one for one in node.taints if one.get("key") != TAINT]
    if not present:
        return others
    ours = [one for one in node.taints if one.get("key") == TAINT]
    return [*node.taints] if ours else [*others, {"key": TAINT, "effect": "NoSchedule"}]


def _fitted(note: str) -> str:
    """Return a note cut to the bytes that the API takes, whatever letters it has."""
    data = note.encode(errors="replace")
    if len(data) <= _LONGEST_NOTE:
        return note
    return data[: _LONGEST_NOTE - len("…".encode())].decode(errors="ignore") + "…"


def event(node: Node, reporter: str, reason: str, note: str, when: str) -> Json:
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
        "note": _fitted(text.name(note, _LONGEST_NOTE)),
        "regarding": {"apiVersion": "v1", "kind": "Node", "name": node.name, "uid": node.uid},
        "reportingController": f"{PREFIX}/installer",
        "reportingInstance": reporter[:128] or "installer",
    }

"""The nodes of a cluster and the installer's pods on them, from kubectl's columns.

Columns instead of JSON, because 5,000 nodes in JSON are a hundred megabytes. No name in Kubernetes
contains white space; the state, an annotation, may, and is the last column.
"""

from __future__ import annotations

from typing import NamedTuple

NODE_COLUMNS = (
    "custom-columns=NAME:.metadata.name,OS:.metadata.labels.kubernetes\\.io/os,"
    'HEALTH:.status.conditions[?(@.type=="Ready")].status,'
    "READY:.metadata.labels.runc-wrap\\.dev/ready,VERSION:.metadata.labels.runc-wrap\\.dev/version,"
    "STATE:.metadata.annotations.runc-wrap\\.dev/state"
)
POD_COLUMNS = "custom-columns=NODE:.spec.nodeName,NAME:.metadata.name,PHASE:.status.phase"
SELECTOR = "app.kubernetes.io/name=runc-wrap"
_NONE = "<none>"
_NODE_WORDS, _POD_WORDS = 6, 3
_RUNNING = "Running"
_LINUX = "linux"


class Node(NamedTuple):
    """A node; `health` is the kubelet's, `state` the installer's word and digest, "" if none."""

    name: str
    health: str
    is_ready: bool
    version: str
    state: str


class Asked(NamedTuple):
    """A node and the pod to ask there; `why` says why there is none to ask, "" if there is."""

    node: str
    pod: str
    why: str = ""


def nodes(printed: bytes) -> list[Node]:
    """Return the Linux nodes of a listing by NODE_COLUMNS, ordered by name."""
    found = []
    for line in printed.decode(errors="replace").splitlines():
        words = [_word(word) for word in line.split(None, _NODE_WORDS - 1)]
        if len(words) == _NODE_WORDS and words[1] in (_LINUX, ""):
            name, _, health, ready, version, state = words
            found.append(Node(name, health, ready == "true", version, state.strip()))
    return sorted(found)


def asked(nodes_: list[Node], printed: bytes) -> list[Asked]:
    """Return for each node the pod to ask, from a listing by POD_COLUMNS."""
    pods: dict[str, tuple[str, str]] = {}
    for line in printed.decode(errors="replace").splitlines():
        words = line.split()
        if len(words) == _POD_WORDS and pods.get(words[0], ("", ""))[1] != _RUNNING:
            pods[words[0]] = (words[1], words[2])
    return [_asked(node.name, *pods.get(node.name, ("", ""))) for node in nodes_]


def _asked(node: str, pod: str, phase: str) -> Asked:
    if not pod:
        return Asked(node, "", "the installer has no pod on it")
    why = "" if phase == _RUNNING else f"its pod {pod} is {phase or 'not running'}"
    return Asked(node, pod, why)


def _word(word: str) -> str:
    return "" if word.strip() == _NONE else word

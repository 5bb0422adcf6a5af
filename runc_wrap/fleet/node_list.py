"""The nodes of a cluster and the installer's pods on them, from lines of quoted words by kubectl.

Lines instead of JSON, because 5,000 nodes in JSON are a hundred megabytes. Quoted as Go does, and
not kubectl's columns: a node writes its own annotations and conditions and its pods' phase, in
which line breaks would be further lines, about other nodes.
"""

from __future__ import annotations

import re
from typing import NamedTuple


def _quoted(path: str, key: str) -> str:
    """Return a template's word for the value of a key, "" if there is none."""
    word = f'{{{{with index . "{key}"}}}}{{{{printf "%q" .}}}}{{{{else}}}}""{{{{end}}}}'
    return f'{{{{with {path}}}}}{word}{{{{else}}}}""{{{{end}}}}'


NODE_LINES = "".join(
    (
        "go-template={{range .items}}",
        _quoted(".metadata", "name"),
        _quoted(".metadata.labels", "kubernetes.io/os"),
        _quoted(".metadata.labels", "runc-wrap.dev/ready"),
        _quoted(".metadata.labels", "runc-wrap.dev/version"),
        _quoted(".metadata.annotations", "runc-wrap.dev/state"),
        '{{range .status.conditions}}{{if eq .type "Ready"}}{{printf "%q" .status}}{{end}}{{end}}',
        '{{"\\n"}}{{end}}',
    )
)
POD_LINES = "".join(
    (
        "go-template={{range .items}}",
        _quoted(".spec", "nodeName"),
        _quoted(".metadata", "name"),
        _quoted(".status", "phase"),
        '{{"\\n"}}{{end}}',
    )
)
SELECTOR = "app.kubernetes.io/name=runc-wrap"
_WORDS = re.compile(r'"((?:[^"\\\n]|\\.)*)"').findall
_NODE_WORDS, _POD_WORDS = 5, 3  # at least: a node's health follows where it has one
_RUNNING = "Running"
_LINUX = "linux"


class Node(NamedTuple):
    """A node; `health` is the kubelet's, `state` the installer's word and digest, "" if none.

    `system` is the operating system that its kubelet says it has.
    """

    name: str
    health: str
    is_ready: bool
    version: str
    state: str
    system: str = _LINUX

    @property
    def is_linux(self) -> bool:
        """Whether it is for us: not another system, and what the installer wrote tells it, too.

        A node writes that label itself, and could hide by it.
        """
        return self.system in (_LINUX, "") or bool(self.is_ready or self.version or self.state)


class Asked(NamedTuple):
    """A node and the pod to ask there; `why` says why there is none to ask, "" if there is.

    `given` is what it is asked about: the command's stdin, one line, as its end need not arrive
    over a stream.
    """

    node: str
    pod: str
    why: str = ""
    given: bytes = b""


def nodes(printed: bytes) -> list[Node]:
    """Return the nodes of a listing by NODE_LINES, ordered by name."""
    found = []
    for words in _lines(printed, _NODE_WORDS):
        name, system, ready, version, state, *health = words
        told = (version, state.strip(), system)
        found.append(Node(name, "".join(health[:1]), ready == "true", *told))
    return sorted(found)


def _lines(printed: bytes, least: int) -> list[list[str]]:
    """Return the quoted words of each line, what is escaped in them as it stands."""
    lines = [_WORDS(line) for line in printed.decode(errors="replace").split("\n")]
    return [words for words in lines if len(words) >= least]


def asked(nodes_: list[Node], printed: bytes) -> list[Asked]:
    """Return for each node the pod to ask, from a listing by POD_LINES.

    Of nodes that are not for us only those are asked that have such a pod all the same.
    """
    pods: dict[str, tuple[str, str]] = {}
    for node, pod, phase, *_ in _lines(printed, _POD_WORDS):
        if node and pods.get(node, ("", ""))[1] != _RUNNING:
            pods[node] = (pod, phase)
    wanted = [node.name for node in nodes_ if node.is_linux or node.name in pods]
    return [_asked(name, *pods.get(name, ("", ""))) for name in wanted]


def _asked(node: str, pod: str, phase: str) -> Asked:
    if not pod:
        return Asked(node, "", "the installer has no pod on it")
    why = "" if phase == _RUNNING else f"its pod {pod} is {phase or 'not running'}"
    return Asked(node, pod, why)

"""The nodes of a cluster and the installer's pods on them, from the API's objects.

A node writes its own annotations, labels and conditions, and its pods' phase: each is taken for
what stands in that field, and where it has another type for nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from runc_wrap.fleet import taints

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from runc_wrap.fleet.taints import Taint

Json = dict[str, Any]
SELECTOR = "app.kubernetes.io/name=runc-wrap"
_NO_POD = "the installer has no pod on it"
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
    taints: tuple[Taint, ...] = ()

    @property
    def has_installer(self) -> bool:
        """Whether the installer has written anything there."""
        return bool(self.is_ready or self.version or self.state)

    @property
    def is_linux(self) -> bool:
        """Whether it is for us: not another system, and what the installer wrote tells it, too.

        A node writes that label itself, and could hide by it.
        """
        return self.system in (_LINUX, "") or self.has_installer

    def as_json(self) -> Json:
        """Return it for `status --json`."""
        return {**self._asdict(), "taints": [one.words for one in self.taints]}


class Asked(NamedTuple):
    """A node and the pod to ask there; `why` says why there is none to ask, "" if there is.

    `given` is what it is asked about: the command's stdin, one line, as its end need not arrive
    over a stream. `taints` are those of a node that has nothing of the installer; `kept_off` is the
    one of them that keeps its pod off, if that is known.
    """

    node: str
    pod: str
    why: str = ""
    given: bytes = b""
    taints: tuple[Taint, ...] = ()
    kept_off: str = ""


def nodes(items: Iterable[Json]) -> list[Node]:
    """Return the nodes, ordered by name."""
    return sorted(_node(one) for one in items if _name(one))


def _node(one: Json) -> Node:
    labels, annotations = (_of(one, "metadata", name) for name in ("labels", "annotations"))
    return Node(
        _name(one),
        _health(_of(one, "status").get("conditions")),
        labels.get("runc-wrap.dev/ready") == "true",
        _text(labels.get("runc-wrap.dev/version")),
        _text(annotations.get("runc-wrap.dev/state")).strip(),
        _text(labels.get("kubernetes.io/os")),
        taints.of_node(one.get("spec")),
    )


def _health(conditions: object) -> str:
    for one in conditions if isinstance(conditions, list) else ():
        if isinstance(one, dict) and one.get("type") == "Ready":
            return _text(one.get("status"))
    return ""


def _of(one: Json, *keys: str) -> Json:
    """Return the object that stands there, an empty one if none does."""
    for key in keys:
        found = one.get(key)
        one = found if isinstance(found, dict) else {}
    return one


def _name(one: Json) -> str:
    return _text(_of(one, "metadata").get("name"))


def _text(found: object) -> str:
    return found if isinstance(found, str) else ""


def asked(nodes_: Sequence[Node], items: Iterable[Json]) -> list[Asked]:
    """Return for each node the pod to ask, from the installer's pods.

    Of nodes that are not for us only those are asked that have such a pod all the same.
    """
    pods: dict[str, tuple[str, str]] = {}
    for one in items:
        node = _text(_of(one, "spec").get("nodeName"))
        if node and pods.get(node, ("", ""))[1] != _RUNNING:
            pods[node] = (_name(one), _text(_of(one, "status").get("phase")))
    wanted = [node for node in nodes_ if node.is_linux or node.name in pods]
    return [_asked(node, *pods.get(node.name, ("", ""))) for node in wanted]


def _asked(node: Node, pod: str, phase: str) -> Asked:
    if not pod:
        held = ", ".join(one.words for one in node.taints)
        why = f"{_NO_POD}; it has the taint {held}" if held else _NO_POD
        return Asked(node.name, "", why, taints=() if node.has_installer else node.taints)
    why = "" if phase == _RUNNING else f"its pod {pod} is {phase or 'not running'}"
    return Asked(node.name, pod, why)

"""The nodes of a cluster and the installer's pods on them, from the API's objects.

A node writes its own annotations, labels and conditions, and its pods' phase: each is taken for
what stands in that field, and where it has another type for nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

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
        return self._asdict()


class Asked(NamedTuple):
    """A node and the pod to ask there; `why` says why there is none to ask, "" if there is.

    `is_reached`: the installer has a pod there, or has had one.
    """

    node: str
    pod: str
    why: str = ""
    is_reached: bool = True


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
        return Asked(node.name, "", _NO_POD, node.has_installer)
    why = "" if phase == _RUNNING else f"its pod {pod} is {phase or 'not running'}"
    return Asked(node.name, pod, why)

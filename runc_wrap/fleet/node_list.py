"""The nodes of a cluster and the installer's pods on them, from the API's objects.

A node writes its own annotations, labels and conditions, and its pods' phase; a long one is cut.
"""

from collections.abc import Iterable, Sequence
from typing import Annotated, NamedTuple

from runc_wrap.documents.constraints import First, Key
from runc_wrap.documents.reader import record

SELECTOR = "app.kubernetes.io/name=runc-wrap"
_NO_POD = "the installer has no pod on it"
_RUNNING = "Running"
_LINUX = "linux"
_Text = Annotated[str, First(1000)]


@record
class _Labels:
    ready: Annotated[_Text, Key("runc-wrap.dev/ready")] = ""
    version: Annotated[_Text, Key("runc-wrap.dev/version")] = ""
    system: Annotated[_Text, Key("kubernetes.io/os")] = ""


@record
class _Annotations:
    state: Annotated[_Text, Key("runc-wrap.dev/state")] = ""


@record
class _Metadata:
    name: str
    labels: _Labels = _Labels()
    annotations: _Annotations = _Annotations()


@record
class _Condition:
    type: _Text
    status: _Text


@record
class _NodeStatus:
    conditions: tuple[_Condition, ...] = ()


@record
class NodeObject:
    """The API's object of a node."""

    metadata: _Metadata
    status: _NodeStatus = _NodeStatus()


@record
class _PodSpec:
    node: Annotated[str, Key("nodeName")] = ""


@record
class _PodStatus:
    phase: _Text = ""


@record
class PodObject:
    """The API's object of a pod."""

    metadata: _Metadata
    spec: _PodSpec = _PodSpec()
    status: _PodStatus = _PodStatus()


class ListedNode(NamedTuple):
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


class AskedNode(NamedTuple):
    """A node and the pod to ask there; `why` says why there is none to ask, "" if there is.

    `is_reached`: the installer has a pod there, or has had one.
    """

    node: str
    pod: str
    why: str = ""
    is_reached: bool = True


def nodes(items: Iterable[NodeObject]) -> list[ListedNode]:
    """Return the nodes, ordered by name."""
    found = []
    for one in items:
        labels, state = one.metadata.labels, one.metadata.annotations.state.strip()
        health = (each.status for each in one.status.conditions if each.type == "Ready")
        has = next(health, ""), labels.ready == "true", labels.version, state, labels.system
        found.append(ListedNode(one.metadata.name, *has))
    return sorted(found)


def asked(nodes_: Sequence[ListedNode], items: Iterable[PodObject]) -> list[AskedNode]:
    """Return for each node the pod to ask, from the installer's pods.

    Of nodes that are not for us only those are asked that have such a pod all the same.
    """
    pods: dict[str, tuple[str, str]] = {}
    for one in items:
        node = one.spec.node
        if node and pods.get(node, ("", ""))[1] != _RUNNING:
            pods[node] = (one.metadata.name, one.status.phase)
    found = []
    for each in nodes_:
        pod, phase = pods.get(each.name, ("", ""))
        if pod:
            why = "" if phase == _RUNNING else f"its pod {pod} is {phase or 'not running'}"
            found.append(AskedNode(each.name, pod, why))
        elif each.is_linux:
            found.append(AskedNode(each.name, "", _NO_POD, each.has_installer))
    return found

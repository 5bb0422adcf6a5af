"""A cluster as the plugin's commands reach it: the caller's kubectl, and the pod of each node."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from runc_wrap import safe_text
from runc_wrap.cli import output
from runc_wrap.fleet import api_list, node_list
from runc_wrap.fleet.kubectl import Kubectl, KubectlError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from runc_wrap.fleet.node_list import AskedNode, ListedNode

_SHOWN = 20  # nodes
_LISTING = 120.0  # seconds


class Cluster(NamedTuple):
    """Where kubectl's words lead, and the namespace of the installer."""

    kubectl: Kubectl
    namespace: str


seconds = click.option(
    "--seconds", default=60.0, show_default=True, type=output.Number(1, 3600),
    help="How long a node may take for each of two attempts.",
)  # fmt: skip


class Asking(NamedTuple):
    """How nodes are asked."""

    at_once: int
    seconds: float
    without: tuple[str, ...]


def asking(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options on how nodes are asked; the command gets them as `how`."""

    @click.option(
        "--at-once", default=8, show_default=True, type=click.IntRange(1, 100),
        help="How many nodes are asked at once.",
    )  # fmt: skip
    @click.option("--without", multiple=True, help="Leave out this node.  Repeatable.")
    @seconds
    @functools.wraps(command)
    def called(*words: object, **options: Any) -> Any:  # noqa: ANN401 - click's
        how = Asking(*(options.pop(name) for name in Asking._fields))
        return command(*words, how=how, **options)

    return called


def asked(cluster: Cluster, selector: str | None = None) -> tuple[list[AskedNode], list[str]]:
    """Return whom to ask on each node, and which nodes are left out. Raises KubectlError.

    Left out are those that say that they do not run Linux, and have no pod of the installer.
    """
    everyone = nodes(cluster, selector)
    found = _asked(cluster, everyone)
    return found, sorted({one.name for one in everyone} - {one.node for one in found})


def _asked(cluster: Cluster, everyone: Sequence[ListedNode]) -> list[AskedNode]:
    pods = api_list.pods(cluster.namespace)
    found = api_list.items(cluster.kubectl, pods, node_list.PodObject, node_list.SELECTOR, _LISTING)
    return node_list.asked(everyone, found)


def doubts(cluster: Cluster, everyone: Sequence[ListedNode]) -> dict[str, str]:
    """Return {node: why what it says of itself may be old}. Raises KubectlError.

    Labels and annotations outlive the installer's pod and the kubelet.
    """
    found = {one.node: one.why for one in _asked(cluster, everyone) if one.why}
    away = {one.name: "its kubelet is not ready" for one in everyone if one.health != "True"}
    return {**away, **found}


def say_who_is_left_out(names: Sequence[str]) -> None:
    """Print on stderr which nodes were not asked, by their own word."""
    if names:
        shown = safe_text.some([*map(safe_text.word, names)], _SHOWN)
        number = safe_text.number(len(names), "node")
        output.warn(
            f"note: not asked, since they say that they do not run Linux: {number} ({shown})"
        )


def nodes(cluster: Cluster, selector: str | None = None) -> list[ListedNode]:
    """Return the nodes, those with these labels if `selector` is given. Raises KubectlError."""
    listed = api_list.items(
        cluster.kubectl, api_list.NODES, node_list.NodeObject, selector or "", _LISTING
    )
    found = node_list.nodes(listed)
    if not any(one.is_linux for one in found):
        raise KubectlError("the cluster lists no Linux node")
    return found

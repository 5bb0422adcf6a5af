"""kubectl runc-wrap status: each node in a line, or all that the installer remembers of one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from runc_wrap import safe_text
from runc_wrap.cli import kubectl_cluster, output
from runc_wrap.cluster import next_step
from runc_wrap.fleet.kubectl import KubectlError
from runc_wrap.fleet.report_collection import Collection

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runc_wrap.cli.kubectl_cluster import Cluster
    from runc_wrap.fleet.node_list import ListedNode

COMMAND = ("/runc-wrap/bin/runc-wrapctl", "cluster", "state")
_COLUMNS = ("NODE", "KUBELET", "RUNC-WRAP", "VERSION", "STATE")
_HEALTH = {"True": "Ready", "False": "NotReady"}
_NAMES = ("node", "state", "since", "reason", "version", "engine", "policy")
_LONGEST, _MOST = 1000, 20  # characters of a sentence; remarks and attempts


def show_all(cluster: Cluster, *, as_json: bool) -> bool:
    """Print a line for each node; return whether one is not well."""
    nodes = kubectl_cluster.nodes(cluster)
    doubts = kubectl_cluster.doubts(cluster, nodes)
    if as_json:
        output.document([{**one._asdict(), "doubt": doubts.get(one.name)} for one in nodes])
    else:
        output.table(_COLUMNS, [_row(one, doubts.get(one.name, "")) for one in nodes])
    return not all(one.is_ready and one.name not in doubts for one in nodes if one.is_linux)


def _row(one: ListedNode, doubt: str) -> tuple[str, ...]:
    health = _HEALTH.get(one.health, "Unknown")
    is_ready = "not ready" if not one.is_ready else "unknown" if doubt else "ready"
    state = "; ".join(filter(None, (one.state, doubt)))
    if not one.is_linux:
        state = f"not for it: says that it runs {one.system}"
    shown = (safe_text.name(word) or "-" for word in (one.version, state))
    return (safe_text.name(one.name), health, is_ready, *shown)


def show(cluster: Cluster, node: str, *, as_json: bool, seconds: float) -> bool:
    """Print the state; return whether the node is not well. Raises KubectlError."""
    found, _ = kubectl_cluster.asked(cluster)
    chosen = [one for one in found if one.node == node]
    if not chosen:
        raise KubectlError(
            f"the cluster lists no Linux node {safe_text.word(node)}; "
            "`kubectl get nodes` names them"
        )
    asked = Collection(cluster.kubectl, cluster.namespace, COMMAND, 1, seconds)
    with output.progress("Asking the node") as meter:
        ((document, _),) = asked.documents(chosen, meter)
    if "error" in document:
        raise KubectlError(f"{safe_text.name(node)}: {safe_text.name(document['error'], _LONGEST)}")
    if as_json:
        output.document(document)
    else:
        output.say("\n".join(_lines(document)))
    return safe_text.name(document.get("state")) not in next_step.WELL


def _lines(document: dict[str, Any]) -> Iterator[str]:
    """Yield what a node says of itself, whatever types it has."""
    for name in _NAMES:
        if shown := safe_text.name(document.get(name), _LONGEST):
            yield f"{name:<8} {shown}"
    if document.get("state") is None:
        yield "state    the installer has reported none yet"
    for remark in _items(document, "remarks"):
        yield f"remark   {safe_text.name(remark, _LONGEST)}"
    for one in _items(document, "attempts"):
        yield _attempt(one if isinstance(one, dict) else {})


def _attempt(found: dict[str, Any]) -> str:
    """Return what failed, why, and when it is tried again."""
    step, count, again, reason = (
        safe_text.name(found.get(key), _LONGEST) for key in ("step", "count", "again", "reason")
    )
    return f"failed   {step} ({count} times; tried again after {again}): {reason}"


def _items(document: dict[str, Any], name: str) -> list[Any]:
    found = document.get(name)
    return found[:_MOST] if isinstance(found, list) else []

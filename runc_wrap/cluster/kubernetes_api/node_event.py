"""The Event about a change of a node, as the API takes it. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runc_wrap import safe_text
from runc_wrap.cluster.kubernetes_api.node_object import PREFIX

if TYPE_CHECKING:
    from pathlib import Path

    from runc_wrap.cluster.kubernetes_api.node_object import Json, KubernetesNode

PATH = "/apis/events.k8s.io/v1/namespaces/default/events"  # where it is posted
_LONGEST_FINDING = 300  # characters
_LONGEST_NOTE = 1000  # bytes; 1024 are allowed


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

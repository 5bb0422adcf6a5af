"""What is read of a node's object, and what is written into it."""

from __future__ import annotations

from typing import Any

import kubernetes_validate
import pytest

from runc_wrap.cluster.kubernetes_api import node_event, node_object
from runc_wrap.cluster.kubernetes_api.node_object import INSTALLED, Wanted
from tests.unit.cluster.merge_patch import merged

OTHER = {"key": "dedicated", "value": "gpu", "effect": "NoSchedule"}
OURS = {"key": "runc-wrap.dev/installing", "effect": "NoSchedule"}
SOFT = {"key": "runc-wrap.dev/not-ready", "effect": "PreferNoSchedule"}
DOCUMENT: dict[str, Any] = {
    "metadata": {"name": "n1", "uid": "u1", "resourceVersion": "7", "labels": {"zone": "a"}},
    "spec": {"taints": [OTHER]},
    "status": {
        "nodeInfo": {"containerRuntimeVersion": "containerd://1.7.24"},
        "runtimeHandlers": [{"name": ""}, {"name": "runc"}, {"name": "runc-wrap"}],
    },
}


@pytest.mark.parametrize(
    "document",
    [{}, {"metadata": None, "status": [], "spec": 3},
     {"metadata": {"labels": [1]}, "spec": {"taints": [None, "x"]},
      "status": {"runtimeHandlers": [{}, None, {"name": ""}], "nodeInfo": "x"}}],
)  # fmt: skip
def test_a_node_that_lacks_everything_is_read_too(document: dict[str, Any]) -> None:
    node = node_object.read(document)
    assert node.handlers is None
    assert (node.labels, node.taints, node.engine) == ({}, (), "")


def _change(document: dict[str, Any], word: str, is_ready: bool | None, taints: bool) -> Any:
    node = node_object.read(document)
    return node_object.change(node, Wanted(word, "0.2.0", is_ready, taints=taints))


READY = {"zone": "a", "runc-wrap.dev/ready": "true", "runc-wrap.dev/version": "0.2.0"}
CASES = [
    (True, False, [OTHER], READY, [OTHER]),
    (False, False, [OTHER], {"zone": "a"}, [OTHER]),
    (False, True, [OTHER], {"zone": "a"}, [OTHER, OURS]),
    (True, True, [OTHER, OURS], READY, [OTHER]),
    (True, False, [OURS], READY, []),
    (None, True, [OTHER], {"zone": "a"}, [OTHER]),
    (None, True, [OTHER, OURS], {"zone": "a"}, [OTHER, OURS]),
]


@pytest.mark.parametrize(("is_ready", "taints", "before", "labels", "after"), CASES)
def test_labels_and_taints_follow_the_state(
    is_ready: bool | None,
    taints: bool,
    before: list[Any],
    labels: dict[str, str],
    after: list[Any],
) -> None:
    document = merged(DOCUMENT, {"spec": {"taints": before}})
    changed = merged(document, _change(document, "ready abc", is_ready, taints))
    assert changed["metadata"]["labels"] == labels
    assert changed["metadata"]["annotations"] == {"runc-wrap.dev/state": "ready abc"}
    assert changed["spec"]["taints"] == after
    assert _change(changed, "ready abc", is_ready, taints) is None


SELECTED = [
    # label before, ready before, is_installed, is_ready -> label, taint
    (False, False, None, False, False, False),
    (False, False, None, True, False, False),
    (False, False, True, True, True, False),
    (True, True, None, False, True, True),
    (True, True, True, False, True, True),
    (True, True, None, None, True, False),
    (True, False, None, None, True, True),
    (False, False, True, None, True, True),  # a new Node object
    (True, True, False, False, False, False),
]


@pytest.mark.parametrize("case", SELECTED)
def test_a_node_that_the_class_selects_and_that_is_not_ready_is_taken_last(
    case: tuple[bool, bool, bool | None, bool | None, bool, bool],
) -> None:
    selected, ready, is_installed, is_ready, label, taint = case
    labels = {INSTALLED: "true"} if selected else {}
    labels |= {"runc-wrap.dev/ready": "true"} if ready else {}
    document = merged(DOCUMENT, {"metadata": {"labels": labels}})
    wanted = Wanted("x", "0.2.0", is_ready, is_installed)
    change = node_object.change(node_object.read(document), wanted)
    assert change is not None
    changed = merged(document, change)
    assert (INSTALLED in changed["metadata"]["labels"]) == label
    assert (SOFT in changed["spec"]["taints"]) == taint
    assert OTHER in changed["spec"]["taints"]
    assert node_object.change(node_object.read(changed), wanted) is None


def test_taints_are_changed_only_if_nobody_changed_the_node_meanwhile() -> None:
    assert _change(DOCUMENT, "x", False, True)["metadata"]["resourceVersion"] == "7"
    assert "resourceVersion" not in _change(DOCUMENT, "x", False, False)["metadata"]


NOTES = ["", "short", "a" * 5000, "\x1b[31mred\n<script>", "ü" * 1024]


@pytest.mark.parametrize("note", NOTES)
@pytest.mark.parametrize("reason", ["Installed", "Ready", "Reverted", "Removed"])
def test_an_event_is_what_the_api_takes(reason: str, note: str) -> None:
    node = node_object.read(DOCUMENT)
    event = node_event.event(node, "pod-1", reason, note, "2026-11-26T17:00:00.000001Z")
    kubernetes_validate.validate(event, "1.34", strict=True)
    assert event["type"] == ("Warning" if reason == "Reverted" else "Normal")
    assert event["metadata"]["namespace"] == "default"
    assert len(event["note"].encode()) <= 1024  # bytes: core/validation/events.go
    assert event["note"].isprintable()
    assert all(len(event[name]) <= 128 for name in ("reason", "reportingController"))

"""What the API server lists becomes nodes, and the pod to ask on each."""

from __future__ import annotations

from typing import Any

import pytest

from runc_wrap.documents.reader import taken
from runc_wrap.fleet import node_list
from runc_wrap.fleet.node_list import AskedNode, ListedNode, NodeObject, PodObject
from tests.unit.fleet.stand_in import node_object, pod_object

Json = dict[str, Any]
NODES: list[Json] = [
    node_object("b", ("true", "0.2.0", "ready 1f0c5b2e9a44 ", "True"), "linux"),
    node_object("a", ("", "", "", "False")),
    node_object("windows", ("", "", "", "True"), "windows"),
    node_object("old", ("", "", 'refused "0" \u2028 0', "True"), ""),
    {"metadata": {"name": "new"}},
]


def test_nodes_are_told_apart_by_what_they_say_and_by_what_the_installer_wrote() -> None:
    found = node_list.nodes(taken(list[NodeObject], NODES))
    assert found == [
        ListedNode("a", "False", False, "", ""),
        ListedNode("b", "True", True, "0.2.0", "ready 1f0c5b2e9a44"),
        ListedNode("new", "", False, "", "", ""),
        ListedNode("old", "True", False, "", 'refused "0" \u2028 0', ""),
        ListedNode("windows", "True", False, "", "", "windows"),
    ]
    assert [one.name for one in found if not one.is_linux] == ["windows"]


HIDING = ListedNode("b", "True", False, "", "", "windows")
NO_POD = "the installer has no pod on it"


@pytest.mark.parametrize(
    ("node", "pods", "asked"),
    [
        (HIDING, [], []),
        (HIDING, [pod_object("b", "pod-b")], [AskedNode("b", "pod-b")]),
        (HIDING._replace(is_ready=True), [], [AskedNode("b", "", NO_POD)]),
        (HIDING._replace(state="ready 1"), [], [AskedNode("b", "", NO_POD)]),
        (HIDING._replace(version="1"), [], [AskedNode("b", "", NO_POD)]),
    ],
)
def test_a_node_cannot_hide_as_one_of_another_system(
    node: ListedNode, pods: list[Json], asked: list[AskedNode]
) -> None:
    assert node_list.asked([node], taken(list[PodObject], pods)) == asked


@pytest.mark.parametrize(
    ("pods", "asked"),
    [
        ([pod_object("b", "pod-b")], AskedNode("b", "pod-b")),
        (
            [pod_object("b", "pod-b", "Pending")],
            AskedNode("b", "pod-b", "its pod pod-b is Pending"),
        ),
        ([pod_object("b", "old", "Failed"), pod_object("b", "new")], AskedNode("b", "new")),
        ([pod_object("b", "new"), pod_object("b", "old", "Failed")], AskedNode("b", "new")),
        ([pod_object("", "pod-b", "Pending")], AskedNode("b", "", NO_POD)),
        ([], AskedNode("b", "", NO_POD)),
    ],
)
def test_each_node_has_a_pod_to_ask_or_a_reason(pods: list[Json], asked: AskedNode) -> None:
    assert node_list.asked(
        [ListedNode("b", "True", True, "", "")], taken(list[PodObject], pods)
    ) == [asked]


def test_where_the_installer_has_never_been_nothing_of_it_is_in_force() -> None:
    node = ListedNode("b", "True", False, "", "")
    assert node_list.asked([node], []) == [AskedNode("b", "", NO_POD, is_reached=False)]
    assert node_list.asked([node._replace(version="1")], []) == [AskedNode("b", "", NO_POD)]


def test_nothing_that_a_node_writes_hides_others() -> None:
    long = "x" * 300_000
    mine = {"runc-wrap.dev/state": long}
    status = {"conditions": [{"type": long, "status": long}] * 3, "phase": long}
    metadata = {"name": "b", "annotations": mine, "labels": None}
    one = {"metadata": metadata, "status": status, "spec": {"nodeName": "b"}}
    (node,) = node_list.nodes(taken(list[NodeObject], [one]))
    assert (node.name, len(node.state), node.health) == ("b", 1000, "")
    (asked,) = node_list.asked([node], taken(list[PodObject], [one]))
    assert len(asked.why) < 2000

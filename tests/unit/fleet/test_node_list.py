"""What kubectl lists becomes nodes, and the pod to ask on each."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runc_wrap.fleet import node_list
from runc_wrap.fleet.node_list import Asked, Node

NODES = b"""\
"b" "linux" "true" "0.2.0" "ready 1f0c5b2e9a44" "True"
"a" "linux" "" "" "" "False"
"windows" "windows" "" "" "" "True"
"old" "" "" "" "refused \\"0\\" \\u2028 0" "True"
"new" "linux" "" "" ""
"""


def test_nodes_are_told_apart_by_what_they_say_and_by_what_the_installer_wrote() -> None:
    found = node_list.nodes(NODES)
    assert found == [
        Node("a", "False", False, "", ""),
        Node("b", "True", True, "0.2.0", "ready 1f0c5b2e9a44"),
        Node("new", "", False, "", ""),
        Node("old", "True", False, "", r"refused \"0\" \u2028 0", ""),
        Node("windows", "True", False, "", "", "windows"),
    ]
    assert [one.name for one in found if not one.is_linux] == ["windows"]


HIDING = Node("b", "True", False, "", "", "windows")


@pytest.mark.parametrize(
    ("node", "pods", "asked"),
    [
        (HIDING, b"", []),
        (HIDING, b'"b""pod-b""Running"\n', [Asked("b", "pod-b")]),
        (HIDING._replace(is_ready=True), b"", [Asked("b", "", "the installer has no pod on it")]),
        (HIDING._replace(state="ready 1"), b"", [Asked("b", "", "the installer has no pod on it")]),
        (HIDING._replace(version="1"), b"", [Asked("b", "", "the installer has no pod on it")]),
    ],
)
def test_a_node_cannot_hide_as_one_of_another_system(
    node: Node, pods: bytes, asked: list[Asked]
) -> None:
    assert node_list.asked([node], pods) == asked


@pytest.mark.parametrize(
    ("pods", "asked"),
    [
        (b'"b""pod-b""Running"\n', Asked("b", "pod-b")),
        (b'"b""pod-b""Pending"\n', Asked("b", "pod-b", "its pod pod-b is Pending")),
        (b'"b""old""Failed"\n"b""new""Running"\n', Asked("b", "new")),
        (b'"b""new""Running"\n"b""old""Failed"\n', Asked("b", "new")),
        (b'"""pod-b""Pending"\n', Asked("b", "", "the installer has no pod on it")),
        (b"", Asked("b", "", "the installer has no pod on it")),
    ],
)
def test_each_node_has_a_pod_to_ask_or_a_reason(pods: bytes, asked: Asked) -> None:
    assert node_list.asked([Node("b", "True", True, "", "")], pods) == [asked]


@given(st.binary(max_size=200))
def test_no_listing_is_an_error(printed: bytes) -> None:
    nodes = node_list.nodes(printed)
    assert len(node_list.asked(nodes, printed)) <= len(nodes)

"""Which taints keep a DaemonSet's pod off, as Kubernetes decides it."""

from __future__ import annotations

from typing import Any

import pytest

from runc_wrap.fleet import taints

Json = dict[str, Any]
PLANE = {"key": "node-role.kubernetes.io/control-plane", "effect": "NoSchedule"}
GPU = {"key": "nvidia.com/gpu", "value": "a", "effect": "NoExecute"}


def _kept_off(node: list[Any], pod: Any) -> str:
    found = taints.keeping_off(
        taints.of_node({"taints": node}), taints.tolerations({"tolerations": pod})
    )
    return found.words if found else ""


# k8s.io/api core/v1 toleration.go, ToleratesTaint
@pytest.mark.parametrize(
    ("tolerated", "is_met"),
    [
        ({"key": "nvidia.com/gpu", "operator": "Exists"}, True),
        ({"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoExecute"}, True),
        ({"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}, False),
        ({"key": "nvidia.com/gpu", "operator": "Equal", "value": "a"}, True),
        ({"key": "nvidia.com/gpu", "value": "a"}, True),
        ({"key": "nvidia.com/gpu", "value": "b"}, False),
        ({"key": "nvidia.com/gpu"}, False),
        ({"key": "nvidia.com", "operator": "Exists"}, False),
        ({"operator": "Exists"}, True),
        ({"operator": "Exists", "effect": "NoSchedule"}, False),
        ({"operator": "Equal", "value": "a"}, False),
        ({"key": "nvidia.com/gpu", "operator": "Gt", "value": "a"}, False),
        ({}, False),
        (3, False),
    ],
)
def test_a_toleration_meets_what_kubernetes_says(tolerated: Any, is_met: bool) -> None:
    assert _kept_off([GPU], [tolerated]) == ("" if is_met else "nvidia.com/gpu=a:NoExecute")


def test_each_taint_has_to_be_tolerated() -> None:
    gpu = {"key": "nvidia.com/gpu", "operator": "Exists"}
    assert _kept_off([GPU, PLANE], [gpu]) == "node-role.kubernetes.io/control-plane:NoSchedule"
    assert _kept_off([GPU, PLANE], [gpu, {"operator": "Exists", "effect": "NoSchedule"}]) == ""


@pytest.mark.parametrize(
    "taint",
    [
        {"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"},
        {"key": "node.cloudprovider.kubernetes.io/uninitialized", "effect": "NoSchedule"},
        {**PLANE, "effect": "PreferNoSchedule"},
        {"key": "a"},
        "a",
    ],
)
def test_what_passes_or_keeps_no_pod_off_is_no_reason(taint: Any) -> None:
    assert _kept_off([taint], []) == ""


@pytest.mark.parametrize("odd", [None, 3, "a", {}, [[]], [{"key": []}]])
def test_what_is_no_list_of_taints_has_none(odd: Any) -> None:
    assert taints.of_node({"taints": odd}) == taints.of_node(odd) == ()
    assert taints.tolerations({"tolerations": odd}) == taints.tolerations(odd) == ()


def test_a_node_has_no_more_taints_than_are_kept() -> None:
    held = [{"key": f"k{at}", "effect": "NoSchedule"} for at in range(100)]
    assert len(taints.of_node({"taints": held})) == 64

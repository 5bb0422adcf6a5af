"""The installer's account may change its own node only, and there only what is its own."""

import copy
from dataclasses import dataclass
from typing import Any

import pytest

from runc_wrap.cluster import node_object
from runc_wrap.cluster.node_object import Wanted
from tests.kubernetes.admission import DeniedError, Policies, Request
from tests.kubernetes.admission import rendered as rendered_as
from tests.unit.cluster.api_stand_in import merged

CLAIM = "authentication.kubernetes.io/node-name"
OTHER_TAINT = {"key": "dedicated", "value": "gpu", "effect": "NoSchedule"}
OUR_TAINT = {"key": node_object.INSTALLING, "effect": "NoSchedule"}
SOFT_TAINT = {"key": node_object.NOT_READY, "effect": "PreferNoSchedule"}
OWNER = {"apiVersion": "v1", "kind": "Namespace", "name": "gone", "uid": "0"}
NODE: dict[str, Any] = {
    "kind": "Node",
    "metadata": {"name": "n1", "labels": {"zone": "a", "runc-wrap.dev/pool": "canary"},
                 "annotations": {"a": "b"}, "resourceVersion": "7"},
    "spec": {"podCIDR": "10.0.0.0/24", "taints": [OTHER_TAINT]},
}  # fmt: skip


@dataclass
class ByInstaller(Request):
    """A request with the token of a pod on `on`; None: a token that names no node."""

    on: str | None = "n1"
    user: str = "system:serviceaccount:runc-wrap:runc-wrap-installer"

    def variables(self) -> dict[str, Any]:
        found = super().variables()
        extra = {} if self.on is None else {"extra": {CLAIM: [self.on]}}
        found["request"]["userInfo"] = {"username": self.user, **extra}
        return found


@pytest.fixture(scope="module")
def policies() -> Policies:
    return Policies("own-node")


def _update(change: dict[str, Any], **more: Any) -> ByInstaller:
    return ByInstaller(merged(NODE, change), copy.deepcopy(NODE), "UPDATE", "nodes", **more)


@pytest.mark.parametrize("is_ready", [True, False, None])
@pytest.mark.parametrize("is_installed", [True, False, None])
@pytest.mark.parametrize("taints", [True, False])
def test_all_that_the_installer_does_is_allowed(
    policies: Policies, is_ready: bool | None, is_installed: bool | None, taints: bool
) -> None:
    wanted = Wanted("ready abc", "0.2.0", is_ready, is_installed, taints)
    change = node_object.change(node_object.read(NODE), wanted)
    assert change is not None
    done = policies.admit(_update(change))
    gone = Wanted(None, is_ready=False, is_installed=False)
    again = node_object.change(node_object.read(done), gone)
    assert again is not None
    policies.admit(ByInstaller(merged(done, again), done, "UPDATE", "nodes"))


def test_a_new_node_object_is_offered_at_once(policies: Policies) -> None:
    policies.admit(_update(node_object.offer(is_offered=True)))


def test_a_request_for_the_handler_is_taken_off_the_node(policies: Policies) -> None:
    asked = merged(NODE, {"metadata": {"annotations": {node_object.AGAIN: ""}}})
    after = policies.admit(
        ByInstaller(merged(asked, node_object.ANSWERED), asked, "UPDATE", "nodes")
    )
    assert node_object.AGAIN not in after["metadata"]["annotations"]


def test_a_taint_of_its_name_that_somebody_else_gave_the_node_is_taken_off(
    policies: Policies,
) -> None:
    """As a kubelet does with --register-with-taints, whichever effect that names."""
    taints = [OTHER_TAINT, *({**one, "effect": "NoExecute"} for one in (OUR_TAINT, SOFT_TAINT))]
    node = merged(NODE, {"spec": {"taints": taints}})
    for word, is_ready in (("installing", False), ("ready", True)):
        wanted = Wanted(word, "0.2.0", is_ready, is_installed=True, taints=True)
        change = node_object.change(node_object.read(node), wanted)
        assert change is not None
        node = policies.admit(ByInstaller(merged(node, change), node, "UPDATE", "nodes"))
    assert node["spec"]["taints"] == [OTHER_TAINT]


OURS: dict[str, Any] = {"metadata": {"labels": {"runc-wrap.dev/ready": "true"}}}
DENIED: list[tuple[dict[str, Any], str | None, str]] = [
    (OURS, "n2", "own node only"),
    (OURS, None, "own node only"),
    ({"metadata": {"labels": {"zone": "b"}}}, "n1", "labels and annotations"),
    ({"metadata": {"labels": {"zone": None}}}, "n1", "labels and annotations"),
    ({"metadata": {"labels": {"node-role.kubernetes.io/control-plane": ""}}}, "n1", "labels"),
    ({"metadata": {"labels": None}}, "n1", "labels and annotations"),
    ({"metadata": {"annotations": {"a": "c"}}}, "n1", "labels and annotations"),
    ({"metadata": {"annotations": None}}, "n1", "labels and annotations"),
    ({"metadata": {"labels": {"runc-wrap.dev/pool": "rest"}}}, "n1", "labels and annotations"),
    ({"metadata": {"labels": {"runc-wrap.dev/pool": None}}}, "n1", "labels and annotations"),
    ({"metadata": {"labels": {"runc-wrap.dev/x": ""}}}, "n1", "labels and annotations"),
    ({"metadata": {"annotations": {"runc-wrap.dev/x": ""}}}, "n1", "labels and annotations"),
    ({"metadata": {"ownerReferences": [OWNER]}}, "n1", "owners and finalizers"),
    ({"metadata": {"finalizers": ["x.example/y"]}}, "n1", "owners and finalizers"),
    ({"spec": {"taints": []}}, "n1", "taints only"),
    ({"spec": {"taints": [OTHER_TAINT, {**OTHER_TAINT, "key": "x"}]}}, "n1", "taints only"),
    ({"spec": None}, "n1", "taints only"),
    *(
        ({"spec": {"taints": [OTHER_TAINT, {**taint, "effect": effect}]}}, "n1", "taints only")
        for taint, effects in (
            (OUR_TAINT, ("NoExecute", "PreferNoSchedule")),
            (SOFT_TAINT, ("NoExecute", "NoSchedule")),
        )
        for effect in effects
    ),
    ({"metadata": {"labels": {"runc-wrap.dev/installed2": "true"}}}, "n1", "labels"),
    ({"spec": {"unschedulable": True}}, "n1", "taints only"),
    ({"spec": {"podCIDR": "10.0.1.0/24"}}, "n1", "taints only"),
    ({"spec": {"podCIDR": None}}, "n1", "taints only"),
    ({"spec": {"providerID": "x"}}, "n1", "taints only"),
    ({"spec": {"configSource": {}}}, "n1", "taints only"),
]


@pytest.mark.parametrize(("change", "on", "why"), DENIED)
def test_all_else_is_refused(
    policies: Policies, change: dict[str, Any], on: str | None, why: str
) -> None:
    with pytest.raises(DeniedError, match=why):
        policies.admit(_update(change, on=on))


def test_it_creates_no_node(policies: Policies) -> None:
    with pytest.raises(DeniedError):
        policies.admit(ByInstaller(copy.deepcopy(NODE), None, "CREATE", "nodes"))


ACCOUNTS = "system:serviceaccount:runc-wrap"
OTHERS = [
    "system:node:n1",
    f"{ACCOUNTS}:builder",
    f"{ACCOUNTS}-installer:builder",
    "runc-wrap-installer",
]


@pytest.mark.parametrize("user", OTHERS)
def test_nobody_else_is_asked_about(policies: Policies, user: str) -> None:
    policies.admit(_update({"metadata": {"labels": {"zone": "b"}}}, on="n2", user=user))


EACH = {"namespace": "other", "namePrefix": "acme-", "nameSuffix": "-2"}


@pytest.mark.parametrize("moved", [{}, EACH], ids=str)
def test_the_account_is_confined_in_whatever_namespace_and_by_whatever_name_it_is_rendered(
    moved: dict[str, str],
) -> None:
    """kustomize changes the account, and no text in an expression."""
    overlay = "overlays/audit"
    documents = rendered_as(overlay=overlay, **moved)
    (account,) = [one["metadata"] for one in documents if one["kind"] == "ServiceAccount"]
    assert account["namespace"] == moved.get("namespace", "runc-wrap")
    user = f"system:serviceaccount:{account['namespace']}:{account['name']}"
    policies = Policies(overlay=overlay, **moved)
    policies.admit(_update(OURS, user=user))
    for change, on in ((OURS, "n2"), ({"spec": {"unschedulable": True}}, "n1")):
        with pytest.raises(DeniedError):
            policies.admit(_update(change, on=on, user=user))

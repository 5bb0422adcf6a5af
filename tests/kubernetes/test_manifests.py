"""Every overlay is what Kubernetes' schemas allow, and asks for no more than the docs list."""

import re
import tomllib
from pathlib import Path

import kubernetes_validate
import pytest
import yaml

from harness.node.install import SOURCE
from runc_wrap.cli import cluster
from runc_wrap.cluster import api_server
from runc_wrap.cluster.node_object import INSTALLED, READY
from runc_wrap.metrics import metrics_file
from runc_wrap.node.paths import DEFAULT_PREFIX, Places
from tests.kubernetes import admission, rendered, rights
from tests.kubernetes.rendered import OVERLAYS, Object

EACH_OVERLAY = pytest.mark.parametrize("overlay", OVERLAYS)
# The oldest release for which the docs promise anything, and the newest whose schemas there are.
VERSION = tomllib.loads((SOURCE / "pyproject.toml").read_text())["project"]["version"]
POLICY = "ValidatingAdmissionPolicy"  # which says that the installer may write it
SCHEMAS = ("1.30", "1.34", kubernetes_validate.latest_version())


@EACH_OVERLAY
@pytest.mark.parametrize("version", SCHEMAS)
def test_what_an_overlay_renders_is_valid(overlay: str, version: str) -> None:
    for one in rendered.objects(overlay):
        kubernetes_validate.validate(one, version, strict=True)


def test_the_schemas_refuse_what_is_not_valid() -> None:
    (one,) = rendered.of_kind("base", "DaemonSet")
    rendered.pod(one)["containers"][0]["securityContext"]["privilege"] = False
    with pytest.raises(kubernetes_validate.ValidationError, match="privilege"):
        kubernetes_validate.validate(one, SCHEMAS[0], strict=True)


@EACH_OVERLAY
def test_nothing_is_asked_for_but_what_the_guide_lists(overlay: str) -> None:
    assert sorted(rights.asked(overlay)) == sorted(rights.listed())


@EACH_OVERLAY
def test_the_installers_account_is_confined_to_its_own_node(overlay: str) -> None:
    """By the same policy as tests/kubernetes/test_admission_own_node tries."""
    wanted = admission.rendered("own-node")
    found = [one for one in rendered.objects(overlay) if one["kind"].startswith("Validating")]
    assert sorted(found, key=str) == sorted(wanted, key=str)
    assert {one["kind"] for one in found} == {
        "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding",
    }  # fmt: skip


@EACH_OVERLAY
def test_one_node_is_changed_at_a_time_by_this_release_and_the_next_when_it_is_ready(
    overlay: str,
) -> None:
    for one in rendered.of_kind(overlay, "DaemonSet"):
        strategy = one["spec"]["updateStrategy"]
        assert strategy == {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1}}
        assert "runtimeClassName" not in rendered.pod(one)  # it runs on the engine's default
        (container,) = rendered.pod(one)["containers"]
        assert container["image"] == f"runc-wrap:{VERSION}"
        assert container["readinessProbe"] == {"exec": {"command": ["/installer/is-ready"]},
                         "periodSeconds": 15, "timeoutSeconds": 10}  # fmt: skip


@EACH_OVERLAY
def test_the_class_selects_a_label_that_stays_while_pods_run(overlay: str) -> None:
    """A kubelet that starts rejects running pods whose selector the node does not meet."""
    (one,) = rendered.of_kind(overlay, "RuntimeClass")
    assert one["scheduling"] == {"nodeSelector": {INSTALLED: "true"}}
    others = [one for one in rendered.objects(overlay) if one["kind"] != POLICY]
    assert READY not in yaml.safe_dump_all(others)
    assert one["handler"] == "runc-wrap"


@EACH_OVERLAY
def test_a_quota_lets_pods_of_the_installers_priority_in(overlay: str) -> None:
    """GKE's API server admits them in a namespace with such a quota only."""
    (one,) = rendered.of_kind(overlay, "ResourceQuota")
    (scope,) = one["spec"]["scopeSelector"]["matchExpressions"]
    assert (scope["scopeName"], scope["operator"]) == ("PriorityClass", "In")
    for other in rendered.of_kind(overlay, "DaemonSet"):
        assert other["metadata"]["namespace"] == one["metadata"]["namespace"]
        assert rendered.pod(other)["priorityClassName"] in scope["values"]


@EACH_OVERLAY
def test_a_policy_that_changes_is_a_rollout(overlay: str) -> None:
    """The pods name their policy and the overlay's mode by their digests."""
    policies = {one["metadata"]["name"] for one in rendered.of_kind(overlay, "ConfigMap")}
    named = {
        volume["configMap"]["name"]
        for one in rendered.of_kind(overlay, "DaemonSet")
        for volume in rendered.pod(one)["volumes"]
        if volume["name"] in ("policy", "mode")
    }
    assert named == policies
    assert all(
        re.fullmatch(r"runc-wrap-(policy|mode)(-canary|-rest)?-[a-z0-9]{10}", n) for n in named
    )


MODES = [
    ("overlays/audit", {"audit"}),
    ("overlays/enforce", {"enforce"}),
    ("overlays/taint", {"enforce"}),
    ("overlays/per-pool", {"enforce", "audit"}),
    ("base", {None}),
]


@pytest.mark.parametrize(("overlay", "modes"), MODES)
def test_each_overlay_brings_the_mode_in_its_name(overlay: str, modes: set[str | None]) -> None:
    found = [data for one in rendered.of_kind(overlay, "ConfigMap") for data in one["data"].items()]
    files = [(key, tomllib.loads(text)) for key, text in found]
    assert {key for key, _ in files} == {"config.toml", "0-mode.toml"}
    assert {one["default"]["mode"] if one else None for key, one in files if "mode" in key} == modes
    assert not any(one for key, one in files if key == "config.toml")  # which is the owner's


ARGS = [
    ("base", ["cluster", "install"]),
    ("overlays/taint", ["cluster", "install", "--taint"]),
    ("overlays/uninstall", ["cluster", "remove"]),
]


@pytest.mark.parametrize(("overlay", "args"), ARGS)
def test_what_the_installer_is_told(overlay: str, args: list[str]) -> None:
    (one,) = rendered.of_kind(overlay, "DaemonSet")
    assert rendered.pod(one)["containers"][0]["args"] == args


def test_the_pools_share_no_node_and_no_pod() -> None:
    """A DaemonSet that selected the other's pods would delete them."""
    canary, rest = sorted(
        rendered.of_kind("overlays/per-pool", "DaemonSet"), key=lambda one: one["metadata"]["name"]
    )
    assert rendered.pod(canary)["nodeSelector"]["runc-wrap.dev/pool"] == "canary"
    (term,) = rendered.pod(rest)["affinity"]["nodeAffinity"][
        "requiredDuringSchedulingIgnoredDuringExecution"
    ]["nodeSelectorTerms"]
    (rule,) = term["matchExpressions"]
    assert rule == {"key": "runc-wrap.dev/pool", "operator": "NotIn", "values": ["canary"]}
    for one, name in ((canary, "canary"), (rest, "rest")):
        assert one["spec"]["selector"]["matchLabels"]["runc-wrap.dev/daemonset"] == name
        assert one["spec"]["template"]["metadata"]["labels"]["runc-wrap.dev/daemonset"] == name


COMPONENTS = ("metrics", "metrics/podmonitor")


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """An owner's own overlay for each of ours: with the components, and another registry."""
    images = [{"name": "runc-wrap", "newName": "registry.example/runc-wrap"}]
    return {
        overlay: rendered.own(
            tmp_path_factory.mktemp("own"), overlay, components=COMPONENTS, images=images
        )
        for overlay in OVERLAYS
    }


def _containers(overlay: str) -> list[tuple[Object, Object, Object]]:
    """Return (pod, installer, metrics) of each DaemonSet."""
    found = []
    for one in rendered.of_kind(overlay, "DaemonSet"):
        pod = rendered.pod(one)
        installer, metrics = pod["containers"]
        assert (installer["name"], metrics["name"]) == ("installer", "metrics")
        found.append((pod, installer, metrics))
    assert found
    return found


def _mounts(container: Object) -> dict[str, tuple[str, bool]]:
    return {
        one["name"]: (one["mountPath"], one.get("readOnly", False))
        for one in container["volumeMounts"]
    }


@EACH_OVERLAY
def test_it_is_valid_with_every_overlay(overlay: str, own: dict[str, str]) -> None:
    """All else is as without it, which test_manifests validates."""
    added = ("DaemonSet", "NetworkPolicy")
    found = [one for kind in added for one in rendered.of_kind(own[overlay], kind)]
    assert {one["kind"] for one in found} == {*added}
    for one in found:
        for version in SCHEMAS:
            kubernetes_validate.validate(one, version, strict=True)


@EACH_OVERLAY
def test_it_adds_what_the_guide_lists_and_nothing_else(overlay: str, own: dict[str, str]) -> None:
    wanted = rights.listed("metrics")
    assert len(wanted) == len(rights.listed()) + 2
    assert sorted(rights.asked(own[overlay])) == sorted(wanted)


@EACH_OVERLAY
def test_its_container_has_the_agents_metrics_and_the_state_and_cannot_write(
    overlay: str, own: dict[str, str]
) -> None:
    for pod, installer, metrics in _containers(own[overlay]):
        assert _mounts(metrics) == {
            "metrics": ("/host/metrics", True),
            "state": ("/run/runc-wrap", True),
        }
        assert "metrics" not in _mounts(installer)
        volumes = {one["name"]: one for one in pod["volumes"]}
        file = metrics_file.path(Places(DEFAULT_PREFIX))
        assert Path(volumes["metrics"]["hostPath"]["path"]) == file.parent
        assert not {"env", "envFrom"} & metrics.keys()
        assert metrics["image"] == installer["image"]
        assert metrics["args"] == ["cluster", "metrics"]
        of_command = {one.name: one.default for one in cluster.metrics.params}
        assert metrics["ports"][0]["containerPort"] == of_command["port"]
        for name, option in (("metrics", "file"), ("state", "state")):
            assert str(Path(str(of_command[option])).parent) == _mounts(metrics)[name][0]


@EACH_OVERLAY
def test_the_token_is_the_installers_alone(overlay: str, own: dict[str, str]) -> None:
    """Where it is mounted automatically every container of the pod gets it."""
    for pod, installer, metrics in _containers(own[overlay]):
        assert pod["automountServiceAccountToken"] is False
        assert _mounts(installer)["token"] == (str(api_server.FILES), True)
        (token,) = (one for one in pod["volumes"] if "projected" in one)
        sources = token["projected"]["sources"]
        assert [list(one) for one in sources] == [["serviceAccountToken"], ["configMap"]]
        assert not any(
            str(api_server.FILES).startswith(one) for one, _ in _mounts(metrics).values()
        )


def test_only_the_namespace_for_monitoring_reaches_the_pods(own: dict[str, str]) -> None:
    (policy,) = rendered.of_kind(own["overlays/audit"], "NetworkPolicy")
    labels = {"app.kubernetes.io/name": "runc-wrap"}
    monitoring = {"kubernetes.io/metadata.name": "monitoring"}
    ports = [{"protocol": "TCP", "port": "metrics"}]
    rule = {"from": [{"namespaceSelector": {"matchLabels": monitoring}}], "ports": ports}
    selected = {"podSelector": {"matchLabels": labels}, "policyTypes": ["Ingress"]}
    assert policy["spec"] == {**selected, "ingress": [rule]}
    for one in rendered.of_kind(own["overlays/audit"], "DaemonSet"):
        assert one["spec"]["template"]["metadata"]["labels"] == labels

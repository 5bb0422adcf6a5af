"""The component that lets a Prometheus scrape each node: a container with next to no rights."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import kubernetes_validate
import pytest
import yaml

from runc_wrap.cli import cluster
from runc_wrap.cluster import api_server
from runc_wrap.metrics import metrics_file
from runc_wrap.node.paths import DEFAULT_PREFIX, Places
from tests.kubernetes import rendered, rights
from tests.kubernetes.rendered import DIRECTORY, OVERLAYS
from tests.kubernetes.test_manifests import SCHEMAS

if TYPE_CHECKING:
    from tests.kubernetes.rendered import Object

COMPONENTS = ("metrics", "metrics/podmonitor")
EACH_OVERLAY = pytest.mark.parametrize("overlay", OVERLAYS)


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """An owner's own overlay for each of ours: with the components, and another registry."""
    return {overlay: _with(tmp_path_factory.mktemp("own"), overlay) for overlay in OVERLAYS}


def _with(place: Path, overlay: str) -> str:
    document = {
        "resources": [os.path.relpath(DIRECTORY / overlay, place.resolve())],
        "components": [os.path.relpath(DIRECTORY / one, place.resolve()) for one in COMPONENTS],
        "images": [{"name": "runc-wrap", "newName": "registry.example/runc-wrap"}],
    }
    (place / "kustomization.yaml").write_text(yaml.safe_dump(document))
    return str(place)


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
    assert policy["spec"] == {
        "podSelector": {"matchLabels": labels},
        "policyTypes": ["Ingress"],
        "ingress": [
            {
                "from": [{"namespaceSelector": {"matchLabels": monitoring}}],
                "ports": [{"protocol": "TCP", "port": "metrics"}],
            }
        ],
    }
    for one in rendered.of_kind(own["overlays/audit"], "DaemonSet"):
        assert one["spec"]["template"]["metadata"]["labels"] == labels

"""Every overlay is what the Kubernetes schemas allow, and asks for no more than the docs list."""

from __future__ import annotations

import re
import tomllib
from typing import TYPE_CHECKING

import kubernetes_validate
import pytest

from harness.node.install import SOURCE
from tests.kubernetes import rendered
from tests.kubernetes.rendered import OVERLAYS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.kubernetes.rendered import Object

EACH_OVERLAY = pytest.mark.parametrize("overlay", OVERLAYS)
# The oldest release for which the docs promise anything, and the newest whose schemas there are.
SCHEMAS = ("1.30", "1.34", kubernetes_validate.latest_version())
_GUIDE = SOURCE / "docs" / "kubernetes.md"


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
    assert sorted(_asked(overlay)) == sorted(_listed())


def _listed() -> list[str]:
    """Return the first column of the guide's table of rights."""
    _, _, section = _GUIDE.read_text().partition("\n## Rights\n")
    section = section.partition("\n## ")[0]
    return re.findall(r"^\| `([^`]+)` \|", section, flags=re.MULTILINE)


def _asked(overlay: str) -> set[str]:
    """Return every right in the API, and everything in which its pods are not restricted."""
    found = {right for one in rendered.objects(overlay) for right in _api_rights(one)}
    for daemonset in rendered.of_kind(overlay, "DaemonSet"):
        found |= set(_host_rights(rendered.pod(daemonset)))
    return found


def _api_rights(one: Object) -> Iterator[str]:
    """Yield a line for each verb; a cluster role with a name that is known is not looked into."""
    where = one["metadata"].get("namespace", "all")
    for rule in one.get("rules", ()):
        for resource in rule["resources"]:
            assert not rule.get("nonResourceURLs")
            yield f"{where}: {resource}: {', '.join(rule['verbs'])}"
    if one["kind"].endswith("RoleBinding"):
        assert one["roleRef"]["name"].startswith("runc-wrap-installer"), one


def _host_rights(pod: Object) -> Iterator[str]:
    """Yield a line for each thing that a pod of the level `restricted` would not have."""
    for name in ("hostNetwork", "hostPID", "hostIPC"):
        if pod.get(name):
            yield name
    for volume in pod["volumes"]:
        if "hostPath" in volume:
            yield f"hostPath {volume['hostPath']['path']}"
    assert not pod.get("initContainers")
    for container in pod["containers"]:
        yield from _container_rights(container)


def _container_rights(container: Object) -> Iterator[str]:
    restricted = {
        "privileged": False,
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    found = container["securityContext"]
    for name in sorted({*restricted, *found}):
        if found.get(name) != restricted.get(name):
            yield f"{name} {found.get(name)}"


@EACH_OVERLAY
def test_no_pod_can_be_scheduled_to_a_node_that_is_not_ready(overlay: str) -> None:
    (one,) = rendered.of_kind(overlay, "RuntimeClass")
    assert one["scheduling"]["nodeSelector"] == {"runc-wrap.dev/ready": "true"}
    assert one["handler"] == "runc-wrap"


@EACH_OVERLAY
def test_the_installer_itself_runs_on_the_stock_handler(overlay: str) -> None:
    for one in rendered.of_kind(overlay, "DaemonSet"):
        assert "runtimeClassName" not in rendered.pod(one)


@EACH_OVERLAY
def test_the_image_is_of_the_version_that_this_is(overlay: str) -> None:
    version = tomllib.loads((SOURCE / "pyproject.toml").read_text())["project"]["version"]
    for one in rendered.of_kind(overlay, "DaemonSet"):
        (container,) = rendered.pod(one)["containers"]
        assert container["image"] == f"runc-wrap:{version}"


@EACH_OVERLAY
def test_a_policy_that_changes_is_a_rollout(overlay: str) -> None:
    """The pods name their policy by its digest."""
    policies = {one["metadata"]["name"] for one in rendered.of_kind(overlay, "ConfigMap")}
    named = {
        volume["configMap"]["name"]
        for one in rendered.of_kind(overlay, "DaemonSet")
        for volume in rendered.pod(one)["volumes"]
        if volume["name"] == "policy"
    }
    assert named == policies
    assert all(re.fullmatch(r"runc-wrap-policy(-canary|-rest)?-[a-z0-9]{10}", n) for n in named)


MODES = [
    ("overlays/audit", {"audit"}),
    ("overlays/enforce", {"enforce"}),
    ("overlays/taint", {"enforce"}),
    ("overlays/per-pool", {"enforce", "audit"}),
    ("base", {None}),
]


@pytest.mark.parametrize(("overlay", "modes"), MODES)
def test_each_overlay_brings_the_mode_in_its_name(overlay: str, modes: set[str | None]) -> None:
    policies = [
        tomllib.loads(one["data"]["config.toml"]) for one in rendered.of_kind(overlay, "ConfigMap")
    ]
    assert {one.get("default", {}).get("mode") for one in policies} == modes


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
        labels = one["spec"]["template"]["metadata"]["labels"]
        assert labels["runc-wrap.dev/daemonset"] == name

"""What manifests ask for beyond a pod of the level `restricted`, and what the guide lists."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from harness.node.install import SOURCE
from tests.kubernetes import rendered

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.kubernetes.rendered import Object

_GUIDE = SOURCE / "docs" / "kubernetes.md"


def listed(component: str = "") -> list[str]:
    """Return the first column of the guide's table of rights, and of a component's beneath it."""
    _, _, section = _GUIDE.read_text().partition("\n## Rights\n")
    base, *parts = section.partition("\n## ")[0].split("\n### ")
    texts = [
        base,
        *(text for text in parts if text.startswith(f"With the component `{component}`")),
    ]
    return [
        right for text in texts for right in re.findall(r"^\| `([^`]+)` \|", text, re.MULTILINE)
    ]


def asked(overlay: str) -> set[str]:
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
    for port in container.get("ports", ()):
        assert "hostPort" not in port
        yield f"containerPort {port['containerPort']}"

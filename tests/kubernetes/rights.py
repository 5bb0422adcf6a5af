"""What manifests ask for beyond a pod of the level `restricted`, and what the guide lists."""

import re
from collections.abc import Iterator

from harness.node.install import SOURCE
from tests.kubernetes import rendered
from tests.kubernetes.rendered import Object

_GUIDE = SOURCE / "docs" / "kubernetes.md"
# Of these only roles and DaemonSets ask for anything.
_KINDS = frozenset({
    "ClusterRole", "ClusterRoleBinding", "ConfigMap", "DaemonSet", "Namespace", "NetworkPolicy",
    "PodMonitor", "ResourceQuota", "Role", "RoleBinding", "RuntimeClass", "ServiceAccount",
    "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding",
})  # fmt: skip
_GROUP = "rbac.authorization.k8s.io"
_ACCOUNT = "runc-wrap-installer"
_SUBJECTS = [{"kind": "ServiceAccount", "name": _ACCOUNT, "namespace": "runc-wrap"}]
# What asks for nothing, or is looked into below.
_OF_POD = frozenset({
    "affinity", "automountServiceAccountToken", "containers", "enableServiceLinks", "nodeSelector",
    "priorityClassName", "serviceAccountName", "terminationGracePeriodSeconds", "tolerations",
    "volumes",
})  # fmt: skip
_OF_CONTAINER = frozenset({
    "args", "env", "image", "name", "ports", "readinessProbe", "resources", "securityContext",
    "volumeMounts",
})  # fmt: skip
_OF_MOUNT = frozenset({"mountPath", "name", "readOnly"})
_OF_PORT = frozenset({"containerPort", "name", "protocol"})
_VOLUMES = frozenset({"configMap", "emptyDir", "hostPath", "name", "projected"})
_RESTRICTED = {
    "privileged": False,
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
    "seccompProfile": {"type": "RuntimeDefault"},
}


def listed(component: str = "") -> list[str]:
    """Return the first column of the guide's table of rights, and of a component's beneath it."""
    _, _, section = _GUIDE.read_text().partition("\n## Rights\n")
    base, *parts = section.partition("\n## ")[0].split("\n### ")
    begin, row = f"With the component `{component}`", re.compile(r"^\| `([^`]+)` \|", re.MULTILINE)
    texts = [base, *(text for text in parts if text.startswith(begin))]
    return [right for text in texts for right in row.findall(text)]


def asked(overlay: str) -> set[str]:
    """Return every right in the API, and everything in which its pods are not restricted."""
    return of(rendered.objects(overlay))


def of(objects: list[Object]) -> set[str]:
    """Return what these objects ask for together; what nobody may have is a line, too."""
    roles = {(one["kind"], one["metadata"]["name"]) for one in objects if "rules" in one}
    found = {right for one in objects for right in _api_rights(one)}
    for one in objects:
        if one["kind"] not in _KINDS:
            found.add(f"the kind {one['kind']}")
        if one["kind"].endswith("RoleBinding"):
            found |= set(_bound(one, roles))
        elif one["kind"] == "DaemonSet":
            found |= set(_host_rights(rendered.pod(one)))
    return found


def _api_rights(one: Object) -> Iterator[str]:
    """Yield a line for each resource of a role; it has its group, unless that is the core's."""
    where = one["metadata"].get("namespace", "all")
    for rule in one.get("rules", ()):
        yield from _others(rule, frozenset({"apiGroups", "resources", "verbs"}))
        for group in rule["apiGroups"]:
            for resource in rule["resources"]:
                yield f"{where}: {resource}{group and '.'}{group}: {', '.join(rule['verbs'])}"
    if "aggregationRule" in one:
        yield f"aggregationRule {one['aggregationRule']}"


def _bound(one: Object, roles: set[tuple[str, str]]) -> Iterator[str]:
    """Yield a binding, unless it gives a role that stands beside it to the installer's account."""
    role = one["roleRef"]
    if {**role, "apiGroup": _GROUP} != role or (role["kind"], role["name"]) not in roles:
        yield f"the role {role}"
    if one["subjects"] != _SUBJECTS:
        yield f"a role for {one['subjects']}"


def _host_rights(pod: Object) -> Iterator[str]:
    """Yield a line for each thing that a pod of the level `restricted` would not have."""
    yield from _others(pod, _OF_POD)
    if pod["serviceAccountName"] != _ACCOUNT:
        yield f"serviceAccountName {pod['serviceAccountName']}"
    for volume in pod["volumes"]:
        yield from _others(volume, _VOLUMES)
        if "hostPath" in volume:
            is_writable = any(
                not mount.get("readOnly")
                for container in pod["containers"]
                for mount in container["volumeMounts"]
                if mount["name"] == volume["name"]
            )
            how = "writable" if is_writable else "read-only"
            yield f"hostPath {volume['hostPath']['path']}, {how}"
    for container in pod["containers"]:
        yield from _container_rights(container)


def _container_rights(container: Object) -> Iterator[str]:
    yield from _others(container, _OF_CONTAINER)
    for mount in container["volumeMounts"]:
        yield from _others(mount, _OF_MOUNT)
    found = container["securityContext"]
    for name in sorted({*_RESTRICTED, *found}):
        if found.get(name) != _RESTRICTED.get(name):
            yield f"{name} {found.get(name)}"
    for port in container.get("ports", ()):
        yield from _others(port, _OF_PORT)
        yield f"containerPort {port['containerPort']}"


def _others(found: Object, known: frozenset[str]) -> Iterator[str]:
    for name in sorted(found.keys() - known):
        yield f"{name} {found[name]}"

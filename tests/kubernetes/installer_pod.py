"""The DaemonSet's pod for `podman kube play`, in a box without a kubelet.

The pod's specification is that of a rendered overlay. What is added is what a kubelet would give:

    the token         with its authority in a directory of the node, as a kubelet has it
    the API server    by the variables KUBERNETES_SERVICE_HOST and _PORT
    the node's name   as a value: Podman knows spec.nodeName for no variable
    memory's emptyDir one for the whole pod, but on disk: Podman 5 makes one for each container
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from runc_wrap.cluster import api_server
from tests.kubernetes import rendered
from tests.kubernetes.rendered import Object

CONTAINER = "installer"
_MOUNT = {"name": "token", "mountPath": str(api_server.FILES), "readOnly": True}


@dataclass(frozen=True)
class Given:
    """What a kubelet knows: its node's name, where the API server is, and how a pod asks it.

    `token`: the node's directory with token and ca.crt.
    """

    node: str
    host: str
    port: int
    token: str


def own_overlay(
    place: Path, overlay: str, policy: str | None, components: Sequence[str] = ()
) -> str:
    """Make an overlay as in docs/kubernetes.md: ours, with another policy, and with components."""
    place.mkdir()
    more = {}
    if policy is not None:
        (place / "config.toml").write_text(policy)
        generator = {"name": "runc-wrap-policy", "namespace": "runc-wrap", "behavior": "replace",
                     "files": ["config.toml"]}  # fmt: skip
        more["configMapGenerator"] = [generator]
    return rendered.own(place, overlay, components=components, **more)


def documents(overlay: str, name: str, given: Given) -> str:
    """Return the pod of an overlay's DaemonSet by this name, and what its volumes are made of.

    `overlay`: as rendered.objects has it, or an absolute path.
    """
    (daemonset,) = rendered.of_kind(overlay, "DaemonSet")
    pod = _with_what_a_kubelet_gives(rendered.pod(daemonset), given)
    metadata = {"name": name, "labels": daemonset["spec"]["template"]["metadata"]["labels"]}
    whole = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": pod}
    return str(yaml.safe_dump_all([*rendered.of_kind(overlay, "ConfigMap"), whole]))


def _with_what_a_kubelet_gives(pod: Object, given: Given) -> Object:
    container = pod["containers"][0]
    assert container["name"] == CONTAINER
    names = {"NODE_NAME": given.node, "KUBERNETES_SERVICE_HOST": given.host,
             "KUBERNETES_SERVICE_PORT": str(given.port)}  # fmt: skip
    others = [one for one in container["env"] if one["name"] not in names]
    assert len(others) == len(container["env"]) - 1
    for one in pod["containers"]:
        del one["resources"]  # cgroups may have no controllers
        one.pop("ports", None)  # Podman maps none where a pod has the machine's own network
    container["env"] = [*others, *({"name": n, "value": value} for n, value in names.items())]
    if pod["automountServiceAccountToken"]:
        container["volumeMounts"].append(_MOUNT)
    assert [_MOUNT in one["volumeMounts"] for one in pod["containers"]].count(True) == 1
    directory = {"path": given.token, "type": "Directory"}
    volumes = [one for one in pod["volumes"] if "projected" not in one]
    for one in volumes:
        if "emptyDir" in one:
            one["emptyDir"] = {}
    pod["volumes"] = [*volumes, {"name": _MOUNT["name"], "hostPath": directory}]
    return pod

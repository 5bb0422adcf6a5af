"""The calls of Kubernetes' CRI (runtime.v1) that a transaction needs, as the kubelet makes them.

A pod with the host's network needs no CNI plugin; its sandbox is a container that the engine starts
through the pod's handler, from an image that each node with pods has. Field numbers:
k8s.io/cri-api/pkg/apis/runtime/v1/api.proto.
"""

import json
import uuid
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from runc_wrap.engines.cri import grpc_call
from runc_wrap.engines.cri.protobuf_wire import fields, inner, message, text, texts
from runc_wrap.engines.handler import CallFailed
from runc_wrap.engines.probe_container import COMMAND, OWNER, Probe
from runc_wrap.host import engine_names

_OF_NAMESPACE = "io.kubernetes.pod.namespace"  # kubernetes:pkg/kubelet/kuberuntime/labels.go
NAMESPACE = "runc-wrap"
LABEL = "runc-wrap/"  # with the pod's name, what it is for; its value is whose
_RUNTIME, _IMAGE = "/runtime.v1.RuntimeService", "/runtime.v1.ImageService"
_SHORT, _STARTING, _LONG = 10.0, 20.0, 60.0  # seconds
_NODE, _UNCONFINED = 2, 1  # NamespaceMode, ProfileType
_NOT_FOUND = 5
_OF_CONTAINERD = engine_names.CONTAINERD.name  # a section of its configuration
_RUNTIME_DEFAULT = b""  # a SecurityProfile whose fields all have their default
_SLICE = "system.slice"  # each systemd has it


def version(socket: Path) -> str:
    """Return the engine's version, which answers only when it serves CRI. Raises CallFailed."""
    return text(_asked(socket, "Version"), 3)


def _asked(
    socket: Path, method: str, request: bytes = b"", seconds: float = _SHORT
) -> dict[int, list[int | bytes]]:
    """Return the fields of the runtime service's answer. Raises CallFailed."""
    return fields(grpc_call.call(socket, f"{_RUNTIME}/{method}", request, seconds))


def handlers(socket: Path) -> dict[str, str | None]:
    """Return {handler that the running engine has: its runtime's path, None if it tells none}.

    containerd tells the paths in its verbose status ("": its own choice); CRI-O, from 1.30 on, only
    the names. Raises CallFailed.
    """
    answer = _verbose_status(socket)
    named: dict[str, str | None] = {text(one, 1): None for one in inner(answer, 3) if text(one, 1)}
    return named | paths_in(_configured(answer))


def default_handler(socket: Path) -> str | None:
    """Return the handler of pods that name none; None from CRI-O, which does not tell it.

    Raises CallFailed.
    """
    named = _configured(_verbose_status(socket)).get("defaultRuntimeName")
    return str(named) if named else None


def _verbose_status(socket: Path) -> dict[int, list[int | bytes]]:
    return _asked(socket, "Status", message({1: 1}))


def _configured(answer: dict[int, list[int | bytes]]) -> dict[str, Any]:
    """Return what containerd tells of its own configuration, {} of another engine."""
    try:
        found = json.loads(texts(answer, 2).get("config", ""))[_OF_CONTAINERD]
    except (ValueError, LookupError, TypeError):
        return {}
    return found if isinstance(found, dict) else {}


def paths_in(configured: dict[str, Any]) -> dict[str, str | None]:
    """Return {handler: path} of what containerd tells of its configuration."""
    try:
        return {str(name): _path(one) for name, one in configured["runtimes"].items()}
    except (LookupError, TypeError, AttributeError):
        return {}


def _path(runtime: Any) -> str | None:  # noqa: ANN401 - any JSON value
    """Return a runtime's path; without one containerd calls the runc that it finds."""
    options = runtime.get("options") or {}
    path = options.get("BinaryName") or runtime.get("runtimePath")
    return str(path) if path else "" if "options" in runtime else None


def is_ready(socket: Path) -> str:
    """Return "" if the engine can run pods, otherwise its reason. Raises CallFailed."""
    answer = _asked(socket, "Status")
    for condition in (each for status in inner(answer, 1) for each in inner(status, 1)):
        if text(condition, 1) == "RuntimeReady" and not condition.get(2, [0])[-1]:
            return text(condition, 4) or text(condition, 3) or "its runtime is not ready"
    return ""


def has_image(socket: Path, name: str) -> bool:
    """Tell whether the engine has an image. Raises CallFailed."""
    request = message({1: message({1: name})})
    return 1 in fields(grpc_call.call(socket, f"{_IMAGE}/ImageStatus", request, _SHORT))


def start_pod(socket: Path, handler: str, name: str) -> tuple[str, bytes]:
    """Start a pod without a seccomp profile through a handler ("": the default).

    Return its id, and the message that each of its containers repeats. Raises CallFailed.
    """
    parent = cgroup_parent(_configured(_verbose_status(socket)), handler)
    config = _pod(str(uuid.uuid4()), parent, name)
    answer = _asked(socket, "RunPodSandbox", message({1: config, 2: handler}), _LONG)
    return text(answer, 1), config


def cgroup_parent(configured: dict[str, Any], handler: str) -> str:
    """Return the parent cgroup of a handler's pods; "" leaves it to the engine.

    With SystemdCgroup containerd passes a path that no runtime takes, unless its parent is a slice
    (containerd:internal/cri/server/helpers.go, getCgroupsPath). CRI-O has a parent of its own.
    """
    try:
        name = handler or configured["defaultRuntimeName"]
        is_systemds = configured["runtimes"][name]["options"]["SystemdCgroup"]
    except (LookupError, TypeError):
        return ""
    return _SLICE if is_systemds is True else ""


def _pod(uid: str, parent: str, name: str) -> bytes:
    metadata = message({1: f"{name}-{uid[:8]}", 2: uid, 3: NAMESPACE})
    security = message({1: message({1: _NODE}), 9: message({1: _UNCONFINED})})
    labels = {
        f"{LABEL}{name}": OWNER,
        "io.kubernetes.pod.name": f"{name}-{uid[:8]}",
        _OF_NAMESPACE: NAMESPACE,
        "io.kubernetes.pod.uid": uid,
    }
    return message({1: metadata, 6: labels, 8: message({1: parent, 2: security})})


def start_container(socket: Path, pod: tuple[str, bytes], probe: Probe, image: str) -> None:
    """Have a container with the engine's own default profile created in a pod, and started.

    What it has otherwise is what the kubelet sends for one without settings. It is not waited for.
    CRI-O calls the runtime to create it first. Raises CallFailed, also if the runtime refuses it.
    """
    id_, config = pod
    asked = message({1: id_, 2: _container(probe, image), 3: config})
    answer = _asked(socket, "CreateContainer", asked, _STARTING)
    grpc_call.call(socket, f"{_RUNTIME}/StartContainer", message({1: text(answer, 1)}), _STARTING)


def _container(probe: Probe, image: str) -> bytes:
    # The second is what the pod says, by which CRI-O judges the image if it has a policy for them.
    name, of = message({1: probe.purpose}), message({1: image, 18: image})
    named = (message({1: name, 2: value}) for name, value in probe.variables.items())
    variables = _repeated(6, named)
    added = (name.removeprefix("CAP_") for name in sorted(probe.caps))
    exactly = _repeated(1, added) + message({2: "ALL"})  # dropped first, by every engine
    security = message({1: exactly, 15: _RUNTIME_DEFAULT})
    head = message({1: name, 2: of, 3: COMMAND})
    return head + variables + message({15: message({2: security})})


def _repeated(number: int, values: Iterable[str | bytes]) -> bytes:
    return b"".join(message({number: value}) for value in values)


def pods(socket: Path, name: str) -> list[str]:
    """Return the ids of every pod of this name that `start_pod` started. Raises CallFailed.

    Any pod's author can write our label, but not the namespace's, which kubelets write last.
    """
    ours = {f"{LABEL}{name}": OWNER, _OF_NAMESPACE: NAMESPACE}
    listed = _asked(socket, "ListPodSandbox", message({1: message({3: ours})}))
    return [text(one, 1) for one in inner(listed, 1)]


def handlers_of_pods(socket: Path) -> dict[str, str]:
    """Return {id of a pod: the handler that it was started with}; of CRI-O's "".

    Raises CallFailed.
    """
    listed = _asked(socket, "ListPodSandbox", seconds=_LONG)
    return {text(one, 1): text(one, 7) for one in inner(listed, 1)}


def remove_pods(socket: Path, name: str) -> None:
    """Remove them. Raises CallFailed."""
    for pod in pods(socket, name):
        for method in ("StopPodSandbox", "RemovePodSandbox"):
            try:
                grpc_call.call(socket, f"{_RUNTIME}/{method}", message({1: pod}), _LONG)
            except CallFailed as failure:  # a kubelet may have removed it meanwhile
                if failure.code != _NOT_FOUND:
                    raise

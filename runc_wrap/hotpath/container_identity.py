"""Which engine calls, and the container's names, from the command line and the config.

The command line comes first: under containerd and Docker a user can write any annotation.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runc_wrap.hotpath.argv import Invocation

    Annotations = dict[str, str]

UNKNOWN = "unknown"

_SHIM_DIRECTORY = (
    "io.containerd.runtime.v2.task"  # containerd:runtime/v2/manager.go, all of 1.x, 2.x
)
_CRI_NAMESPACE = "k8s.io"  # containerd:pkg/cri/constants; only its CRI plugin creates there
_MANAGERS = {"cri-o": "crio", "libpod": "podman"}  # io.container.manager

# containerd:pkg/cri/annotations, written after the pod's own annotations; container and image not
# for sandboxes, so that the pod's author may set a sandbox's
_OF_CONTAINERD = {
    "namespace": "io.kubernetes.cri.sandbox-namespace",
    "pod": "io.kubernetes.cri.sandbox-name",
    "container": "io.kubernetes.cri.container-name",
    "image": "io.kubernetes.cri.image-name",
}
_CRI_TYPE = "io.kubernetes.cri.container-type"  # "container" or "sandbox"
_CRI_SANDBOX = "io.kubernetes.cri.sandbox-id"
# cri-o:server/container_create.go, labels written last. For a sandbox, CRI-O writes everything but
# the labels before the pod's annotations (cri-o:server/sandbox_run_linux.go)
_OF_CRIO = {
    "namespace": "io.kubernetes.pod.namespace",
    "pod": "io.kubernetes.pod.name",
    "container": "io.kubernetes.container.name",
    "image": "io.kubernetes.cri-o.ImageName",
}
_CRIO_SANDBOX = "POD"  # a CRI-O sandbox's container name; no container in Kubernetes can have it
_OF_PODS = ("namespace", "pod")
# containers/storage's directory of one driver's containers (storage:containers.go), in it the one
# for a container's own files, in that conmon's file (cri-o:internal/oci/runtime_oci.go)
_STORAGE = "-containers"


class Identity:
    """A container's names; those that are unknown, or that its pod could forge, are None.

    `engine` is its name in host/engine_names, or UNKNOWN; `handler` the name by which the runtime
    was called.
    `sandbox` is the id of its pod's sandbox if the engine gives containers the pod's present
    annotations, which may differ from the sandbox's; otherwise None. containerd does so; CRI-O's
    containers get those with which their sandbox was made.
    """

    def __init__(self, engine: str, handler: str, container_id: str, named: "Annotations") -> None:
        self.engine = engine
        self.handler = handler
        self.id = container_id
        self.namespace = named.get("namespace")
        self.pod = named.get("pod")
        self.container = named.get("container")
        self.image = named.get("image")
        self.sandbox = named.get("sandbox")


def identify(
    invocation: "Invocation", annotations: "Annotations", called_as: str, only: str = ""
) -> Identity:
    """Return the identity of the new container; `called_as` is the path that the engine called.

    A user of Podman could write CRI-O's annotations: a pod's names count only if the paths are
    CRI-O's, too, or if the node's owner states that CRI-O is its `only` engine.
    """
    calling = engine(invocation, annotations, only)
    keys: dict[str, str] = {}  # that the engine has written
    if calling == "containerd" and _shim_namespace(invocation) == _CRI_NAMESPACE:
        keys = {**_OF_CONTAINERD, "sandbox": _CRI_SANDBOX}
        if annotations.get(_CRI_TYPE) != "container":  # `ctr` can use that namespace, too
            keys = {name: keys[name] for name in _OF_PODS}
    elif calling == "crio" and (only == "crio" or _has_crios_paths(invocation)):
        of_sandbox = annotations.get(_OF_CRIO["container"]) == _CRIO_SANDBOX
        keys = {name: _OF_CRIO[name] for name in (_OF_PODS if of_sandbox else _OF_CRIO)}
    named = {name: annotations[key] for name, key in keys.items() if key in annotations}
    return Identity(calling, called_as.rpartition("/")[2], invocation.id, named)


def is_sandbox(annotations: "Annotations", sandbox: str) -> bool:
    """Return whether containerd's CRI plugin wrote these annotations for the sandbox of this id."""
    return annotations.get(_CRI_TYPE) == "sandbox" and annotations.get(_CRI_SANDBOX) == sandbox


def engine(invocation: "Invocation", annotations: "Annotations", only: str = "") -> str:
    """Return the engine's name, or UNKNOWN.

    A pod's author can claim another manager for a CRI-O sandbox, unless CRI-O is the `only` engine.
    """
    namespace = _shim_namespace(invocation)
    if namespace:
        return "docker" if namespace == "moby" else "containerd"
    if invocation.id == f"buildah-{_parts(invocation)[-1]}":  # buildah:run_common.go
        return "buildah"
    if only == "crio":
        return only
    return _MANAGERS.get(annotations.get("io.container.manager", ""), UNKNOWN)


def _shim_namespace(invocation: "Invocation") -> str:
    """Return containerd's namespace from <state>/<shim directory>/<namespace>/<id>, else ""."""
    parts = _parts(invocation)
    return parts[-2] if parts[-3:-2] == [_SHIM_DIRECTORY] else ""


def _has_crios_paths(invocation: "Invocation") -> bool:
    """Return whether bundle and pid file lie as CRI-O places them, and Podman does not.

        <runroot>/<driver>-containers/<id>/userdata         CRI-O's bundle, since 1.24 at least
        <runroot>/<driver>-containers/<id>/userdata/pidfile its pid file, and Podman's
        <root>/<driver>-containers/<id>/userdata            Podman's bundle

    Who writes a container's annotations does not choose the paths: only who calls Podman could make
    root and runroot one directory, and is root already (cri-o:internal/oci/runtime_oci.go,
    podman:libpod/oci_conmon_common.go). conmon-rs places them as CRI-O does.
    """
    place = _parts(invocation)
    in_storage = place[-3:-2] and place[-3].endswith(_STORAGE)
    own = bool(in_storage) and place[-2:] == [invocation.id, "userdata"]
    return own and invocation.pid_file == f"{'/'.join(place)}/pidfile"


def _parts(invocation: "Invocation") -> "list[str]":
    return invocation.bundle.rstrip("/").split("/")


def container_name(annotations: "Annotations") -> str:
    """Return the container's name in its pod, "" outside Kubernetes and for containerd's sandbox.

    Use it only to find the annotation for this container: a user who could forge the name could
    also write the annotation.
    """
    if annotations.get(_CRI_TYPE) == "sandbox":
        return ""
    keys = (_OF_CONTAINERD["container"], _OF_CRIO["container"])
    return next((annotations[key] for key in keys if key in annotations), "")

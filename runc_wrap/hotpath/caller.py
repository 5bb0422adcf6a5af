"""Which engine calls, and whose container it is: told by the command line and the config. Pure.

The command line comes first: under containerd and Docker a user can write any annotation.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runc_wrap.hotpath.argv import Invocation

ENGINES = ("containerd", "docker", "crio", "podman", "buildah")
UNKNOWN = "unknown"

_SHIM_DIRECTORY = (
    "io.containerd.runtime.v2.task"  # containerd:runtime/v2/manager.go, all of 1.x, 2.x
)
_MANAGERS = {"cri-o": "crio", "libpod": "podman"}  # io.container.manager
_CONTAINER_NAMES = ("io.kubernetes.cri.container-name", "io.kubernetes.container.name")


def engine(invocation: "Invocation", annotations: "dict[str, str]") -> str:
    """Return one of ENGINES, or UNKNOWN."""
    parts = invocation.bundle.rstrip("/").split("/")
    if parts[-3:-2] == [_SHIM_DIRECTORY]:  # <state>/<shim directory>/<namespace>/<id>
        return "docker" if parts[-2] == "moby" else "containerd"
    if invocation.id == f"buildah-{parts[-1]}":  # buildah:run_common.go
        return "buildah"
    manager = annotations.get("io.container.manager", "")
    return _MANAGERS.get(manager) or ("containerd" if _is_cri(annotations) else UNKNOWN)


def _is_cri(annotations: "dict[str, str]") -> bool:
    return "io.kubernetes.cri.container-type" in annotations


def container_name(annotations: "dict[str, str]") -> str:
    """Return the container's name in its pod, "" outside Kubernetes and for a sandbox."""
    return next((annotations[key] for key in _CONTAINER_NAMES if key in annotations), "")

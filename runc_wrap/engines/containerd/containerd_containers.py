"""containerd's containers that need a handler, by its name or by its path.

A pod's containers are started again by the handler's name. A task needs the path, because its shim
has that in <bundle>/runtime. Sources: containerd cmd/containerd-shim-runc-v2/runc/container.go
(WriteRuntime) and internal/cri/server.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from runc_wrap.engines.containerd import distributions
from runc_wrap.engines.cri import cri_runtime
from runc_wrap.engines.dependent_container import Dependent, Unknown, leads_to
from runc_wrap.engines.handler import CallFailed
from runc_wrap.host import engine_names, files

if TYPE_CHECKING:
    from collections.abc import Iterator

STATE = Path("/run/containerd")
_STATES = (
    *(str(STATE), "/run/docker/containerd/daemon", "/run/k3s/containerd"),
    *(each.state for each in distributions.ALL if each.state),
)
_NAME = engine_names.CONTAINERD.name
_CRI_NAMESPACE = "k8s.io"
_TASKS = "io.containerd.runtime.v2.task"
_RUNTIME_FILE = "runtime"  # in a task's bundle
_LONGEST_PATH = 4096
_NO_CRI = 12  # gRPC's UNIMPLEMENTED: the plugin is off


def needing(state: Path, socket: Path, path: Path) -> Iterator[Dependent]:
    """Yield the pods that need a handler's name, running or not. Raises Unknown."""
    yield from (one for _, one in _tasks(state, _CRI_NAMESPACE, path))
    try:
        pods = cri_runtime.handlers_of_pods(socket)
    except CallFailed as failure:
        if failure.code == _NO_CRI:
            return
        raise Unknown(f"containerd does not show its pods: {failure}") from None
    for pod, handler in pods.items():
        if handler == path.name:
            yield Dependent(_NAME, f"{_CRI_NAMESPACE}/{pod}")


def calling(path: Path) -> Iterator[tuple[str, Dependent]]:
    """Yield (id, task) of each whose shim calls the path."""
    for state in _STATES:
        yield from _tasks(Path(state), "*", path)


def _tasks(state: Path, namespace: str, path: Path) -> Iterator[tuple[str, Dependent]]:
    for file in state.glob(f"{_TASKS}/{namespace}/*/{_RUNTIME_FILE}"):
        if _is_called(file, path):
            bundle = file.parent
            named = f"{bundle.parent.name}/{bundle.name}"
            yield bundle.name, Dependent(_NAME, named, "running")


def _is_called(file: Path, path: Path) -> bool:
    try:
        named = files.read(file, _LONGEST_PATH).decode()
    except (OSError, ValueError):
        return False
    return named.startswith("/") and leads_to(named, path)

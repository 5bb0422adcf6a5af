"""containerd's containers that need a handler, by its name or by its path.

A pod's containers are started again by the handler's name. A task needs the path, because its shim
has that in <bundle>/runtime. Sources: containerd cmd/containerd-shim-runc-v2/runc/container.go
(WriteRuntime) and internal/cri/server.
"""

from __future__ import annotations

import base64
import contextlib
import json
import socket
import time
from pathlib import Path
from typing import TYPE_CHECKING

from runc_wrap.engines.containerd import distributions
from runc_wrap.engines.dependent import Dependent, Unknown, leads_to
from runc_wrap.host import engine_names, files, program

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
_CONNECTING = 10.0  # seconds to wait for room in a listener's queue
_PODS_SECONDS = 60.0  # for all pods together; each takes a command
_SANDBOX = "io.cri-containerd.sandbox.metadata"


def needing(state: Path, address: Path, binary: Path | None, path: Path) -> Iterator[Dependent]:
    """Yield the pods that need a handler's name, and their tasks. Raises Unknown."""
    yield from (one for _, one in _tasks(state, _CRI_NAMESPACE, path))
    for sandbox, handler in _sandboxes(str(address), _ctr(binary)):
        if handler == path.name:
            yield Dependent(_NAME, f"{_CRI_NAMESPACE}/{sandbox}")


def calling(path: Path) -> Iterator[tuple[str, Dependent]]:
    """Yield (id, task) of each whose shim calls the path."""
    for state in _STATES:
        yield from _tasks(Path(state), "*", path)


def _ctr(binary: Path | None) -> str:
    """Return the `ctr` beside a containerd, which a distribution brings along; else the node's."""
    beside = binary.with_name("ctr") if binary else None
    return str(beside) if beside and program.locate(str(beside)) else "ctr"


def _sandboxes(address: str, ctr: str) -> Iterator[tuple[str, str]]:
    """Yield the ids of CRI's pods, running or not, and the handlers that they were started with.

    A containerd that does not run tells none; its tasks are found by their bundles. Raises Unknown
    if one that runs tells none, or takes too long.
    """
    if _is_off(address):
        return
    words = ("--address", address, "--namespace", _CRI_NAMESPACE, "containers")
    kind = 'labels."io.cri-containerd.kind"==sandbox'
    until = time.monotonic() + _PODS_SECONDS
    listed = program.output(ctr, *words, "list", "--quiet", kind)
    if listed is None:
        raise Unknown("containerd runs, and `ctr` does not show its pods")
    for name in listed.split():
        if time.monotonic() > until:
            raise Unknown(f"containerd took more than {_PODS_SECONDS:g} s to show its pods")
        with contextlib.suppress(ValueError, KeyError, TypeError):
            told = json.loads(program.output(ctr, *words, "info", name) or "null")
            metadata = base64.b64decode(told["Extensions"][_SANDBOX]["value"])
            yield name, json.loads(metadata)["Metadata"]["RuntimeHandler"]


def _is_off(address: str) -> bool:
    """Tell whether nothing listens there, which `ctr` says only after ten seconds."""
    with socket.socket(socket.AF_UNIX) as asking:
        asking.settimeout(_CONNECTING)
        try:
            asking.connect(address)
        except (FileNotFoundError, ConnectionRefusedError):
            return True
        except OSError:  # it may be there, and slow
            return False
    return False


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

"""The containers that need a handler: their engine calls it to stop, enter, restart or delete them.

Some need its name in the engine's configuration, some its path:

    docker      name: each container with that runtime, also a stopped one, which is started by it
                path: each running one, as for containerd
    podman      name or path, as the container was started: each container with that runtime
    crio        name: each pod, whose containers it stops and starts by the handler's name; and each
                container of the ledger, as a pod's own annotation may hide the name in its files
    containerd  name: the pods of CRI, whose containers are started again by the handler's name
                path: each task, because its shim has the path in <bundle>/runtime
    any other   path: each container in the ledger whose runtime has not deleted it

Sources: moby daemon/start_unix.go; containers/podman libpod/oci_conmon_common.go; containerd
cmd/containerd-shim-runc-v2/runc/container.go (WriteRuntime) and internal/cri/server; cri-o
internal/oci/oci.go (RuntimeImpl), internal/annotations and server/sandbox_run_linux.go.
"""

from __future__ import annotations

import base64
import contextlib
import json
import socket
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runc_wrap.engines import (
    client_inspect,
    crio_config,
    engine_query,
    podman_containers,
)
from runc_wrap.engines.containerd import distributions
from runc_wrap.engines.dependent import Dependent, Unknown, leads_to
from runc_wrap.engines.handler import EngineError
from runc_wrap.engines.kinds import containerd_kind
from runc_wrap.host import files, program, runtime_state
from runc_wrap.hotpath.identity import UNKNOWN
from runc_wrap.ledger import reader
from runc_wrap.node.paths import Places

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

CRI_NAMESPACE = "k8s.io"
_STATES = (
    *("/run/containerd", "/run/docker/containerd/daemon", "/run/k3s/containerd"),
    *(each.state for each in distributions.ALL if each.state),
)
_TASKS = "io.containerd.runtime.v2.task"
_RUNTIME_FILE = "runtime"  # in a task's bundle
_LONGEST_PATH = 4096
_DOCKER_ROOT = "/var/lib/docker"  # if its file names none
_LARGEST = 1 << 20  # bytes of a container's file in Docker's data root
_NO_DOCKER = "the Docker daemon does not answer"
_CRIO_HANDLER = "io.kubernetes.cri-o.RuntimeHandler"
_OF_CRIO = "CRI-O's pods are known by their files"
_MAY_BE_CRIO = ("crio", UNKNOWN)
_CRIO_SANDBOX = "io.kubernetes.cri-o.SandboxID"
_CONNECTING = 10.0  # seconds to wait for room in a listener's queue
_PODS_SECONDS = 60.0  # for all of CRI's pods together; each takes a command
_SANDBOX = "io.cri-containerd.sandbox.metadata"


def by_name(engine: str, config: Path, path: Path) -> list[Dependent]:
    """Return the containers that need the name of a handler in this configuration.

    `path` is the handler's own, PREFIX/bin/HANDLER. Raises Unknown.
    """
    return _once(_BY_NAME[engine](config, path))


def by_path(places: Places, handler: str) -> list[Dependent]:
    """Return the containers for which the path PREFIX/bin/HANDLER is called.

    Raises OSError for a ledger that cannot be read, and Unknown.
    """
    return _once(_by_path(places, handler))


def _by_path(places: Places, handler: str) -> Iterator[Dependent]:
    path = places.wrapper.with_name(handler)
    for state in _STATES:
        yield from _tasks(Path(state), "*", path)
    podmans = podman_containers.by_path(path)
    yield from podmans.values()
    yield from (one for one in _in_ledger(places, handler) if one.name not in podmans)


def of_users(handler: str) -> list[Dependent]:
    """Return the containers that users started by their own Podman through a handler."""
    return _once(podman_containers.of_users(handler))


def _once(found: Iterable[Dependent]) -> list[Dependent]:
    """Return each container once, with its state if any source has it.

    Raises Unknown only without any: what is found is certain, whatever is not known beside it.
    """
    known: list[Dependent] = []
    try:
        known.extend(found)
    except Unknown:
        if not known:
            raise
    by_name = {(one.engine, one.name): one for one in sorted(known)}
    return sorted(by_name.values())


def _docker(config: Path, path: Path) -> Iterator[Dependent]:
    rows = client_inspect.inspected("docker", "HostConfig.Runtime", "State.Status", "Name")
    for runtime, state, name in _docker_files(config) if rows is None else rows:
        if runtime == path.name:
            yield Dependent("docker", name.removeprefix("/"), state)


def _docker_files(config: Path) -> Iterator[tuple[str, str, str]]:
    """Yield what a daemon that does not run would show."""
    root = Path(str(_object(config).get("data-root", _DOCKER_ROOT))) / "containers"
    if not root.is_dir():
        if program.locate("dockerd"):
            raise Unknown(f"the Docker daemon does not answer, and there is no {root}")
        return
    for directory in sorted(root.iterdir()):
        runtime = _object(directory / "hostconfig.json").get("Runtime")
        yield str(runtime), "", _docker_name(directory)


def _docker_name(directory: Path) -> str:
    with contextlib.suppress(Unknown):  # it grows with labels and the log of health checks
        return str(_object(directory / "config.v2.json").get("Name", directory.name))
    return directory.name


def _object(path: Path, because: str = _NO_DOCKER) -> dict[str, Any]:
    """Return a file's object, {} if there is no file. Raises Unknown for anything else."""
    try:
        found = json.loads(files.read(path, _LARGEST, follows=True) or b"{}")
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        raise Unknown(f"{because}, and {path}: {error.strerror}") from None
    except ValueError as error:  # too large, irregular, not JSON
        raise Unknown(f"{because}, and {path}: {error}") from None
    if not isinstance(found, dict):
        raise Unknown(f"{because}, and {path} is not a JSON object")
    return found


def _podman(_config: Path, path: Path) -> Iterator[Dependent]:
    yield from podman_containers.by_name(path)


def _containerd(config: Path, path: Path) -> Iterator[Dependent]:
    document = engine_query.dump(config) or {}
    found = engine_query.installation("containerd", config)
    yield from _tasks(containerd_kind.state_of(found, document), CRI_NAMESPACE, path)
    address = str(containerd_kind.answers_at(found, document))
    for sandbox, handler in _sandboxes(address, _ctr(found.binary)):
        if handler == path.name:
            yield Dependent("containerd", f"{CRI_NAMESPACE}/{sandbox}")


def _ctr(binary: Path | None) -> str:
    """Return the `ctr` beside a containerd, which a distribution brings along; else the node's."""
    beside = binary.with_name("ctr") if binary else None
    return str(beside) if beside and program.locate(str(beside)) else "ctr"


def _crio(config: Path, path: Path) -> Iterator[Dependent]:
    """Yield the pods that CRI-O has, running or not, and what our launcher has started of them."""
    try:
        started = [*_in_ledger(Places(path.parent.parent), path.name)]
    except OSError as error:
        yield from _crio_files(config, path)
        raise Unknown(f"{_OF_CRIO} and by the ledger: {error}") from None
    yield from (one for one in started if one.engine in _MAY_BE_CRIO)
    yield from _crio_files(config, path)


def _crio_files(config: Path, path: Path) -> Iterator[Dependent]:
    """Yield the pods by the config.json that CRI-O keeps of each."""
    try:
        place = crio_config.storage(config)
    except (EngineError, OSError) as error:
        raise Unknown(f"{_OF_CRIO}, and where they are is not known: {error}") from None
    doubt = None  # of one file, which its pod's author may have made: the others are read, too
    for file in place.glob("*-containers/*/userdata/config.json"):
        try:
            written = _object(file, _OF_CRIO).get("annotations")
        except Unknown as unknown:
            doubt = unknown
            continue
        notes = written if isinstance(written, dict) else {}
        if notes.get(_CRIO_HANDLER) == path.name:
            yield Dependent("crio", str(notes.get(_CRIO_SANDBOX) or file.parent.parent.name))
    if doubt:
        raise doubt


def _sandboxes(address: str, ctr: str) -> Iterator[tuple[str, str]]:
    """Yield the ids of CRI's pods, running or not, and the handlers that they were started with.

    A containerd that does not run tells none; its tasks are found by their bundles. Raises Unknown
    if one that runs tells none, or takes too long.
    """
    if _is_off(address):
        return
    words = ("--address", address, "--namespace", CRI_NAMESPACE, "containers")
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


def _tasks(state: Path, namespace: str, path: Path) -> Iterator[Dependent]:
    for file in state.glob(f"{_TASKS}/{namespace}/*/{_RUNTIME_FILE}"):
        if _is_called(file, path):
            bundle = file.parent
            yield Dependent("containerd", f"{bundle.parent.name}/{bundle.name}", "running")


def _is_called(file: Path, path: Path) -> bool:
    try:
        named = files.read(file, _LONGEST_PATH).decode()
    except (OSError, ValueError):
        return False
    return named.startswith("/") and leads_to(named, path)


def _in_ledger(places: Places, handler: str) -> Iterator[Dependent]:
    for key, record in reader.read(places.ledger).records.items():
        if record.handler == handler and runtime_state.directory(key):
            yield Dependent(record.engine or "", record.id)


_BY_NAME: dict[str, Callable[[Path, Path], Iterator[Dependent]]] = {
    "containerd": _containerd,
    "crio": _crio,
    "docker": _docker,
    "podman": _podman,
}

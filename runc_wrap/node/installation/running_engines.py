"""Which engines run now and have a path of ours in memory.

A process counts as containerd by its program or by its socket, never by its name: any process may
take that name, in a container as well.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from runc_wrap.host import procfs, program, socket_peers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SOCKETS = (  # only root can listen there
    "/run/containerd/containerd.sock",
    "/run/docker/containerd/containerd.sock",
    "/run/k3s/containerd/containerd.sock",
    "/run/k0s/containerd.sock",
    "/var/snap/microk8s/common/run/containerd.sock",
)
CRIO_SOCKET = "/run/crio/crio.sock"
_REPLACED = " (deleted)"  # proc(5): the program's file was removed, as an upgrade does


def has_older_containerd(since: float) -> bool:
    """Tell whether a containerd runs that was started before, in seconds since the epoch."""
    return any(_created(pid) < since for pid in containerds())


def has_older_crio(since: float) -> bool:
    """Tell whether a CRI-O answers that was started before, in seconds since the epoch."""
    pid = socket_peers.listener(CRIO_SOCKET)
    return bool(pid) and _is_roots(pid) and _created(pid) < since


def containerds() -> set[int]:
    """Return the processes of root that run the installed containerd, or serve its socket."""
    serving = {pid for address in SOCKETS if (pid := socket_peers.listener(address))}
    return {pid for pid in (serving | set(_by_program())) if _is_roots(pid)}


def _by_program() -> Iterator[int]:
    path = program.locate("containerd")
    if path is None:
        return
    installed = path.stat()
    replaced = f"{path.resolve()}{_REPLACED}"
    own = procfs.namespace_inode("self", "mnt")
    for pid in procfs.pids():
        if _is_same(f"/proc/{pid}/exe", installed):
            yield pid
        elif procfs.program(pid) == replaced and procfs.namespace_inode(pid, "mnt") == own:
            yield pid  # in another mount namespace, that path is another file's


def _is_same(link: str, installed: os.stat_result) -> bool:
    try:
        return os.path.samestat(Path(link).stat(), installed)
    except OSError:
        return False


def _is_roots(pid: int) -> bool:
    try:
        return psutil.Process(pid).uids().real == 0
    except psutil.Error:
        return False


def _created(pid: int) -> float:
    age = procfs.age(pid)
    return float("inf") if age is None else time.time() - age


def docker_has(path: str) -> bool:
    """Tell whether a Docker daemon that runs calls this path, also if it does not say clearly."""
    told = program.output("docker", "info", "--format", "{{json .Runtimes}}")
    try:
        runtimes = json.loads((told or "").strip() or "null") or {}
        return any(one.get("path") == path for one in runtimes.values())
    except (ValueError, AttributeError):
        return True


OLDER: dict[str, Callable[[float], bool]] = {
    "containerd": has_older_containerd,
    "crio": has_older_crio,
}

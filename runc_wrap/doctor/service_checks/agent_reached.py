"""Whether the engines' creates reach the agent that runs.

It decides only if the bundle's path names the same file to it and to the launcher: another mount
namespace alone is no obstacle, but a mount of its own over the socket or over the directory of
bundles is. Otherwise each create is decided as if there were no agent, and nothing else tells.
"""

from __future__ import annotations

import os
import socket
import struct
import time
from pathlib import Path
from typing import TYPE_CHECKING

from runc_wrap.doctor import commands
from runc_wrap.doctor.check_finding import Finding
from runc_wrap.engines import registry
from runc_wrap.host import procfs
from runc_wrap.ledger import whole_ledger

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from runc_wrap.node.paths import Places

NAME = "reached"
# where engines keep bundles, or a directory above that
_BUNDLES = (
    "/run",
    "/run/containerd",
    "/run/docker",
    "/run/containers",
    "/run/k3s",
    "/var/lib/containers",
)
_CREDENTIALS = struct.Struct("=3i")  # struct ucred (unix(7)): pid, uid, gid
_LARGEST = 1024 * 1024  # bytes of the ledger: some thousand decisions
_ENOUGH = 5  # creates since the socket exists, of which none asked
_SECONDS = 1.0


def find(places: Places) -> Iterator[Finding]:
    """Find why creates do not reach the agent; nothing if none runs."""
    path = places.agent / "decide.sock"
    agent = _peer(path)
    if agent is None:
        return
    yield from _of_engines(agent, [str(path), *_BUNDLES])
    yield from _of_ledger(places, path)


def _peer(path: Path) -> int | None:
    """Return who listens there: the agent, or systemd for it; None if nobody, or not to us."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as caller:
        caller.settimeout(_SECONDS)
        try:
            caller.connect(str(path))
            found = caller.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        except OSError:
            return None
    return int(_CREDENTIALS.unpack(found)[0])


def _of_engines(agent: int, paths: Sequence[str]) -> Iterator[Finding]:
    """Find engines of root, in the same machine or pod, to whom a path names another file."""
    processes, mounts = (procfs.namespace_inode(agent, kind) for kind in ("pid", "mnt"))
    for pid in procfs.pids() if mounts else ():
        name = (procfs.read(f"/proc/{pid}/comm") or b"").strip()
        is_engine = name in _daemons() and _is_roots(pid)
        theirs = procfs.namespace_inode(pid, "mnt") if is_engine else 0
        if theirs not in (0, mounts) and procfs.namespace_inode(pid, "pid") == processes:
            hidden = next((path for path in paths if _file(agent, path) != _file(pid, path)), None)
            if hidden:
                yield _apart(pid, name.decode(), hidden)


def _daemons() -> set[bytes]:
    """Return the names of the engines' programs, as comm has them."""
    kinds = registry.ENGINES.values()
    return {kind.names.program.encode() for kind in kinds if kind.units}


def _file(pid: int, path: str) -> tuple[int, int] | None:
    """Return the device and inode that a path is to a process, None if it is nothing."""
    try:
        found = Path(f"/proc/{pid}/root{path}").stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _is_roots(pid: int) -> bool:
    """Tell whether a process is root's: other users name theirs as they like."""
    try:
        return Path(f"/proc/{pid}").stat().st_uid == 0
    except OSError:
        return False


def _apart(pid: int, name: str, path: str) -> Finding:
    return Finding(
        NAME,
        "warning",
        f"{name} (pid {pid}) runs in another mount namespace, where {path} is not the agent's: its "
        "creates may be decided without the agent, and start Python",
        "take from its unit what mounts something there (TemporaryFileSystem, InaccessiblePaths, "
        "PrivateMounts and the like), and restart it; or do nothing, if it belongs to a snap",
        commands.line("systemctl", "edit", "--full", _unit(pid, name)),
    )


def _unit(pid: int, name: str) -> str:
    groups = procfs.cgroups(pid) or []
    units = [path.rpartition("/")[2] for _, _, path in groups if path.endswith(".service")]
    return units[0] if units else f"{name}.service"


def _of_ledger(places: Places, path: Path) -> Iterator[Finding]:
    """Find that no create asked since the agent's socket exists."""
    try:
        since = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(path.stat().st_mtime))
        records = whole_ledger.read(places.ledger, _LARGEST).records.values()
    except OSError:
        return
    later = [each.via for each in records if each.time and each.time > since]
    if len(later) >= _ENOUGH and set(later) == {"cold"} and os.geteuid() == 0:
        sentence = f"none of the {len(later)} creates since {since} asked the agent, which runs"
        remedy = "see its log; the engines may have other mounts, or call another prefix's launcher"
        yield Finding(NAME, "warning", sentence, remedy, "journalctl -u runc-wrap-decide")

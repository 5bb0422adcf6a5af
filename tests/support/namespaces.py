"""A private mount namespace: engines mount there, and everything is gone when it ends.

crun refuses the hybrid hierarchy (version 1 with /sys/fs/cgroup/unified beside it), which some
machines have; in here it is unmounted, and the host keeps its own.
"""

import contextlib
import os
import signal
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.support.processes import CommandError, Daemon, attempt, run, wait_until

# Where runc and crun keep their states, shims their sockets, and Podman its locks.
SHARED = (Path("/run"), Path("/dev/shm"))
UNIFIED = "/sys/fs/cgroup/unified"


@dataclass(frozen=True)
class MountNamespace:
    """One that lives as long as its holder process; `prefix` goes in front of any argv."""

    pid: int

    @property
    def cgroup(self) -> str:
        """Return a cgroup's path that no other engine uses."""
        return f"/runc-wrap-test-{self.pid}"

    def inside(self, path: Path) -> Path:
        """Return where the host sees a path of this namespace."""
        return Path(f"/proc/{self.pid}/root{path}")

    @property
    def prefix(self) -> list[str]:
        """Return the words that run a program inside, in place: same pid, no process between."""
        return ["nsenter", f"--mount=/proc/{self.pid}/ns/mnt"]


@contextlib.contextmanager
def private_mounts(directory: Path, small: Mapping[Path, str]) -> Iterator[MountNamespace]:
    """Hold a namespace open; its own SHARED places and no unified hierarchy.

    `small` are directories which become file systems of their own, path to size ("32m"): a test
    can fill those without filling the machine.
    """
    holder = Daemon(
        ["unshare", "--mount", "--propagation", "private", "sleep", "infinity"],
        directory / "mounts.log",
    )
    try:
        wait_until(lambda: _mounts(holder.pid) not in {None, _mounts(os.getpid())}, "unshare")
        space = MountNamespace(holder.pid)
        attempt([*space.prefix, "umount", UNIFIED])
        for place, size in {**small, **dict.fromkeys(SHARED, "64m")}.items():
            place.mkdir(exist_ok=True)
            run([*space.prefix, "mount", "-t", "tmpfs", "-o", f"size={size}", "test", place])
        yield space
    finally:
        end_all_in(holder.pid)
        holder.stop()
        _remove_cgroups(f"runc-wrap-test-{holder.pid}")


def end_all_in(holder: int) -> list[int]:
    """Kill what an engine left running in the holder's namespace, and its children.

    Engines end their shims and containers themselves; this is for a test that failed half-way.
    """
    space = _mounts(holder)
    if space is None or space == _mounts(os.getpid()):
        return []  # the holder is gone, or never left the host's own namespace
    parents = _parents()
    inside = {pid for pid in parents if _mounts(pid) == space} - {holder}
    while more := {pid for pid, parent in parents.items() if parent in inside} - inside:
        inside |= more
    for pid in inside:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    with contextlib.suppress(
        CommandError
    ):  # they are killed; only a slow reaper is left to wait for
        wait_until(lambda: inside.isdisjoint(_parents()), "killed processes to be gone", 5)
    return sorted(inside)


def _parents() -> dict[int, int]:
    """Return each process' parent."""
    found = {}
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            fields = (entry / "stat").read_text(errors="replace").rpartition(")")[2].split()
            found[int(entry.name)] = int(fields[1])
    return found


def _mounts(pid: int) -> Path | None:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/ns/mnt").readlink()
    return None


def _remove_cgroups(name: str) -> None:
    for top in Path("/sys/fs/cgroup").glob(f"*/{name}"):
        for directory in [*sorted(top.rglob("*/"), reverse=True), top]:
            with contextlib.suppress(OSError):
                directory.rmdir()

"""A private mount namespace: engines mount there, and everything is gone when it ends.

crun refuses the hybrid hierarchy (version 1 with /sys/fs/cgroup/unified beside it), which some
machines have; in here it is unmounted, and the host keeps its own.
"""

import contextlib
import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from harness.host import namespace_holder as holding
from harness.host.namespace_holder import mounts_of
from harness.host.processes import Daemon, attempt, run

# The directories of runc's and crun's states, shims' sockets, and Podman's locks.
SHARED = (Path("/run"), Path("/dev/shm"))
UNIFIED = "/sys/fs/cgroup/unified"


@dataclass(frozen=True)
class MountNamespace:
    """A namespace that lives as long as its holder process; put `prefix` in front of any argv."""

    pid: int

    @property
    def cgroup(self) -> str:
        """Return a cgroup's path that no other engine uses."""
        return holding.cgroup_of(self.pid)

    def inside(self, path: Path) -> Path:
        """Return the host's path of a path in this namespace."""
        return Path(f"/proc/{self.pid}/root{path}")

    @property
    def prefix(self) -> list[str]:
        """Return the words that run a program inside, in place: same pid, no process between."""
        return ["nsenter", f"--mount=/proc/{self.pid}/ns/mnt"]


@contextlib.contextmanager
def private_mounts(directory: Path, small: Mapping[Path, str]) -> Iterator[MountNamespace]:
    """Hold a namespace open, with its own SHARED directories and without a unified hierarchy.

    `small` are directories that get their own file systems, path to size ("32m"): a test
    can fill those without filling the machine.
    """
    outside = mounts_of(os.getpid())
    unshare = ["unshare", "--mount", "--propagation", "private"]
    python = [sys.executable, "-I", "-S", holding.__file__, outside]
    with Daemon([*unshare, *python], directory / "mounts.log") as holder:
        holder.wait_ready(lambda: holding.READY in holder.tail(), "unshare")
        space = MountNamespace(holder.pid)
        attempt([*space.prefix, "umount", UNIFIED])
        for place, size in {**small, **dict.fromkeys(SHARED, "64m")}.items():
            place.mkdir(exist_ok=True)
            run([*space.prefix, "mount", "-t", "tmpfs", "-o", f"size={size}", "test", place])
        yield space

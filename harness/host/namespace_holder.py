"""A program: holds a mount namespace until SIGTERM, then ends everything that still runs in it.

Run as `unshare --mount … python holder.py OUTSIDE`, OUTSIDE being the link text of the starter's
/proc/self/ns/mnt. SIGTERM comes from the test, or from the kernel when the test process has died:
so shims and containers end even if nothing else could end them. Standard library only.
"""

import contextlib
import os
import signal
import sys
import time
from pathlib import Path

READY = "holding"
PATIENCE = 5  # seconds to wait for killed processes


def main(outside: str) -> None:
    """Wait for SIGTERM, then kill everything in here; never in the starter's own namespace."""
    inside = mounts_of(os.getpid())
    if inside == outside:
        sys.exit("holder.py: not in a mount namespace of its own")
    os.write(1, f"{READY}\n".encode())
    signal.sigwait({signal.SIGTERM})
    deadline = time.monotonic() + PATIENCE
    while (left := running_in(inside)) and time.monotonic() < deadline:
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.02)
    remove_cgroups()


def cgroup_of(holder: int) -> str:
    """Return the path of the cgroup for the containers of a namespace."""
    return f"/runc-wrap-test-{holder}"


def remove_cgroups() -> None:
    """Remove our cgroup from every hierarchy: each of version 1 has its own."""
    for top in Path("/sys/fs/cgroup").glob(f"*{cgroup_of(os.getpid())}"):
        for directory in [*sorted(top.rglob("*/"), reverse=True), top]:
            with contextlib.suppress(OSError):
                directory.rmdir()


def running_in(space: str) -> set[int]:
    """Return the pids in a mount namespace or our cgroup, and their descendants."""
    parents = parents_of_all()
    found = {pid for pid in parents if mounts_of(pid) == space or is_in_our_cgroup(pid)}
    found.discard(os.getpid())
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    return found


def parents_of_all() -> dict[int, int]:
    """Return each process' parent, without zombies: those are their parents' to reap."""
    found = {}
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            fields = (entry / "stat").read_text(errors="replace").rpartition(")")[2].split()
            if fields[0] != "Z":
                found[int(entry.name)] = int(fields[1])
    return found


def mounts_of(pid: int) -> str:
    """Return the link text of a process' mount namespace, "" if it has gone."""
    with contextlib.suppress(OSError):
        return str(Path(f"/proc/{pid}/ns/mnt").readlink())
    return ""


def is_in_our_cgroup(pid: int) -> bool:
    """Return whether a process is in a container of this namespace, whatever its mounts."""
    with contextlib.suppress(OSError):
        return f":{cgroup_of(os.getpid())}/" in Path(f"/proc/{pid}/cgroup").read_text()
    return False


if __name__ == "__main__":
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    main(sys.argv[1])

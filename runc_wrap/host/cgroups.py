"""Where the machine's cgroup hierarchies are mounted, and who owns the directories in them.

This reads the mounts of pid 1, since an agent may run in a container that has only a part of them;
or our own, if those cannot be read. A hierarchy is named by its controllers, as in /proc/PID/cgroup
("" is version 2).
"""

import os
import time
from collections.abc import Iterator
from typing import NamedTuple

from runc_wrap.host import procfs, root_only_directory

_LARGEST = 1 << 20
_AGAIN = 10.0  # seconds between two attempts to find a hierarchy
# What files of a frozen cgroup contain, in version 1 and 2; the first and the last also for those
# above it.
_FROZEN = {"freezer.state": b"FR", "cgroup.freeze": b"1", "cgroup.events": b"frozen 1"}
_FIELDS = 5  # of a line of mountinfo, before the mount point's options (proc_pid_mountinfo(5))
_WHERE = (("/proc/1/mountinfo", "/proc/1/root"), ("/proc/self/mountinfo", ""))


class Mount(NamedTuple):
    """A hierarchy's controllers, the name of its root, and where that is mounted.

    The name is "", except in a cgroup namespace, where paths outside it also begin with "/..".
    """

    names: frozenset[str]
    root: str
    place: str


class Hierarchies:
    """The mounted hierarchies, cached."""

    def __init__(self) -> None:
        self._mounts: list[Mount] = []
        self._looked = -_AGAIN

    def are_roots(self, controllers: str, path: str) -> bool:
        """Tell whether root owns a cgroup and all above it: only root can move processes there.

        False for a hierarchy that is not completely mounted anywhere.
        """
        found = self._found(controllers, path)
        return found is not None and root_only_directory.is_alone_below(*found)

    def directory(self, controllers: str, path: str) -> str | None:
        """Return where a cgroup's directory is, None if its hierarchy is not mounted completely."""
        found = self._found(controllers, path)
        return found and "".join(found)

    def _found(self, controllers: str, path: str) -> tuple[str, str] | None:
        mount = self._mount(controllers)
        if mount is None or not path.startswith(f"{mount.root}/"):
            return None
        rest = path[len(mount.root) :]
        return None if ".." in rest.split("/") else (mount.place, rest)

    def _mount(self, controllers: str) -> Mount | None:
        wanted = {*controllers.split(",")}
        for _ in "12":
            for mount in self._mounts:
                if wanted <= mount.names:
                    return mount
            if time.monotonic() - self._looked < _AGAIN:
                return None
            self._looked = time.monotonic()
            found = (one for where in _WHERE for one in _mounts(*where))
            self._mounts = [one for one in found if os.path.isdir(one.place)]  # noqa: PTH112 - no pathlib
        return None


def is_frozen(pid: int) -> bool:
    """Tell whether a process' cgroup is frozen, or being frozen: its container is paused."""
    hierarchies = Hierarchies()
    places = (hierarchies.directory(names, path) for _, names, path in procfs.cgroups(pid) or ())
    return any(
        word in (procfs.read(f"{place}/{name}", _LARGEST) or b"")
        for place in places
        if place
        for name, word in _FROZEN.items()
    )


def _mounts(table: str, root: str) -> Iterator[Mount]:
    """Yield each hierarchy that is mounted completely."""
    text = (procfs.read(table, _LARGEST) or b"").decode("utf-8", "surrogateescape")
    for line in text.split("\n"):
        before, _, after = line.partition(" - ")
        fields, kind = before.split(" "), after.split(" ")
        if len(fields) < _FIELDS or kind[0] not in ("cgroup", "cgroup2"):
            continue
        if fields[3].replace("/..", "") not in ("", "/"):  # a part of it
            continue
        names = [""] if kind[0] == "cgroup2" else kind[-1].split(",")
        yield Mount(frozenset(names), fields[3].rstrip("/"), root + _plain(fields[4]))


def _plain(path: str) -> str:
    r"""Return an unescaped path: the kernel writes \040 for a space."""
    first, *others = path.split("\\")
    return first + "".join(chr(int(one[:3], 8)) + one[3:] for one in others)

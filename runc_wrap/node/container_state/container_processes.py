"""The processes of this machine, and which of them are in which container.

A process is in a container if it is in the container's cgroup or a child of it, is in its pid
namespace, or descends from its first process. A process of a nested container is in both. A process
that only joined a container's other namespaces is not found.
"""

import fcntl
import os
import sys
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import psutil

from runc_wrap.host import procfs
from runc_wrap.host.container_discovery import RuntimeContainer

FILTERED = 2  # SECCOMP_MODE_FILTER
_KERNEL_THREADS = 2  # the pid of kthreadd, parent of all of them
_GET_OWNER_UID = 0xB704  # NS_GET_OWNER_UID, linux/nsfs.h


@dataclass(frozen=True, slots=True)
class Process:
    """One process; `filters` is None if the kernel does not count them (before Linux 5.9).

    `start_time` is in clock ticks since boot; `cgroups` are "HIERARCHY:PATH"; `handle` can tell
    whether the pid is still this process'.
    """

    pid: int
    parent: int
    start_time: int
    name: str
    user: int
    seccomp: int
    filters: int | None
    first: bool
    namespace: str
    cgroups: frozenset[str]
    handle: psutil.Process


def snapshot() -> dict[int, Process]:
    """Return all processes of this machine, without the kernel's own threads."""
    found = (look(handle) for handle in psutil.process_iter())
    return {process.pid: process for process in found if process}


def look(handle: psutil.Process) -> Process | None:
    """Return a process as it is now, None if it has ended or we may not read it."""
    pid = handle.pid
    try:
        status = procfs.status(pid)
        parent = int(status[b"PPid"])
        if parent == _KERNEL_THREADS:
            return None
        if procfs.has_ended(status[b"State"]):  # perhaps only its first thread
            status = next(iter(procfs.living(pid).values()), status)
            if procfs.started(pid) is None:
                return None
        return _process(pid, parent, status, handle)
    except (OSError, KeyError, ValueError):
        return None


def _process(
    pid: int, parent: int, status: dict[bytes, bytes], handle: psutil.Process
) -> Process | None:
    namespace, cgroups = procfs.namespace(pid, "pid"), procfs.cgroups(pid)
    born = procfs.born(pid)
    if namespace is None or cgroups is None or born is None:
        return None
    counted = status.get(b"Seccomp_filters")
    return Process(
        pid=pid,
        parent=parent,
        start_time=born[0],
        name=status.get(b"Name", b"").decode("utf-8", "replace"),
        user=int(status.get(b"Uid", b"0").split()[0]),
        seccomp=int(status[b"Seccomp"]),
        filters=None if counted is None else int(counted),
        first=status.get(b"NSpid", b"").split()[-1:] == [b"1"],
        namespace=namespace,
        cgroups=frozenset(f"{one}:{path}" for one, _, path in cgroups if path not in ("/", "")),
        handle=handle,
    )


def inherited(process: Process, inside: set[int], running: Mapping[int, Process]) -> int:
    """Return the number of filters of the process that brought this one into the container."""
    parent = running.get(process.parent)
    while parent and parent.pid in inside:
        parent = running.get(parent.parent)
    return (parent.filters or 0) if parent else 0


def is_alive(container: RuntimeContainer) -> bool:
    """Tell whether a container has a first process that its state may name."""
    try:
        first = look(psutil.Process(container.pid)) if container.pid else None
    except psutil.NoSuchProcess:
        return False
    return first is not None and _is_believable(container, first)


class ContainerMembers:
    """The processes of each container with a first process, by its index in `containers`."""

    def __init__(
        self, containers: Sequence[RuntimeContainer], processes: Mapping[int, Process]
    ) -> None:
        self._processes = processes
        self._inits = {
            place: init
            for place, container in enumerate(containers)
            if (init := processes.get(container.pid or 0)) and _is_believable(container, init)
        }
        self._owners = {place: containers[place].owner for place in self._inits}
        self._members: dict[int, dict[int, Process]] = {
            place: {init.pid: init} for place, init in self._inits.items()
        }
        self._own = _unshared(
            ((cgroup, place) for place in self._inits for cgroup in self._own_cgroups(place)),
            self._owners,
        )
        self._leave_older_cgroups()
        self._add_cgroups()
        self._add_descendants()
        self._add_namespaces()
        self._add_descendants()  # of those, too

    def of(self, place: int) -> list[Process]:
        """Return a container's processes, beginning with its first; [] if that has ended."""
        return list(self._members.get(place, {}).values())

    def cgroups_of(self, place: int) -> list[str]:
        """Return the cgroups that no other container of its owner has, as "HIERARCHY:PATH"."""
        return [cgroup for cgroup, places in self._own.items() if place in places]

    def _add_cgroups(self) -> None:
        known: dict[str, set[int]] = {}
        for process in self._processes.values():
            for cgroup in process.cgroups:
                if cgroup not in known:
                    known[cgroup] = {p for one in _upwards(cgroup) for p in self._own.get(one, ())}
                for place in known[cgroup]:
                    self._members[place].setdefault(process.pid, process)

    def _own_cgroups(self, place: int) -> frozenset[str]:
        """Return the cgroups made for a container, without those of the process that started it."""
        init = self._inits[place]
        starter = self._processes.get(init.parent)
        ours = self._processes.get(os.getpid())
        return init.cgroups.difference(*(p.cgroups for p in (starter, ours) if p))

    def _leave_older_cgroups(self) -> None:
        """Leave cgroups that a process was in before the container's first: a session's."""
        youngest_first = sorted(self._processes.values(), key=lambda one: -one.start_time)
        oldest = {name: one.start_time for one in youngest_first for name in one.cgroups}
        self._own = {
            cgroup: [one for one in places if oldest[cgroup] >= self._inits[one].start_time]
            for cgroup, places in self._own.items()
        }

    def _add_descendants(self) -> None:
        children: dict[int, list[Process]] = defaultdict(list)
        for process in self._processes.values():
            children[process.parent].append(process)
        for members in self._members.values():
            waiting = list(members.values())
            while waiting:
                for child in children[waiting.pop().pid]:
                    if child.pid not in members:
                        members[child.pid] = child
                        waiting.append(child)

    def _add_namespaces(self) -> None:
        """Add by pid namespace; a pod's shared one says nothing about processes already placed."""
        starters = (self._processes.get(init.parent) for init in self._inits.values())
        ours = self._processes.get(os.getpid())
        outside = {process.namespace for process in (*starters, ours) if process}
        sharing: dict[str, list[int]] = defaultdict(list)
        for place, init in self._inits.items():
            if init.namespace not in outside:
                sharing[init.namespace].append(place)
        placed = {pid for members in self._members.values() for pid in members}
        for process in self._processes.values():
            places = sharing.get(process.namespace, ())
            for place in self._alone(places, process.pid in placed):
                self._members[place].setdefault(process.pid, process)

    def _alone(self, places: Sequence[int], is_placed: bool) -> Sequence[int]:  # noqa: FBT001
        trusted = [place for place in places if not self._owners[place]]
        if len(trusted or places) <= 1:
            return places
        if is_placed:
            return ()
        first = [place for place in places if self._inits[place].first]
        return first or places[:1]


def _is_believable(container: RuntimeContainer, init: Process) -> bool:
    """Tell whether a state may name this process: a user's state may name only the user's own.

    Such a process has the user's uid, or is in a user namespace that the user owns.
    """
    owner = container.owner
    return not owner or init.user == owner or _namespace_owner(init.pid) == owner


def _namespace_owner(pid: int) -> int:
    """Return the owner of a process' user namespace; 0, root, also if that is unknown."""
    try:
        descriptor = os.open(f"/proc/{pid}/ns/user", os.O_RDONLY)
    except OSError:
        return 0
    try:
        owner = fcntl.ioctl(descriptor, _GET_OWNER_UID, bytes(4))
        return int.from_bytes(owner, sys.byteorder)
    except OSError:
        return 0
    finally:
        os.close(descriptor)


def _unshared(
    pairs: Iterable[tuple[str, int]], owners: Mapping[int, int]
) -> dict[str, Collection[int]]:
    """Return {cgroup: containers}, without the cgroups that containers of one owner share."""
    found: dict[str, dict[int, list[int]]] = defaultdict(lambda: defaultdict(list))
    for cgroup, place in pairs:
        found[cgroup][owners[place]].append(place)
    return {
        cgroup: [places[0] for places in of_owner.values() if len(places) == 1]
        for cgroup, of_owner in found.items()
    }


def _upwards(cgroup: str) -> Iterator[str]:
    """Yield a cgroup and those above it."""
    while not cgroup.endswith(":"):
        yield cgroup
        cgroup = cgroup.rpartition("/")[0]

"""Which processes are tightened with a container, looked for again and again."""

from __future__ import annotations

import os
from itertools import islice
from typing import TYPE_CHECKING

from runc_wrap.host import procfs
from runc_wrap.host.cgroups import Hierarchies
from runc_wrap.node.container_state.container_processes import ContainerMembers, snapshot
from runc_wrap.tighten.processes import named, tighten_processes

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from runc_wrap.host.containers import RuntimeContainer
    from runc_wrap.tighten.filter_request import FilterRequest, ProcessOutcome

_PAUSED = "the container is paused, and a frozen process runs nothing; resume it, and try again"
_DIRECTORIES = 1000  # cgroups, which a container may make; what is in others is found by _members


def tighten_container(
    containers: Sequence[RuntimeContainer],
    place: int,
    request: FilterRequest,
    is_meant: Callable[[int], bool] = lambda _: True,
) -> tuple[ProcessOutcome, ...]:
    """Add the filter to all processes of containers[place]; see `tighten_processes`.

    First those in its cgroup, whose list is read in microseconds, so that no process can escape by
    making others; then those that are only in its pid namespace or descend from its first process.
    `containers` are all of this node: a cgroup that several share is no container's. Processes for
    which `is_meant` returns False are left as they are.
    """
    if _is_frozen(containers[place].pid or 0):
        pids = _members(containers, place)
        found = (named((pid, _start(pid) or 0), _PAUSED) for pid in pids)
        return tuple(one for one in found if one)
    directory = _cgroup(containers, place)
    inside: tuple[ProcessOutcome, ...] = ()
    if directory:
        inside = tighten_processes(lambda: [*filter(is_meant, _processes(directory))], request)
    done = {(one.pid, one.start_time) for one in inside}

    def others() -> list[int]:
        found = filter(is_meant, _members(containers, place))
        return [pid for pid in found if (pid, _start(pid)) not in done]

    return inside + tighten_processes(others, request)


def _cgroup(containers: Sequence[RuntimeContainer], place: int) -> str | None:
    """Return the directory of a cgroup that is the container's alone."""
    own = ContainerMembers(containers, snapshot()).cgroups_of(place)
    hierarchies = Hierarchies()
    for number, controllers, path in procfs.cgroups(containers[place].pid or 0) or ():
        found = hierarchies.directory(controllers, path) if f"{number}:{path}" in own else None
        if found:
            return found
    return None


def _is_frozen(pid: int) -> bool:
    """Tell whether a process' cgroup, or one above it, is frozen or about to be."""
    for _, controllers, path in procfs.cgroups(pid) or ():
        directory = Hierarchies().directory(controllers, path)
        if controllers == "freezer":
            return (procfs.read(f"{directory}/freezer.state") or b"THAWED").strip() != b"THAWED"
        if not controllers and b"frozen 1" in (procfs.read(f"{directory}/cgroup.events") or b""):
            return True
    return False


def _processes(directory: str) -> list[int]:
    """Return the processes in a cgroup and in those below it."""
    read = (
        procfs.read(f"{place}/cgroup.procs") or b""
        for place, _, _ in islice(os.walk(directory), _DIRECTORIES)
    )
    return [int(pid) for text in read for pid in text.split()]


def _members(containers: Sequence[RuntimeContainer], place: int) -> list[int]:
    return [one.pid for one in ContainerMembers(containers, snapshot()).of(place)]


def _start(pid: int) -> int | None:
    return (procfs.born(pid) or (None,))[0]

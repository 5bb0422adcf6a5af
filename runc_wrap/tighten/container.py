"""Which processes are tightened with a container, looked for again and again."""

from __future__ import annotations

import os
from itertools import islice
from typing import TYPE_CHECKING

from runc_wrap.host import procfs
from runc_wrap.host.cgroups import Hierarchies
from runc_wrap.node.container_state.container_processes import ContainerMembers, Process, snapshot
from runc_wrap.tighten.tracer import tighten_processes

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from runc_wrap.host.containers import RuntimeContainer
    from runc_wrap.tighten.process_outcome import FilterRequest, ProcessOutcome

_DIRECTORIES = 1000  # cgroups, which a container may make; `members` finds what is in others


def tighten_container(
    containers: Sequence[RuntimeContainer],
    place: int,
    request: FilterRequest,
    is_meant: Callable[[int], bool] = lambda _: True,
) -> tuple[ProcessOutcome, ...]:
    """Add the filter to all processes of containers[place]; see `tighten_processes`.

    First those in its cgroup, whose list is read in microseconds; then those that are only in its
    pid namespace or descend from its first process. `containers` are all of this node: a cgroup
    that several share is no container's. A process for which `is_meant` returns False is left.
    """
    directory = _cgroup(containers, place)

    def listed(is_whole: bool) -> list[int]:  # noqa: FBT001
        if directory and not is_whole:
            return [*filter(is_meant, _processes(directory))]
        return [one.pid for one in members(containers, place) if is_meant(one.pid)]

    return tighten_processes(listed, request)


def members(containers: Sequence[RuntimeContainer], place: int) -> list[Process]:
    """Return the processes that are in containers[place] now."""
    return ContainerMembers(containers, snapshot()).of(place)


def _cgroup(containers: Sequence[RuntimeContainer], place: int) -> str | None:
    """Return the directory of a cgroup that is the container's alone."""
    own = ContainerMembers(containers, snapshot()).cgroups_of(place)
    hierarchies = Hierarchies()
    for number, controllers, path in procfs.cgroups(containers[place].pid or 0) or ():
        found = hierarchies.directory(controllers, path) if f"{number}:{path}" in own else None
        if found:
            return found
    return None


def _processes(directory: str) -> list[int]:
    """Return the processes in a cgroup and in those below it."""
    read = (
        procfs.read(f"{place}/cgroup.procs") or b""
        for place, _, _ in islice(os.walk(directory), _DIRECTORIES)
    )
    return [int(pid) for text in read for pid in text.split()]

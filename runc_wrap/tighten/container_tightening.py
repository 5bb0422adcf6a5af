"""Tightening one container: what its runtime saved first, then its processes, then a second look.

An exec that is under way may have read what was saved before it was replaced, and its process
appears in the container later. So the runtime's processes for this container that began before are
waited for, until each has ended or has its child in the container. A process that is still the
runtime is left until it is the container's program: it needs calls that the filter may deny. Who is
not done in time is tightened as it is, or named.
"""

import os
import time
from collections.abc import Callable, Sequence
from functools import partial
from itertools import islice

from runc_wrap.filters import filter_comparison
from runc_wrap.filters.kernel.filter_injection import FilterRequest
from runc_wrap.host import files, procfs, runtime_state
from runc_wrap.host.cgroups import Hierarchies
from runc_wrap.host.container_discovery import RuntimeContainer
from runc_wrap.hotpath import ledger_file
from runc_wrap.ledger import whole_ledger
from runc_wrap.node.container_state.container_processes import ContainerMembers, Process, snapshot
from runc_wrap.node.paths import Places
from runc_wrap.tighten import runtime_processes, saved_state
from runc_wrap.tighten.laid_filter import LaidFilter
from runc_wrap.tighten.process_tightening import Members, Outcomes, tighten_processes
from runc_wrap.tighten.runtime_processes import is_program
from runc_wrap.tighten.tightening_plan import ERRORS, PARTLY, TIGHTENED, Tightening

SECONDS = 10.0  # for execs that are under way
_PAUSE = 0.05
_TRIES = 5  # at what the runtime saved, if it is written back meanwhile
_DIRECTORIES = 1000  # cgroups, which a container may make; `members` finds what is in others
_DAY = 86400  # seconds
# 0.2.0, after a downgrade, takes the line for the container's record, and verifies it by this.
_OF_THE_CREATE = ("engine", "bundle", "namespace", "pod", "container", "image", "mode", "digest")
_ENDED = "it ended, or was started again, after it had been looked at; run this again"
_UNSEEN = "its first process ended before it could be read back, or was not found; run this again"


def tighten(places: Places, plan: Tightening, containers: Sequence[RuntimeContainer]) -> None:
    """Lay the filter on a container, and record it; nothing is done that cannot be recorded.

    `containers` are all of the node: who is in one depends on who is in the others.
    """
    try:
        is_recorded = _is_there(plan) and _record(places, plan, "begun")
    except OSError as error:
        plan.refuse(f"the ledger cannot be written: {error}")
        return
    if is_recorded:
        try:
            _carry_out(plan, containers)
        except ERRORS as error:
            plan.reasons.append(f"what its runtime saved cannot be replaced: {error}")
        plan.reasons += [f"process {one.pid}: {one.reason}" for one in plan.shown() if one.reason]
        try:
            _record(places, plan, "partial" if plan.reasons else "done")
        except OSError as error:
            plan.reasons.append(f"the ledger does not say so: {error}")
    else:
        plan.reasons.append(_ENDED)
    plan.result = PARTLY if plan.reasons else TIGHTENED


def _carry_out(plan: Tightening, containers: Sequence[RuntimeContainer]) -> None:
    container = plan.entry.container
    place, tries, deadline = containers.index(container), 1, time.monotonic() + SECONDS
    inside = partial(members, containers, place)
    _, alike = _save(plan)
    changed = procfs.ticks()
    while True:
        waiting, is_arriving = runtime_processes.under_way(plan, changed, inside)
        late = time.monotonic() > deadline
        if not _is_there(plan):
            plan.reasons.append(_ENDED)
            return
        is_meant = partial(_is_meant, plan, changed if late else None)
        laid = plan.laid
        request = FilterRequest(laid.program, plan.set_no_new_privs, alike, laid.logs)
        plan.processes = tighten_container(containers, place, request, is_meant, plan.processes)
        again, alike = _save(plan)
        if again and tries < _TRIES:
            changed, tries = procfs.ticks(), tries + 1
        elif late or not (waiting or is_arriving):
            break
        time.sleep(_PAUSE)
    if container.pid not in {one.pid for one in plan.shown()}:
        plan.reasons.append(_UNSEEN)
    if again:
        plan.reasons.append(f"something else writes what {container.kind} saved of it all the time")
    for pid in waiting:
        plan.reasons.append(
            f"the runtime's process {pid} began an exec or update before, and goes on"
        )


def _is_meant(plan: Tightening, changed: int | None, pid: int) -> bool:
    """Tell whether a process is no runtime's; or may lack what was saved at a time, in ticks."""
    is_lacking = changed is not None and runtime_processes.is_early(pid, plan, changed)
    return is_lacking or is_program(pid, plan)


def _save(plan: Tightening) -> tuple[bool, tuple[bytes, ...]]:
    """Replace what the runtime saved, if needed; return whether, and what an exec gets now.

    () if something else has written it meanwhile.
    """
    saved = saved_state.read(plan.entry.container, plan.loader)
    is_new = not saved.has(plan.laid)
    if is_new:
        saved.replace(saved.with_filter(plan.laid, plan.loader))
        saved = saved_state.read(plan.entry.container, plan.loader)
    return is_new, saved.filters if saved.has(plan.laid) else ()


def _is_there(plan: Tightening) -> bool:
    """Tell whether a container's first process is the one that was found, and has not ended."""
    first = plan.entry.members[0]
    return first.handle.is_running() and procfs.started(first.pid) is not None


def note_joined(plan: Tightening, containers: Sequence[RuntimeContainer]) -> None:
    """Name the processes outside a container that are in its mount namespace."""
    joined = _joined(containers, containers.index(plan.entry.container))
    plan.notes += [f"the process {pid} only joined its namespaces: left as it is" for pid in joined]


def _joined(containers: Sequence[RuntimeContainer], place: int) -> list[int]:
    own = procfs.namespace(containers[place].pid or 0, "mnt")
    if own in (None, procfs.namespace(os.getpid(), "mnt")):
        return []
    found = [pid for pid in procfs.pids() if procfs.namespace(pid, "mnt") == own]
    inside = {one.pid for one in members(containers, place)}
    return [pid for pid in found if pid not in inside and procfs.namespace(pid, "mnt") == own]


def tighten_container(
    containers: Sequence[RuntimeContainer],
    place: int,
    request: FilterRequest,
    is_meant: Callable[[int], bool],
    before: Outcomes,
) -> Outcomes:
    """Add the filter to all processes of containers[place]; see `tighten_processes`.

    Inside are those in its cgroup; others are only in its pid namespace or descend from its first
    process. `containers` are all of this node: a cgroup that several share is no container's.
    """
    inside = partial(_processes, _cgroup(containers, place))

    def all_() -> list[int]:
        return [one.pid for one in members(containers, place)]

    return tighten_processes(Members(inside, all_, is_meant), request, before)


def members(containers: Sequence[RuntimeContainer], place: int) -> list[Process]:
    """Return the processes that are in containers[place] now."""
    return ContainerMembers(containers, snapshot()).of(place)


def _cgroup(containers: Sequence[RuntimeContainer], place: int) -> str:
    """Return the directory of a cgroup that is the container's alone, "" if it has none."""
    own = ContainerMembers(containers, snapshot()).cgroups_of(place)
    directory, all_ = Hierarchies().directory, procfs.cgroups(containers[place].pid or 0) or ()
    found = (directory(names, path) for number, names, path in all_ if f"{number}:{path}" in own)
    return next(filter(None, found), "")


def _processes(directory: str) -> list[int]:
    """Return the processes in a cgroup and in those below it; none of ""."""
    read = (
        procfs.read(f"{place}/cgroup.procs") or b""
        for place, _, _ in islice(os.walk(directory), _DIRECTORIES)
    )
    return [int(pid) for text in read for pid in text.split()]


def _record(places: Places, plan: Tightening, result: str) -> bool:
    """Append to the ledger what all processes of a container have to have from now on."""
    container, digest, record = plan.entry.container, plan.laid.digest, plan.entry.record
    left = [one for one in plan.entry.partly_laid if not _covers(places, plan.laid, one)]
    if result == "begun":
        places.tightened.mkdir(mode=0o700, exist_ok=True)
        files.replace(places.tightened / f"{digest}.bpf", plan.laid.program)
    line = {
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        **{name: record and record.line.get(name) for name in _OF_THE_CREATE},
        "id": container.id,
        "root": container.root,
        "action": ledger_file.TIGHTEN,
        "profile": plan.laid.name,
        "filters": max(plan.entry.needed, 1),
        "laid": [*dict.fromkeys([*plan.entry.laid, digest])],
        "first": [container.pid, procfs.started(container.pid or 0)],
        "partly": left if result == "done" else [*left, digest],
        "result": result,
    }
    ledger_file.append_to(str(places.ledger), line)
    return True


def _covers(places: Places, laid: LaidFilter, digest: str) -> bool:
    """Tell whether who has a filter lacks nothing of one that was laid before. Raises OSError."""
    before = files.read(places.tightened / f"{digest}.bpf", runtime_state.LARGEST)
    return not filter_comparison.weaker((laid.program,), (before,))


def remove_unnamed(places: Places) -> None:
    """Remove filters that were laid on containers which the ledger has forgotten. Raises OSError.

    Another command writes its filter before the line that names it.
    """
    laid = whole_ledger.read(places.ledger).tightened.values()
    named = {f"{digest}.bpf" for one in laid for digest in one.laid}
    for file in places.tightened.glob("*"):
        if file.name not in named and time.time() - file.stat().st_mtime > _DAY:
            file.unlink(missing_ok=True)

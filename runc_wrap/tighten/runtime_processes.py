"""The runtime's own processes for a container that runs: commands under way, and who is in it.

An exec reads what create saved, and its process appears in the container later; `runc update`
writes that back as it was when it read it. A process in the container is the runtime until it
becomes the container's program.
"""

import os
from collections.abc import Callable, Iterable

from runc_wrap.filters.kernel import ptrace
from runc_wrap.host import procfs, runtime_state
from runc_wrap.node.container_state.container_processes import Process
from runc_wrap.tighten.tightening_plan import Tightening

_COMMANDS = {b"exec", b"update"}
_NEW = 10.0  # seconds that an exec takes
_MADE = 100  # ticks from its begin until it makes its process; later ones got what is saved now


def under_way(
    plan: Tightening, since: int, inside: Callable[[], Iterable[Process]]
) -> tuple[list[int], bool]:
    """Return the commands that began before a time, in ticks, and have no process in it yet.

    And whether a process `inside`, whose command may have begun before, is still the runtime.
    """
    begun = [  # first: who has ended has its child there
        pid
        for pid in procfs.pids()
        if (procfs.born(pid) or (since + 1,))[0] <= since and _is_command(pid, plan)
    ]
    now = [*inside()]
    known = {pid for one in now for pid in (one.pid, one.parent)}
    early = (one.pid for one in now if is_early(one.pid, plan, since))
    is_arriving = not all(is_program(pid, plan) for pid in early)
    return [pid for pid in begun if pid not in known], is_arriving


def is_early(pid: int, plan: Tightening, since: int) -> bool:
    """Tell whether the command that made a process may have begun before a time, in ticks.

    It may, where the container began without a filter: its programs can look like the runtime.
    """
    start, parent = procfs.born(pid) or (0, 0)
    is_confined = bool(plan.entry.record and plan.entry.record.filters)
    is_its = _is_command(parent, plan) and (procfs.born(parent) or (since + 1,))[0] <= since
    return is_its or not is_confined or start <= since + _MADE


def is_program(pid: int, plan: Tightening) -> bool:
    """Tell whether a process is no longer the runtime: its child, which executes the runtime.

    That has no filter of its own yet; afterwards it needs no call that the next exec does not need.
    crun's is a grandchild in the container's pid namespace, whose parent ends, so that another one
    outside has it.
    """
    parent = (procfs.born(pid) or (0, 0))[1]
    is_orphan = _is_outside(parent) and not _is_outside(pid)
    is_new = is_orphan and (procfs.age(pid) or 0.0) < _NEW
    is_ending = procfs.program(parent) is None  # so has a parent inside whose first thread ended
    is_its = is_new or _is_command(parent, plan) or (is_ending and not _filters(pid))
    if (procfs.born(pid) or (0, parent))[1] != parent:
        return is_program(pid, plan)
    is_runtime = runtime_state.is_runtime(pid, plan.runtime)
    return not (is_runtime and is_its) or _filters(pid) > _filters(parent)


def _filters(pid: int) -> int:
    """Return how many filters all its threads have: runc's load theirs one by one."""
    threads = procfs.living(pid).values()
    return min((ptrace.status_of(one).count or 0 for one in threads), default=0)


def _is_outside(pid: int) -> bool:
    return procfs.namespace(pid, "pid") == procfs.namespace(os.getpid(), "pid")


def _is_command(pid: int, plan: Tightening) -> bool:
    """Tell whether a process is root's runtime, outside containers, in one of these commands.

    Only then its command line is read: any other process may make its reader wait for ever.
    """
    is_root = (procfs.read(f"/proc/{pid}/status") or b"").find(b"\nUid:\t0\t0\t") > 0
    if not (runtime_state.is_runtime(pid, plan.runtime) and is_root and _is_outside(pid)):
        return False
    words = {*(procfs.read(f"/proc/{pid}/cmdline") or b"").split(b"\0")}
    return os.fsencode(plan.entry.container.id) in words and not _COMMANDS.isdisjoint(words)

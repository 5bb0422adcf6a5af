"""The runtime's own processes for a container that runs: commands under way, and who is in it.

An exec reads what create saved, and its process appears in the container later; `runc update`
writes that back as it was when it read it. A process in the container is the runtime until it
becomes the container's program.
"""

import os
from collections.abc import Callable, Iterable

from runc_wrap.host import procfs, runtime_state
from runc_wrap.host.container_discovery import RuntimeContainer
from runc_wrap.node.container_state.container_processes import Process

_COMMANDS = {b"exec", b"update"}
_NEW = 10.0  # seconds that an exec takes
_MADE = 100  # ticks from its begin until it makes its process; later ones got what is saved now


def under_way(
    container: RuntimeContainer, name: str, since: int, inside: Callable[[], Iterable[Process]]
) -> tuple[list[int], bool]:
    """Return the commands that began before a time, in ticks, and have no process in it yet.

    And whether a process `inside`, whose command may have begun before, is still the runtime, whose
    file has this name.
    """
    begun = [  # first: who has ended has its child there
        pid
        for pid in procfs.pids()
        if (procfs.born(pid) or (since + 1,))[0] <= since and _is_command(pid, container, name)
    ]
    now = [*inside()]
    known = {pid for one in now for pid in (one.pid, one.parent)}
    early = (one.pid for one in now if is_early(one.pid, since))
    is_arriving = not all(is_program(pid, container, name) for pid in early)
    return [pid for pid in begun if pid not in known], is_arriving


def is_early(pid: int, since: int) -> bool:
    """Tell whether the command that made a process may have begun before a time, in ticks."""
    return (procfs.born(pid) or (0,))[0] <= since + _MADE


def is_program(pid: int, container: RuntimeContainer, name: str) -> bool:
    """Tell whether a process is no longer the runtime: its child, which executes the runtime.

    crun's is a grandchild in the container's pid namespace, whose parent ends, so that another one
    outside has it. No other process in such a namespace has its parent outside.
    """
    parent = (procfs.born(pid) or (0, 0))[1]
    is_its = _is_command(parent, container, name)
    is_orphan = _is_outside(parent) and not _is_outside(pid)
    is_new = is_orphan and (procfs.age(pid) or 0.0) < _NEW
    return not (runtime_state.is_runtime(pid, name) and (is_its or is_new))


def _is_outside(pid: int) -> bool:
    return procfs.namespace(pid, "pid") == procfs.namespace(os.getpid(), "pid")


def _is_command(pid: int, container: RuntimeContainer, name: str) -> bool:
    """Tell whether a process is root's runtime, outside containers, in one of these commands.

    Only then its command line is read: any other process may make its reader wait for ever.
    """
    is_root = (procfs.read(f"/proc/{pid}/status") or b"").find(b"\nUid:\t0\t0\t") > 0
    if not (runtime_state.is_runtime(pid, name) and is_root and _is_outside(pid)):
        return False
    words = {*(procfs.read(f"/proc/{pid}/cmdline") or b"").split(b"\0")}
    return os.fsencode(container.id) in words and not _COMMANDS.isdisjoint(words)

"""Containers in observe whose seccomp listener nobody holds any more.

The kernel fails each call that such a container's filter watches, with ENOSYS, until its processes
end: a listener that was closed cannot be had back. The kernel shows nobody which filter a listener
is of. So it is told by what the agent writes down of each that it holds,

    PREFIX/var/agent/listeners/seccomp-N.json    {id, root, pid, ...}; removed with its listener

and by who has listeners open beside the agent's lock, a file that root alone can open: the agent's
processes, or what lingers after them. If nobody has, what was written down is about an agent that
is gone. Each process that a runtime brought into a container has a listener of its own.
"""

from __future__ import annotations

import os
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from runc_wrap.host import containers, procfs
from runc_wrap.host.procfs import started
from runc_wrap.hotpath import config_file, json_codec
from runc_wrap.hotpath.decision import OBSERVE
from runc_wrap.hotpath.errors import Refusal
from runc_wrap.node import deep_verify

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from runc_wrap.node.container_processes import Process
    from runc_wrap.node.paths import Places
    from runc_wrap.node.status import Entry, Node

REMEDY = "restart the container: a listener that was closed cannot be had back"
_LISTENER = "anon_inode:seccomp notify"
_SYSTEMD = 1  # its store holds them while no agent runs
_ARRIVING = 15.0  # seconds for a listener to arrive with an agent that is busy, and be written down
_LOOKS, _PAUSE = 4, 0.5  # at what may be between two keepers; and seconds
_FILTERED = 2


def mark(node: Node, places: Places) -> Node:
    """Return the node with each container's processes whose listener nobody holds."""
    observed = [entry for entry in node.entries if _is_observed(entry)]
    unheard = _unheard(observed, places)
    for _ in range(_LOOKS):
        if not unheard:
            return node
        time.sleep(_PAUSE)
        again = _unheard(observed, places)
        unheard = {place: again[place] for place in unheard if place in again}
    marked = {id(observed[place]): found for place, found in unheard.items()}
    entries = [replace(one, unheard=marked.get(id(one), [])) for one in node.entries]
    return replace(node, entries=entries)


def _is_observed(entry: Entry) -> bool:
    record = entry.record
    is_ours = record is not None and record.action == "inject" and record.mode == OBSERVE
    return is_ours and entry.container.state == containers.RUNNING


def _unheard(observed: Sequence[Entry], places: Places) -> dict[int, list[Process]]:
    """Return the processes of each container, by its place, whose listener is nowhere."""
    if not observed or os.geteuid():  # only root sees who has what open
        return {}
    holders = _holders(places)
    if not holders and _has_listeners(_SYSTEMD):
        return {}
    known = _written(places) if holders else []
    patience = _ARRIVING if holders else 0.0
    found = {at: _lost(entry, known, patience) for at, entry in enumerate(observed)}
    return {at: lost for at, lost in found.items() if lost and _can_notify(observed[at])}


def _lost(entry: Entry, known: Sequence[dict[str, Any]], patience: float) -> list[Process]:
    """Return the processes that a runtime started, and that no listener known is of.

    crun says the pid of a first process only; of others so many are lost, the oldest, as there are
    more of them than such listeners.
    """
    if any(not one.get("id") for one in known):  # it was not said whose: perhaps this container's
        return []
    own = [one.get("pid") for one in known if one["id"] == entry.container.id]
    found = [
        process
        for process in _brought(entry)
        if process.seccomp == _FILTERED and process.pid not in own
    ]
    first = [process for process in found if process.pid == entry.container.pid]
    others = sorted((one for one in found if one not in first), key=lambda one: -_age(one.pid))
    nameless = sum(not pid for pid in own)
    lost = first + others[: max(len(others) - nameless, 0)]
    return [process for process in lost if _age(process.pid) > patience]


def _brought(entry: Entry) -> Iterator[Process]:
    """Yield the processes that a runtime brought in: the first, and what it was told to exec.

    The latter's parent is outside of the container and of its pid namespace. Who was left behind
    by a parent that ended has a new one within the namespace (pid_namespaces(7)), and the listener
    of whoever started it.
    """
    inside = {process.pid for process in entry.members}
    for process in entry.members:
        parents = procfs.namespace(process.parent, "pid")
        is_left = process.parent in inside or process.namespace == parents
        if process.pid == entry.container.pid or not is_left:
            yield process


def _age(pid: int) -> float:
    """Return for how many seconds there has been a process, 0.0 for one that is gone."""
    born = started(pid)
    if born is None:
        return 0.0
    return time.clock_gettime(time.CLOCK_BOOTTIME) - born / os.sysconf("SC_CLK_TCK")


def _can_notify(entry: Entry) -> bool:
    """Tell whether the decided filter watches any call; without, there never was a listener."""
    try:
        block = deep_verify.block_of(entry.container.bundle)
    except (Refusal, json_codec.Unreadable):
        return True
    return block is None or b'"SCMP_ACT_NOTIFY"' in json_codec.dumps(block)


def _written(places: Places) -> list[dict[str, Any]]:
    """Return what the agent wrote down of the listeners that it holds."""
    found = []
    for path in places.listeners.glob("*.json"):
        try:
            said = json_codec.loads(config_file.read(str(path)).text)
        except (Refusal, json_codec.Unreadable):  # gone meanwhile
            continue
        if isinstance(said, dict):
            found.append(said)
    return found


def _holders(places: Places) -> list[int]:
    """Return the processes that have the agent's lock open, and a listener."""
    lock = os.path.realpath(places.agent / "lock")
    return [pid for pid in procfs.pids() if lock in procfs.open_files(pid) and _has_listeners(pid)]


def _has_listeners(pid: int) -> bool:
    return _LISTENER in procfs.open_files(pid)

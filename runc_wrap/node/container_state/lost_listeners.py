"""Containers in observe whose seccomp listener was closed.

The kernel fails each call that such a container's filter watches, with ENOSYS, until its processes
end: a closed listener cannot be reopened. The kernel does not show to which filter a listener
belongs. So this relies on the agent's record of each listener that it holds,

    PREFIX/var/agent/listeners/seccomp-N.json    {id, root, pid, ...}; removed with its listener

and on which processes have open both listeners and the service's lock, a file that only root can
open. If no process has, the service that wrote the records has ended. Each process that a runtime
brought into a container has its own listener.
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from runc_wrap.host import container_discovery, procfs
from runc_wrap.hotpath import config_file, json_codec
from runc_wrap.hotpath.errors import Refusal
from runc_wrap.node import flush_request
from runc_wrap.node.container_state import deep_verify
from runc_wrap.node.container_state.container_processes import FILTERED, Process
from runc_wrap.node.container_state.container_status import Entry, Node
from runc_wrap.node.paths import Places

REMEDY = "restart the container: a closed listener cannot be reopened"
_LISTENER = "anon_inode:seccomp notify"
_SYSTEMD = 1  # its descriptor store holds listeners while the service does not run
_ARRIVING = 15.0  # seconds in which a busy agent receives and records a listener
_ANSWERS = 20.0  # seconds; systemd replaces a service that hangs after 15 (WatchdogSec=)
_SILENT = (
    "whether {} containers in observe have lost seccomp listeners, since runc-wrap-observe.service "
    "does not answer; run this again when it does"
)


def mark(node: Node, places: Places) -> Node:
    """Return the node with each container's processes whose listener was closed.

    A service that is busy, or being started again, may not have taken a listener yet that waits in
    its socket: it has taken all of them when it answers a command. While it does not answer, only
    listeners that no process has are known to be lost.
    """
    running = (one for one in node.entries if one.container.state == container_discovery.RUNNING)
    observed = [one for one in running if one.record and one.record.has_listener]
    before = _unheard(observed, places)
    if not before:
        return node
    answer = flush_request.ask(places, _ANSWERS)
    is_silent = answer.until is None and not answer.is_absent
    if is_silent and _holders(places):
        return replace(node, unreadable=[*node.unreadable, _SILENT.format(len(before))])
    found = {place: lost for place, lost in _unheard(observed, places).items() if place in before}
    marked = {id(observed[place]): lost for place, lost in found.items()}
    entries = [replace(one, unheard=marked.get(id(one), [])) for one in node.entries]
    return replace(node, entries=entries)


def _unheard(observed: Sequence[Entry], places: Places) -> dict[int, list[Process]]:
    """Return the processes without an open listener, by their container's index."""
    if not observed or os.geteuid():  # only root can read which files processes have open
        return {}
    holders = _holders(places)
    if not holders and _LISTENER in procfs.open_files(_SYSTEMD):
        return {}
    known = _written(places) if holders else []
    grace = _ARRIVING if holders else 0.0
    found = {at: _lost(entry, known, grace) for at, entry in enumerate(observed)}
    return {at: lost for at, lost in found.items() if lost and _can_notify(observed[at])}


def _lost(entry: Entry, known: Sequence[dict[str, Any]], grace: float) -> list[Process]:
    """Return the processes that a runtime started and that have no recorded listener.

    crun reports the pid of a first process only. Of the others, the oldest count as lost, as many
    as exceed the number of listeners without a pid.
    """
    if any(not one.get("id") for one in known):  # of an unknown container, perhaps of this one
        return []
    own = [one.get("pid") for one in known if one["id"] == entry.container.id]
    found = [
        process
        for process in _brought(entry)
        if process.seccomp == FILTERED and process.pid not in own
    ]
    ages = {one.pid: procfs.age(one.pid) or 0.0 for one in found}  # 0 of one that has ended
    first = [process for process in found if process.pid == entry.container.pid]
    others = sorted((one for one in found if one not in first), key=lambda one: -ages[one.pid])
    nameless = sum(not pid for pid in own)
    lost = first + others[: max(len(others) - nameless, 0)]
    return [process for process in lost if ages[process.pid] > grace]


def _brought(entry: Entry) -> Iterator[Process]:
    """Yield the processes that a runtime brought in: the first, and those of each exec.

    The latter's parent is outside the container and its pid namespace. An orphaned process gets a
    new parent within the namespace (pid_namespaces(7)), and keeps the listener of the process that
    started it.
    """
    inside = {process.pid for process in entry.members}
    for process in entry.members:
        parents = procfs.namespace(process.parent, "pid")
        is_left = process.parent in inside or process.namespace == parents
        if process.pid == entry.container.pid or not is_left:
            yield process


def _can_notify(entry: Entry) -> bool:
    """Tell whether the decided filter watches any call; otherwise there never was a listener."""
    try:
        block = deep_verify.block_of(entry.container.bundle)
    except (Refusal, json_codec.Unreadable):
        return True
    return block is None or b'"SCMP_ACT_NOTIFY"' in json_codec.dumps(block)


def _written(places: Places) -> list[dict[str, Any]]:
    """Return the agent's records of the listeners that it holds."""
    found = []
    for path in places.listeners.glob("*.json"):
        try:
            record = json_codec.loads(config_file.read(str(path)).text)
        except (Refusal, json_codec.Unreadable):  # removed meanwhile
            continue
        if isinstance(record, dict):
            found.append(record)
    return found


def lock(places: Places) -> Path:
    """Return the file that the service has open."""
    return places.agent / "observe.lock"


def _holders(places: Places) -> list[int]:
    """Return the processes that have both the service's lock and a listener open."""
    opened = os.path.realpath(lock(places))
    return [pid for pid in procfs.pids() if {opened, _LISTENER} <= procfs.open_files(pid)]

"""Containers in words and as JSON: their names, what was decided, and what the kernel reports."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from runc_wrap import safe_text
from runc_wrap.hotpath.decision import ENGINE_DEFAULT
from runc_wrap.node.container_state import container_processes, lost_listeners

if TYPE_CHECKING:
    from runc_wrap.node.container_state.container_processes import Process
    from runc_wrap.node.container_state.container_status import Entry

_MOST_PIDS = 3  # named in a sentence
LONGEST = 500  # characters of one thing: a namespace, a pod and a container have at most 379
_SHORT = 12  # characters of an id, as engines show it
_FROM_RECORD = """
namespace pod container image action mode profile candidate reason rule ignored engine via replaced
""".split()


def as_document(entry: Entry) -> dict[str, Any]:
    """Return a container's JSON."""
    found, record = entry.container, entry.record
    first = entry.members[0] if entry.members else None
    return {
        "id": found.id,
        "owner": found.owner,
        "pid": found.pid,
        "root": found.root,
        "state": found.state,
        "declared": declared(entry),
        **{name: record and getattr(record, name) for name in _FROM_RECORD},
        "engine_default": entry.engine_default or None,
        "effective": {"seccomp": first and first.seccomp, "filters": first and first.filters},
        "processes": len(entry.members),
        "deviating": [_process(one) for one in entry.deviating],
        "unheard": [_process(one) for one in entry.unheard],
        "laid": [*entry.laid],
        "agrees": entry.agrees,
    }


def _process(process: Process) -> dict[str, Any]:
    return {name: getattr(process, name) for name in ("pid", "name", "seccomp", "filters")}


def named(entry: Entry) -> str:
    """Return a container's name for people: namespace/pod/container if it is in a pod."""
    record = entry.record
    short = entry.container.id if len(entry.container.id) != 64 else entry.container.id[:_SHORT]  # noqa: PLR2004 - the engines' ids are 32 bytes in hexadecimal
    parts = [record.namespace, record.pod, record.container] if record else []
    path = "/".join(part for part in parts if part)
    whose = f"uid {entry.container.owner}: " if entry.container.owner else ""
    return safe_text.name(whose + (f"{path} ({short})" if path else short), LONGEST)


def declared(entry: Entry) -> str | None:
    """Return what a container asked for, None if that is unknown."""
    if entry.engine_default:
        return ENGINE_DEFAULT
    return entry.record and entry.record.declared


def decided(entry: Entry) -> str:
    """Return the decision for a container, in a few words."""
    record = entry.record
    if record is None or record.action is None:
        return "-"
    if record.action != "inject":
        return record.action
    how = "restored as dumped" if record.restored else record.mode
    beside = f", candidate {record.candidate}" if record.candidate else ""
    return f"{record.profile} ({how}{beside})"


def kernel(entry: Entry) -> str:
    """Return the seccomp state of a container's first process in words."""
    if not entry.members:
        return "-"
    return kernel_words(entry.members[0].seccomp, entry.members[0].filters)


def kernel_words(seccomp: int, filters: int | None) -> str:
    """Return the seccomp state of /proc/PID/status in words."""
    if seccomp != container_processes.FILTERED:
        return "strict" if seccomp else "no filter"
    if filters is None:
        return "filtered"
    return f"{filters} filter" + "s" * (filters != 1)


def reason(entry: Entry) -> str:
    """Return why a container was decided so, and what came of it since."""
    record = entry.record
    laid = " Tightened since it started." if entry.laid else ""
    if record is None:
        return f"No decision in the ledger: not started by runc-wrap, or its line is gone.{laid}"
    why = (record.reason or "") + laid
    unheard = f" {unheard_words(entry)}." if entry.unheard else ""
    return why + unheard


def unheard_words(entry: Entry) -> str:
    """Return a sentence about a lost listener: its processes, the effect, the remedy."""
    pids = safe_text.some([str(one.pid) for one in entry.unheard], _MOST_PIDS)
    return (
        f"The seccomp listener of its process {pids} is lost: each call that "
        f"the agent would answer fails with ENOSYS; {lost_listeners.REMEDY}"
    )

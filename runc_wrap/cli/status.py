"""runc-wrapctl status, and what verify shares: reading the node's state, naming a container."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import click

from runc_wrap import safe_text
from runc_wrap.cli import output, progress
from runc_wrap.doctor.installation_checks import records_written
from runc_wrap.evidence.sources import source_status
from runc_wrap.hotpath import policy_file
from runc_wrap.hotpath.decision import ENGINE_DEFAULT
from runc_wrap.hotpath.errors import Refusal
from runc_wrap.node.container_state import default_recognition, lost_listeners, node_status
from runc_wrap.policy import source_digests
from runc_wrap.policy.policy_errors import PolicyError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from runc_wrap.node.container_state.container_processes import Process
    from runc_wrap.node.container_state.node_status import Apart, Entry, Node
    from runc_wrap.node.paths import Places

_COLUMNS = ("CONTAINER", "PID", "DECLARED", "DECIDED", "KERNEL", "AGREES", "REASON")
_AGREES = {True: "yes", False: "NO", None: "-"}
_SENTENCES, _LONGEST = 3, 300  # warnings about one user's states, and characters of each
_SHORT = 12  # characters of an id, as engines show it
_FROM_RECORD = """
namespace pod container image action mode profile candidate reason rule ignored engine via replaced
""".split()


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.pass_obj
def status(places: Places, *, as_json: bool) -> None:
    """Show every container: its identity, what it declared, the decision, the kernel's state.

    A container that was not started through runc-wrap has no decision, and AGREES is "-".
    Users' own containers follow root's, each with its user; their data comes from that user.
    """
    node = look(places)
    _say_what_is_newer(places)
    entries = [*node.entries, *(entry for user in node.users for entry in user.entries)]
    if as_json:
        output.document([as_document(entry) for entry in entries])
    else:
        output.table(_COLUMNS, [_row(entry) for entry in entries])
        _say_what_is_kept(places, node.entries)


def _say_what_is_kept(places: Places, entries: Iterable[Entry]) -> None:
    """Print how many containers keep their engine's default profile, if any does."""
    kept = Counter(
        entry.engine_default
        for entry in entries
        if entry.engine_default and entry.record and not entry.record.is_sandbox
    )
    try:
        if kept:
            output.say(
                default_recognition.sentence(kept, policy_file.load(str(places.prefix))) + "."
            )
    except Refusal:  # there is no policy
        return


def look(places: Places) -> Node:
    """Return the node's state; print a warning about whatever could not be read."""
    with progress.shown("Looking at this node's containers"):
        found = lost_listeners.mark(node_status.gather(places.ledger), places)
        node = default_recognition.mark(found, places)
    blind = source_status.sentences(source_status.read(places.evidence))
    for sentence in (*node.notes, *blind.values()):
        output.warn(f"note: {sentence}")
    for finding in records_written.find(places):
        if finding.severity == "error":
            output.warn(f"{finding.sentence}; {finding.remedy}: {finding.command}")
    for sentence in node.unreadable:
        output.warn(f"not read: {sentence}")
    if node.damaged:
        output.warn(f"{node.damaged} lines of the ledger are damaged and were skipped")
    for user in node.users:
        _say_of(user)
    return node


def _say_of(user: Apart) -> None:
    """Print a few warnings about a user's own run directory; they affect only that user."""
    for sentence in user.unreadable[:_SENTENCES]:
        output.warn(f"not read: uid {user.uid}: {sentence[:_LONGEST]}")
    more = user.more + len(user.unreadable[_SENTENCES:])
    if more:
        output.warn(f"{more} more of uid {user.uid} are not shown")


def _say_what_is_newer(places: Places) -> None:
    """Print a warning if the sources differ from the policy in force, if there is one."""
    if not places.current.exists():
        return
    try:
        changed = source_digests.changes(places.sources(), places.current)
    except PermissionError:  # a cluster's is root's
        return
    except (PolicyError, OSError) as error:
        output.warn(f"the policy's sources cannot be read: {error}")
        return
    if changed:
        what = "; ".join(changed)
        output.warn(f"not in force yet: {what}. Run `runc-wrapctl apply`.")


def as_document(entry: Entry) -> dict[str, Any]:
    """Return a container's JSON."""
    found, record = entry.container, entry.record
    return {
        "id": found.id,
        "owner": found.owner,
        "pid": found.pid,
        "root": found.root,
        "state": found.state,
        "declared": declared(entry),
        **{name: record and getattr(record, name) for name in _FROM_RECORD},
        "engine_default": entry.engine_default or None,
        "effective": _effective(entry),
        "processes": len(entry.members),
        "deviating": [process_document(one) for one in entry.deviating],
        "unheard": [process_document(one) for one in entry.unheard],
        "laid": [*entry.laid],
        "agrees": entry.agrees,
    }


def _effective(entry: Entry) -> dict[str, int | None]:
    if not entry.members:
        return {"seccomp": None, "filters": None}
    return {"seccomp": entry.members[0].seccomp, "filters": entry.members[0].filters}


def process_document(process: Process) -> dict[str, Any]:
    """Return a process' JSON."""
    return {
        "pid": process.pid,
        "name": process.name,
        "seccomp": process.seccomp,
        "filters": process.filters,
    }


def named(entry: Entry) -> str:
    """Return a container's name for people: namespace/pod/container if it is in a pod."""
    record = entry.record
    short = entry.container.id if len(entry.container.id) != 64 else entry.container.id[:_SHORT]  # noqa: PLR2004 - the engines' ids are 32 bytes in hexadecimal
    parts = [record.namespace, record.pod, record.container] if record else []
    path = "/".join(part for part in parts if part)
    whose = f"uid {entry.container.owner}: " if entry.container.owner else ""
    return whose + (f"{path} ({short})" if path else short)


def _row(entry: Entry) -> tuple[str, ...]:
    return (
        named(entry),
        str(entry.container.pid or entry.container.state),
        declared(entry) or "-",
        decided(entry),
        _kernel(entry),
        _AGREES[entry.agrees],
        _reason(entry),
    )


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


def _kernel(entry: Entry) -> str:
    if not entry.members:
        return "-"
    return kernel_words(entry.members[0].seccomp, entry.members[0].filters)


def kernel_words(seccomp: int, filters: int | None) -> str:
    """Return the seccomp state of /proc/PID/status in words."""
    if seccomp != node_status.FILTERED:
        return "strict" if seccomp else "no filter"
    if filters is None:
        return "filtered"
    return f"{filters} filter" + "s" * (filters != 1)


def _reason(entry: Entry) -> str:
    record = entry.record
    laid = " Tightened since it started." if entry.laid else ""
    if record is None:
        return f"Not started through runc-wrap.{laid}"
    reason = (record.reason or "") + laid
    is_told = not record.ignored or record.ignored in reason
    ignored = "" if is_told else f" The annotation {record.ignored} does not count here."
    unheard = f" {unheard_words(entry)}." if entry.unheard else ""
    return reason + ignored + unheard


def unheard_words(entry: Entry) -> str:
    """Return a sentence about a lost listener: its processes, the effect, the remedy."""
    pids = safe_text.some([str(one.pid) for one in entry.unheard], _SENTENCES)
    return (
        f"The seccomp listener of its process {pids} is lost: each call that "
        f"its profile would deny fails with ENOSYS; {lost_listeners.REMEDY}"
    )

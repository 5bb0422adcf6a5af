"""runc-wrapctl status, and what apply, verify and tighten share with it.

These are the look at the node's containers, and the words and the JSON for each: its name, what was
decided about it, and what the kernel reports.
"""

from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

import click

from runc_wrap import safe_text
from runc_wrap.cli import options, output
from runc_wrap.doctor import installation_checks
from runc_wrap.evidence.sources import source_status
from runc_wrap.hotpath import policy_file
from runc_wrap.hotpath.decision import ENGINE_DEFAULT, Decision
from runc_wrap.hotpath.errors import Refusal
from runc_wrap.ledger.decision_record import Record
from runc_wrap.node.container_state import container_status, kept_defaults, lost_listeners
from runc_wrap.node.container_state.container_processes import FILTERED, Process
from runc_wrap.node.container_state.container_status import Entry, Node
from runc_wrap.node.paths import Places
from runc_wrap.policy.compiler_facts import PolicyError
from runc_wrap.policy.settings import policy_sources

_COLUMNS = ("CONTAINER", "PID", "DECLARED", "DECIDED", "KERNEL", "AGREES", "REASON")
_AGREES = {True: "yes", False: "NO", None: "-"}
_SENTENCES, _LONGEST_SENTENCE = 3, 300  # warnings about one user's states, and characters of each
_MOST_PIDS = 3  # named in a sentence
_LONGEST = 500  # characters of one thing: a namespace, a pod and a container have at most 379
_SHORT = 12  # characters of an id, as engines show it
_FROM_RECORD = """
namespace pod container image action mode profile candidate reason rule ignored engine via replaced
""".split()


@click.command()
@options.shows
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
    with suppress(Refusal):  # the policy, by which they were recognized, was removed since
        if kept:
            sentence = kept_defaults.sentence(kept, policy_file.load(str(places.prefix)))
            output.say(f"{sentence}.")


def look(places: Places) -> Node:
    """Return the node's state; print a warning about whatever could not be read."""
    with output.progress("Looking at this node's containers"):
        found = lost_listeners.mark(container_status.gather(places.ledger), places)
        node = kept_defaults.mark(found, places)
    blind = source_status.sentences(source_status.read(places.evidence))
    for sentence in (*node.notes, *blind.values()):
        output.warn(f"note: {sentence}")
    for finding in installation_checks.records(places):
        if finding.severity == "error":
            output.warn(f"{finding.sentence}; {finding.remedy}: {finding.command}")
    for sentence in node.unreadable:
        output.warn(f"not read: {sentence}")
    if node.damaged:
        output.warn(f"{node.damaged} lines of the ledger are damaged and were skipped")
    for user in node.users:  # a few of their run directories, which affect only them
        for sentence in user.unreadable[:_SENTENCES]:
            output.warn(f"not read: uid {user.uid}: {safe_text.name(sentence, _LONGEST_SENTENCE)}")
        if more := user.more + len(user.unreadable[_SENTENCES:]):
            output.warn(f"{more} more of uid {user.uid} are not shown")
    return node


def _say_what_is_newer(places: Places) -> None:
    """Print a warning if the sources differ from the policy in force, if there is one."""
    if not places.current.exists():
        return
    try:
        changed = policy_sources.changes(places.sources(), places.current)
    except PermissionError:  # a cluster's is root's
        return
    except (PolicyError, OSError) as error:
        output.warn(f"the policy's sources cannot be read: {error}")
        return
    if changed:
        output.warn(f"not in force yet: {'; '.join(changed)}. Run `runc-wrapctl apply`.")


def _row(entry: Entry) -> tuple[str, ...]:
    first = next(iter(entry.members), None)
    cells = (
        named(entry),
        str(entry.container.pid or entry.container.state),
        _declared(entry) or "-",
        decided(entry.record),
        kernel_words(first.seccomp, first.filters) if first else "-",
        _AGREES[entry.agrees],
        _reason(entry),
    )
    return tuple(safe_text.name(cell, _LONGEST) for cell in cells)  # a user's, too


def as_document(entry: Entry) -> dict[str, Any]:
    """Return a container's JSON."""
    found, record = entry.container, entry.record
    first = next(iter(entry.members), None)
    return {
        "id": found.id,
        "owner": found.owner,
        "pid": found.pid,
        "root": found.root,
        "state": found.state,
        "declared": _declared(entry),
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


def identity(entry: Entry) -> dict[str, Any]:
    """Return what identifies a container in all documents."""
    names, record = ("namespace", "pod", "container"), entry.record
    return {"id": entry.container.id} | {name: record and getattr(record, name) for name in names}


def named(entry: Entry) -> str:
    """Return a container's name for people: namespace/pod/container if it is in a pod."""
    record = entry.record
    short = entry.container.id if len(entry.container.id) != 64 else entry.container.id[:_SHORT]  # noqa: PLR2004 - the engines' ids are 32 bytes in hexadecimal
    parts = [record.namespace, record.pod, record.container] if record else []
    path = "/".join(part for part in parts if part)
    user = f"uid {entry.container.owner}: " if entry.container.owner else ""
    return safe_text.name(user + (f"{path} ({short})" if path else short), _LONGEST)


def _declared(entry: Entry) -> str | None:
    """Return what a container asked for, None if that is unknown."""
    if entry.engine_default:
        return ENGINE_DEFAULT
    return entry.record and entry.record.declared


def decided(found: Record | Decision | None) -> str:
    """Return the decision for a container, in a few words."""
    if found is None or found.action is None:
        return "-"
    if found.action != "inject":
        return found.action
    how = "restored as dumped" if found.restored else found.mode
    beside = f", candidate {found.candidate}" if found.candidate else ""
    return f"{found.profile} ({how}{beside})"


def kernel_words(seccomp: int, filters: int | None) -> str:
    """Return the seccomp state of /proc/PID/status in words."""
    if seccomp != FILTERED:
        return ("no filter", "strict", "", "ended by its filter")[seccomp]
    return "filtered" if filters is None else safe_text.number(filters, "filter")


def _reason(entry: Entry) -> str:
    """Return why a container was decided so, and what came of it since."""
    record = entry.record
    laid = " Tightened since it started." if entry.laid else ""
    laid += " Run `tighten` again, or restart it." if entry.partly_laid else ""
    if record is None:
        return f"No decision in the ledger: not started by runc-wrap, or its line is gone.{laid}"
    return (record.reason or "") + laid + (f" {unheard_words(entry)}." if entry.unheard else "")


def unheard_words(entry: Entry) -> str:
    """Return a sentence about a lost listener: its processes, the effect, the remedy."""
    pids = safe_text.some([str(one.pid) for one in entry.unheard], _MOST_PIDS)
    return (
        f"The seccomp listener of its process {pids} is lost: each call that "
        f"the agent would answer fails with ENOSYS; {lost_listeners.REMEDY}"
    )

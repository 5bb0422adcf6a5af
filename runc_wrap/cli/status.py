"""runc-wrapctl status, and reading the node's state, as verify and tighten do."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING

import click

from runc_wrap import safe_text
from runc_wrap.cli import container_text, output
from runc_wrap.doctor.installation_checks import records_written
from runc_wrap.evidence.sources import source_status
from runc_wrap.hotpath import policy_file
from runc_wrap.hotpath.errors import Refusal
from runc_wrap.node.container_state import container_status, default_recognition, lost_listeners
from runc_wrap.policy.compiler_facts import PolicyError
from runc_wrap.policy.settings import policy_sources

if TYPE_CHECKING:
    from collections.abc import Iterable

    from runc_wrap.node.container_state.container_status import Apart, Entry, Node
    from runc_wrap.node.paths import Places

_COLUMNS = ("CONTAINER", "PID", "DECLARED", "DECIDED", "KERNEL", "AGREES", "REASON")
_AGREES = {True: "yes", False: "NO", None: "-"}
_SENTENCES, _LONGEST = 3, 300  # warnings about one user's states, and characters of each


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
        output.document([container_text.as_document(entry) for entry in entries])
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
            sentence = default_recognition.sentence(kept, policy_file.load(str(places.prefix)))
            output.say(f"{sentence}.")


def look(places: Places) -> Node:
    """Return the node's state; print a warning about whatever could not be read."""
    with output.progress("Looking at this node's containers"):
        found = lost_listeners.mark(container_status.gather(places.ledger), places)
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
        output.warn(f"not read: uid {user.uid}: {safe_text.name(sentence, _LONGEST)}")
    more = user.more + len(user.unreadable[_SENTENCES:])
    if more:
        output.warn(f"{more} more of uid {user.uid} are not shown")


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
        what = "; ".join(changed)
        output.warn(f"not in force yet: {what}. Run `runc-wrapctl apply`.")


def _row(entry: Entry) -> tuple[str, ...]:
    cells = (
        container_text.named(entry),
        str(entry.container.pid or entry.container.state),
        container_text.declared(entry) or "-",
        container_text.decided(entry),
        container_text.kernel(entry),
        _AGREES[entry.agrees],
        container_text.reason(entry),
    )
    return tuple(safe_text.name(cell, container_text.LONGEST) for cell in cells)  # a user's, too

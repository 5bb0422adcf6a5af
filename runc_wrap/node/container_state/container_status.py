"""The decision about each container, joined with what the kernel reports of its processes.

`agrees` is about the number of filters, from /proc/PID/status only: every process has as many as
the decided config requires, in addition to those of the process that started the container. Filters
are inherited, so a process of a nested container must have the filters of both. A process may have
more, since programs confine themselves. deep_verify, beside this module, checks which calls a
filter denies. If the process that started the container was itself filtered and has ended, an
inherited filter looks like the decided one; deep_verify distinguishes these as well.
"""

import os
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from runc_wrap.host import bounded_work, container_discovery, procfs, runtime_state
from runc_wrap.host.container_discovery import FoundContainers, RuntimeContainer
from runc_wrap.ledger.decision_record import LaidFilters, Ledger, Record
from runc_wrap.node.container_state import container_processes, users_containers
from runc_wrap.node.container_state.container_processes import FILTERED, Process, inherited

_SECONDS = 120.0  # for root's states, in whose roots no other user should be able to write
# How often to look at a process that does not agree: it may still be the runtime, about to become
# the container's. It is looked at more often as long as it executes the runtime, on a busy node.
_LOOKS, _MOST_LOOKS = 6, 50
_PAUSE = 0.1  # seconds


@dataclass(frozen=True, slots=True)
class Entry:
    """One container.

    `members` begin with its first process. `deviating` are the members with too few filters,
    `unheard` the members whose watched calls fail because their seccomp listener was closed
    (lost_listeners). `record` is None if we decided nothing. `engine_default` names the engine's
    default profile that it brought and keeps, "" if it brought another or none (stated_defaults).
    `laid` are the digests of the filters that `tighten` laid on it: a process has them beside its
    own, or, if it was started later, one filter that is as strict as all of these. With those that
    are `partly_laid`, `tighten` did not come to its end, or not to every process.
    """

    container: RuntimeContainer
    record: Record | None
    members: list[Process] = field(default_factory=list)
    deviating: list[Process] = field(default_factory=list)
    unheard: list[Process] = field(default_factory=list)
    engine_default: str = ""
    laid: tuple[str, ...] = ()
    partly_laid: tuple[str, ...] = ()

    @property
    def needed(self) -> int:
        """The number of filters that the decision requires; a process may have more."""
        return max(self.record.filters if self.record else 0, bool(self.laid))

    @property
    def agrees(self) -> bool | None:
        """Tell whether the kernel does what was decided; None if that is unknown.

        A container that is not started may still get its filter.
        """
        state, is_decided = self.container.state, self.record is not None or bool(self.laid)
        if self.unheard:
            return False
        if not is_decided or not self.members or state == container_discovery.STOPPED:
            return None
        if self.deviating:
            return None if state == container_discovery.CREATED else False
        return not self.partly_laid


@dataclass(frozen=True, slots=True)
class Apart:
    """One user's own containers, from that user's data, which affect nothing of root's."""

    uid: int
    entries: list[Entry]
    unreadable: list[str]
    more: int


@dataclass(frozen=True, slots=True)
class Node:
    """The containers of root, or of the caller, and a sentence for each that could not be read.

    `users` are those of other users, `notes` sentences about what the caller may not read.
    """

    entries: list[Entry]
    damaged: int
    unreadable: list[str]
    users: list[Apart] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def gather(prefix_ledger: Path) -> Node:
    """Return the state of the whole node. Raises OSError for a ledger that cannot be read."""
    trusted = {0, os.geteuid()}
    ledgers, notes = users_containers.read_ledgers(prefix_ledger)
    found, real = _found(ledgers, trusted)
    others = users_containers.read(trusted)
    decided = [users_containers.canonical(one, real) for one in ledgers]
    joined = [(one, users_containers.record_of(one, decided, real)) for one in found.containers]
    laid = {whose: one for each in decided for whose, one in each.tightened.items()}
    users_containers.hand_over([one for one in joined if one[0].owner not in trusted], others)
    joined = [one for one in joined if one[0].owner in trusted]
    running = container_processes.snapshot()
    entries = settled(_entries(joined, running, laid, real), running)
    shown = [
        Apart(user.uid, _entries(user.found, running, {}, {}), user.unreadable, user.more)
        for user in others
    ]
    return Node(entries, sum(one.damaged for one in decided), found.unreadable, shown, notes)


def _found(
    ledgers: Sequence[Ledger], trusted: Collection[int]
) -> tuple[FoundContainers, dict[str, str]]:
    """Return the containers in the roots, and {root: its real path}.

    A child process reads them, since a user may control part of a path and make it hang.
    """
    named = dict.fromkeys(root for one in ledgers for root in sorted(one.roots))

    def look() -> Iterator[dict[str, Any]]:
        known = users_containers.readable(container_discovery.known_roots())
        for directory in users_containers.directories():
            known += container_discovery.known_roots(directory, runtime_state.USERS_ROOTS)
        found = container_discovery.find([*known, *named], trusted)
        yield from map(asdict, found.containers)
        yield {"places": users_containers.places([*known, *named]), "unreadable": found.unreadable}

    output = bounded_work.run({os.geteuid(): look}, _SECONDS)[os.geteuid()]
    late = f"reading the states took longer than {_SECONDS:g} s, or failed"
    rest: dict[str, Any] = {"places": {}, "unreadable": [late]}
    rest = output.values.pop() if output.is_complete else rest
    found = [RuntimeContainer(**one) for one in output.values]
    return FoundContainers(found, rest["unreadable"]), rest["places"]


def _entries(
    joined: Sequence[tuple[RuntimeContainer, Record | None]],
    running: Mapping[int, Process],
    laid: Mapping[tuple[str, str], LaidFilters],
    real: Mapping[str, str],
) -> list[Entry]:
    """Join containers with their processes, and with what was laid on this first process of each.

    No process of others' containers belongs to these.
    """
    found = [container for container, _ in joined]
    membership = container_processes.ContainerMembers(found, running)
    entries = []
    for place, (container, record) in enumerate(joined):
        entry = Entry(container, record, membership.of(place))
        whose = laid.get((real.get(container.root, container.root), container.id))
        if whose and whose.first == (container.pid, procfs.started(container.pid or 0)):
            entry = replace(entry, laid=whose.laid, partly_laid=whose.partly)
        few = _too_few(entry.needed, entry.members, entry.members, running)
        entries.append(replace(entry, deviating=few))
    return entries


def _too_few(
    needed: int,
    looked: Iterable[Process],
    members: Iterable[Process],
    running: Mapping[int, Process],
) -> list[Process]:
    """Return those of `looked` that have fewer filters than needed, beside inherited ones."""
    if not needed:
        return []
    inside = {one.pid for one in members}
    return [
        one
        for one in looked
        if not is_enough(one.seccomp, one.filters, needed, inherited(one, inside, running))
    ]


def is_enough(seccomp: int, filters: int | None, needed: int, had: int) -> bool:
    """Tell whether a process has the decided filters in addition to those that it `had`."""
    return not needed or (seccomp == FILTERED and (filters is None or filters >= needed + had))


def settled(entries: list[Entry], running: Mapping[int, Process]) -> list[Entry]:
    """Look again at deviating processes: an exec'd one is the runtime until it has its filter.

    A process that has ended by then, or is confined, was not a deviation.
    """
    for look in range(_MOST_LOOKS):
        waiting = [
            place
            for place, entry in enumerate(entries)
            if entry.deviating
            and entry.agrees is False
            and (look < _LOOKS or all(runtime_state.is_runtime(one.pid) for one in entry.deviating))
        ]
        if not waiting:
            break
        time.sleep(_PAUSE)
        for place in waiting:
            entries[place] = _again(entries[place], running)
    return entries


def _again(entry: Entry, running: Mapping[int, Process]) -> Entry:
    looked = [(one.pid, container_processes.look(one.handle)) for one in entry.deviating]
    still = {pid: now for pid, now in looked if now and now.handle.is_running()}
    found = _too_few(entry.needed, still.values(), entry.members, running)
    gone = {one.pid for one in entry.deviating} - still.keys()
    members = [still.get(one.pid, one) for one in entry.members if one.pid not in gone]
    return replace(entry, members=members, deviating=found)

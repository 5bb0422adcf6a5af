"""What was decided for each container, joined with what the kernel says of its processes.

`agrees` is about filters in force, told by /proc/PID/status alone: every process has as many as the
decided config asks for, on top of those that it got from whoever started the container. A process
may have more: programs confine themselves. Which calls a filter denies is `runc_wrap.node.deep`'s.
Where whoever started it was itself filtered and is gone, a filter that was inherited looks like the
decided one; `runc_wrap.node.deep` tells these apart too.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from runc_wrap.evidence import ledger
from runc_wrap.node import containers, processes

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from runc_wrap.evidence.ledger import Ledger, Record
    from runc_wrap.node.containers import Container
    from runc_wrap.node.processes import Process

FILTERED = 2  # SECCOMP_MODE_FILTER
_DEFAULT_ROOTS = frozenset({"/run/runc", "/run/crun"})
_USERS = "/run/user/"
# Looks at a process that does not agree: it may be the runtime's, about to become one. More of them
# as long as it says so by its name, which on a busy node takes its time.
_LOOKS, _MOST_LOOKS = 6, 50
RUNTIMES_OWN = ("runc:[", "crun")  # names of a process that still is the runtime
_PAUSE = 0.1  # seconds


@dataclass(frozen=True, slots=True)
class Entry:
    """One container.

    `members` begin with its first process; `deviating` are those of them that have fewer filters
    than they should; `record` is None where nothing was decided by us.
    """

    container: Container
    record: Record | None
    members: list[Process] = field(default_factory=list)
    deviating: list[Process] = field(default_factory=list)

    @property
    def needed(self) -> int:
        """How many filters the decision asks for."""
        return self.record.filters if self.record else 0

    @property
    def agrees(self) -> bool | None:
        """Tell whether the kernel says what was decided; None where that cannot be told."""
        return agrees(self.container.state, self.record, self.members, self.deviating)


@dataclass(frozen=True, slots=True)
class Node:
    """All containers of this node, and a sentence for whatever could not be read."""

    entries: list[Entry]
    damaged: int
    unreadable: list[str]


def agrees(
    state: str, record: Record | None, members: Sequence[Process], deviating: Sequence[Process]
) -> bool | None:
    """Decide. Pure. A container that is not started may still get its filter."""
    if record is None or not members or state == containers.STOPPED:
        return None
    if deviating:
        return None if state == containers.CREATED else False
    return True


def is_enough(seccomp: int, filters: int | None, needed: int, had: int) -> bool:
    """Tell whether a process has the filters that were decided, above those it had before. Pure."""
    if not needed:
        return True
    return seccomp == FILTERED and (filters is None or filters >= needed + had)


def gather(prefix_ledger: Path) -> Node:
    """Look at the whole node. Raises OSError for a ledger that cannot be read."""
    ledgers = [_Ledger(prefix_ledger, 0), *_users_ledgers()]
    roots = dict.fromkeys(containers.known_roots())
    roots.update(dict.fromkeys(sorted(root for one in ledgers for root in one.read.roots)))
    found = containers.find(roots)
    running = processes.snapshot()
    membership = processes.Membership(found.containers, running)
    entries = [
        _entry(container, _record_of(container, ledgers), membership.of(place), running)
        for place, container in enumerate(found.containers)
    ]
    return Node(
        settled(entries, running), sum(one.read.damaged for one in ledgers), found.unreadable
    )


class _Ledger:
    """A ledger, and the user whose containers alone it may speak of: 0 is of all."""

    def __init__(self, directory: Path, owner: int) -> None:
        self.owner = owner
        read = ledger.read(directory)
        self.read: Ledger = ledger.Ledger(
            {(_canonical(root), name): record for (root, name), record in read.records.items()},
            read.damaged,
        )


def _canonical(root: str) -> str:
    return os.path.realpath(root) if root else ""


def _users_ledgers() -> list[_Ledger]:
    found = []
    for directory in sorted(Path(_USERS).glob("*/runc-wrap/ledger")):
        try:
            found.append(_Ledger(directory, directory.stat().st_uid))
        except OSError:  # another user's, or a file system that only its user may enter
            continue
    return [one for one in found if one.owner]


def _record_of(container: Container, ledgers: Sequence[_Ledger]) -> Record | None:
    """Return the record that counts: without --root, the runtime took its own default."""
    root = _canonical(container.root)
    named = [root, ""] if _is_default(root) else [root]
    found = (
        one.read.of(name, container.id)
        for one in ledgers
        if one.owner in (0, container.owner)
        for name in named
    )
    return max((one for one in found if one), key=lambda one: one.time or "", default=None)


def _is_default(root: str) -> bool:
    return root in _DEFAULT_ROOTS or (root.startswith(_USERS) and root.endswith(("/runc", "/crun")))


def _entry(
    container: Container,
    record: Record | None,
    members: list[Process],
    running: Mapping[int, Process],
) -> Entry:
    return Entry(container, record, members, _deviating(record, members, members, running))


def _deviating(
    record: Record | None,
    looked: Iterable[Process],
    members: Iterable[Process],
    running: Mapping[int, Process],
) -> list[Process]:
    needed = record.filters if record else 0
    if not needed:
        return []
    inside = {one.pid for one in members}
    return [
        one
        for one in looked
        if not is_enough(one.seccomp, one.filters, needed, inherited(one, inside, running))
    ]


def inherited(process: Process, inside: set[int], running: Mapping[int, Process]) -> int:
    """Return how many filters whoever brought this process into the container has itself."""
    parent = running.get(process.parent)
    while parent and parent.pid in inside:
        parent = running.get(parent.parent)
    return (parent.filters or 0) if parent else 0


def settled(entries: list[Entry], running: Mapping[int, Process]) -> list[Entry]:
    """Look again at what deviates: an exec'd process is the runtime's own until it has its filter.

    What is gone by then, or confined, was no deviation.
    """
    for look in range(_MOST_LOOKS):
        waiting = [
            place
            for place, entry in enumerate(entries)
            if entry.agrees is False and (look < _LOOKS or _is_on_its_way(entry))
        ]
        if not waiting:
            break
        time.sleep(_PAUSE)
        for place in waiting:
            entries[place] = _again(entries[place], running)
    return entries


def _is_on_its_way(entry: Entry) -> bool:
    return all(one.name.startswith(RUNTIMES_OWN) for one in entry.deviating)


def _again(entry: Entry, running: Mapping[int, Process]) -> Entry:
    looked = [(one.pid, processes.look(one.handle)) for one in entry.deviating]
    still = {pid: now for pid, now in looked if now and now.handle.is_running()}
    deviating = _deviating(entry.record, still.values(), entry.members, running)
    members = [still.get(one.pid, one) for one in entry.members]
    gone = {one.pid for one in entry.deviating} - still.keys()
    members = [one for one in members if one.pid not in gone]
    return replace(entry, members=members, deviating=deviating)

"""In which containers processes are, read from /proc: all at the start, and some while they start.

All are read anew where news of them was lost. Those that exec, or whose parent does not say where
they are, are found by their place (cgroup_membership).
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from runc_wrap.evidence.attribution.container_starts import OTHER, Starts
from runc_wrap.evidence.attribution.host_processes import Hosts
from runc_wrap.evidence.attribution.live_process_lookup import Present
from runc_wrap.evidence.attribution.unplaced_processes import UnplacedProcesses
from runc_wrap.host import procfs, runtime_state

if TYPE_CHECKING:
    from collections.abc import Callable

    from runc_wrap.evidence.attribution.ledger_containers import Known
    from runc_wrap.evidence.attribution.process_lifetimes import Lives
    from runc_wrap.hotpath.ledger_file import Key

_MOST_ANCESTORS = 64
_LATE = 0.5  # seconds from an exec to a reading of /proc within which no pid is reused


class ProcessScan:
    """Notes in `lives` the processes that are in containers, in `hosts` those that are in none.

    `meanwhile` is called now and then in a `scan`.
    """

    def __init__(self, known_containers: Known, lives: Lives) -> None:
        self.known = known_containers
        self.lives = lives
        self.present = Present(known_containers)
        self.unplaced = UnplacedProcesses()
        self.starts = Starts(
            known_containers, lives, self.unplaced, self.present.membership, self.lead
        )
        self.meanwhile: Callable[[], object] = bool
        self.hosts = Hosts()
        self._mounts = procfs.namespace_inode("self", "mnt") or -1

    def scan(self, end: Callable[[int, float], None]) -> None:
        """Read all processes in /proc; known ones stay, and `end` is called for ended ones."""
        self.starts.refresh(time.time())
        found: dict[int, tuple[int, int]] = {}
        for pid in procfs.pids():
            self.meanwhile()
            there = procfs.born(pid)
            if there:
                found[pid] = there
        firsts = runtime_state.first_processes(self.known.newest())
        for key in firsts.values():
            self.present.membership.learn(key)
        for pid, life in list(self.lives.alive.items()):
            if pid not in found or abs(procfs.epoch(found[pid][0]) - life.start) > OTHER:
                end(pid, time.time())
        for pid, (start, _) in found.items():
            self.meanwhile()
            whose = self.present.membership.of(pid) or firsts.get((pid, start))
            if whose:
                self.lives.begin(pid, procfs.epoch(start), whose)
        for pid in found:
            self._inherit(pid, found)
        self._scan_elsewhere(found.keys() - self.lives.alive.keys())

    def _scan_elsewhere(self, pids: set[int]) -> None:
        """Look anew at all processes that are in no container."""
        self.hosts.forget_all()
        for pid in self.lives.alive:
            self.lead(pid)
        for pid in pids:
            self._look_elsewhere(pid, time.time())

    def look_at_child(self, pid: int, when: float) -> None:
        """Read the place of a new process whose parent says nothing about it."""
        self.starts.refresh(when)
        if time.time() - when > _LATE or pid in self.lives.alive:
            return
        key = self.present.membership.of(pid)
        if key:
            self.lives.begin(pid, when, key, None)
            self.lead(pid)
        else:
            self._look_elsewhere(pid, when)

    def lead(self, pid: int) -> None:
        """Note the ancestors of a container's process: they may seem to be parents of others."""
        ancestors: list[int] = []
        there = procfs.born(pid)
        while there and there[1] > 1 and len(ancestors) < _MOST_ANCESTORS:
            ancestors.append(there[1])
            there = procfs.born(there[1])
        self.hosts.lead(one for one in ancestors if one not in self.lives.alive)

    def look(self, pid: int, when: float) -> None:
        """Read the place of a process that execs: a container may begin with it."""
        self.starts.refresh(when)
        key = self.present.membership.of(pid)
        if key:
            there = procfs.born(pid)
            self.lives.begin(pid, procfs.epoch(there[0]) if there else when, key, when)
            self.hosts.joined(pid, when)
            self.lead(pid)
        elif time.time() - when > _LATE or not self._look_elsewhere(pid, when):
            self.hosts.executed(pid, when)
        self.starts.look_for_firsts(when)

    def _look_elsewhere(self, pid: int, when: float) -> bool:
        """Note a process as outside all containers if that is certain; return whether it is.

        It may be in a container whose place is unknown (as it shares its cgroup), but then it does
        not have our mounts.
        """
        exe = procfs.program(pid)
        if exe is None:
            return False
        membership, running = self.present.membership, list(self.lives.running)
        made = filter(self.starts.is_made, running)
        are_known = all(map(membership.has_place, made))
        is_foreign = membership.is_elsewhere(pid, running)
        if is_foreign is None or (
            not are_known and procfs.namespace_inode(pid, "mnt") != self._mounts
        ):
            return False
        self.hosts.looked(pid, when, exe, is_foreign=is_foreign)
        return True

    def ask(self, pid: int, when: float, *, ends: bool) -> Key | None:
        """Look up an unknown process in /proc; it must have been running then.

        `ends`: its end will be reported, so that it can be remembered.
        """
        found = self.present.of(pid, when)
        if found is None:
            return None
        start, key = found
        if ends:
            self.lives.begin(pid, start, key, self._program(pid))
            self.lead(pid)
        return key

    def _program(self, pid: int) -> float | None:
        """Return since when a process found in /proc runs a program: it may be the runtime's.

        The parents of the runtime and of its child are outside the container.
        """
        there = procfs.born(pid)
        return 0.0 if there and there[1] in self.lives.alive else None

    def _inherit(self, pid: int, found: dict[int, tuple[int, int]]) -> None:
        """Attribute a process to the container of the nearest ancestor that has one."""
        path: list[int] = []
        while pid in found and pid not in self.lives.alive and len(path) < _MOST_ANCESTORS:
            path.append(pid)
            pid = found[pid][1]
        life = self.lives.alive.get(pid)
        for child in reversed(path) if life else ():
            start = procfs.epoch(found[child][0])
            self.lives.begin(child, start, life.key, life.child(start))  # type: ignore[union-attr]
            # loop runs for a life only

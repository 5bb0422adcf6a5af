"""The container of a record's process, looked up in /proc afterwards, while the process runs.

A pid by itself says nothing, since pids are reused: the process that has it now must have started
before the record was written. It belongs to a container if its cgroup and pid namespace prove it
(cgroup_membership), if the runtime's state names it, or if an ancestor belongs to it.
Records of processes that have ended count as unattributed. The agent's process tree
(evidence.attribution.process_tree) knows those too, and falls back to this.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from runc_wrap.evidence.attribution.cgroup_membership import Membership
from runc_wrap.evidence.attribution.clock_precision import COARSE, TICK
from runc_wrap.host import procfs

if TYPE_CHECKING:
    from runc_wrap.evidence.attribution.ledger_containers import Known
    from runc_wrap.hotpath.ledger_file import Key

_MOST_ANCESTORS = 64
_MOST_REMEMBERED = 4096


class Present:
    """Reads /proc: `of` each time, `container_of`, for reports, once for each pid."""

    def __init__(self, known_containers: Known) -> None:
        self._known = known_containers
        self.membership = Membership(known_containers)
        self._outside: dict[int, int] = {}
        self._asked: dict[int, tuple[float, Key] | None] = {}

    def container_of(self, pid: int, when: float) -> Key | None:
        """Return the container of a pid at a time (seconds since the epoch), None if unknown.

        Each pid is looked up once, as there may be millions of records.
        """
        if pid not in self._asked:
            if len(self._asked) >= 16 * _MOST_REMEMBERED:
                self._asked.clear()
            self._asked[pid] = self.of(pid, time.time())
        found = self._asked[pid]
        return found[1] if found and found[0] <= when + COARSE + TICK else None

    def of(self, pid: int, when: float) -> tuple[float, Key] | None:
        """Return a process' start and container, if it was running at `when`; None if unknown."""
        there = procfs.born(pid)
        if not there or procfs.epoch(there[0]) > when + COARSE + TICK:
            return None
        if self._outside.get(pid) == there[0]:
            return None
        key = self.membership.of(pid) or self._by_relation(pid, there)
        if procfs.born(pid) != there:
            return None
        if key is None:
            self._remember_outside(pid, there[0])
            return None
        return procfs.epoch(there[0]), key

    def _by_relation(self, pid: int, there: tuple[int, int]) -> Key | None:
        """Look for a process in the runtimes' state, then for its ancestors."""
        key = self._known.of_first_process(pid, there[0])
        for _ in range(_MOST_ANCESTORS):
            parent = there[1]
            above = procfs.born(parent) if parent > 1 and not key else None
            if above is None:
                break
            key = self.membership.of(parent)
            there = above
        return key

    def _remember_outside(self, pid: int, start: int) -> None:
        """Remember a process in no container: services have their own filters that log."""
        if len(self._outside) >= _MOST_REMEMBERED:
            self._outside.clear()
        self._outside[pid] = start

"""Which container a record's process is of, asked afterwards: of what is still there.

A pid by itself says nothing, since pids come again: the process that has it now must have started
before the record was written. It is a container's by its cgroup and pid namespace, as they prove it
(evidence.attribution.membership), by the runtime's own word, or by an ancestor's. Who is gone is
nobody's: such records are counted as unattributed. The agent's process connector
(evidence.attribution.process_tree) knows those too. The agent falls back to it.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from runc_wrap.evidence.attribution.membership import Membership
from runc_wrap.host import procfs

if TYPE_CHECKING:
    from runc_wrap.evidence.attribution.container_index import Key, Known

# Seconds that a record's time, the kernel's coarse clock, can be behind: six ticks of HZ=250, where
# a CPU is kept from its timer (linux:kernel/time/tick-sched.c, MAX_STALLED_JIFFIES), cut to ms
COARSE = 0.03
TICK = 0.011  # seconds: start times in /proc are cut to clock ticks
_AT_ONCE, _MOST_LOOKS = 0.0005, 20  # seconds between two looks at a clock; times
_MOST_ANCESTORS = 64
_MOST_REMEMBERED = 4096


class Present:
    """Asks /proc. `of` asks each time, `container_of` once for each pid: for a report."""

    def __init__(self, known_containers: Known) -> None:
        self._known = known_containers
        self.membership = Membership(known_containers)
        self._strangers: dict[int, int] = {}
        self._asked: dict[int, tuple[float, Key] | None] = {}

    def container_of(self, pid: int, when: float) -> Key | None:
        """Return whose process had this pid at a time (seconds since the epoch), None if unknown.

        What a pid is now is asked once: records come by the million.
        """
        if pid not in self._asked:
            if len(self._asked) >= 16 * _MOST_REMEMBERED:
                self._asked.clear()
            self._asked[pid] = self.of(pid, time.time())
        found = self._asked[pid]
        return found[1] if found and found[0] <= when + COARSE + TICK else None

    def of(self, pid: int, when: float) -> tuple[float, Key] | None:
        """Return since when a process is there and whose it is, if it was there at `when`."""
        there = procfs.born(pid)
        if not there or epoch(there[0]) > when + COARSE + TICK:
            return None
        if self._strangers.get(pid) == there[0]:
            return None
        key = self.membership.of(pid) or self._by_relation(pid, there)
        if procfs.born(pid) != there:
            return None
        if key is None:
            self._remember_stranger(pid, there[0])
            return None
        return epoch(there[0]), key

    def _by_relation(self, pid: int, there: tuple[int, int]) -> Key | None:
        """Ask the runtimes about a process, then about its ancestors."""
        key = self._known.of_first_process(pid, there[0])
        for _ in range(_MOST_ANCESTORS):
            parent = there[1]
            above = procfs.born(parent) if parent > 1 and not key else None
            if above is None:
                break
            key = self.membership.of(parent)
            there = above
        return key

    def _remember_stranger(self, pid: int, start: int) -> None:
        """Remember who is in no container: services have filters of their own that log."""
        if len(self._strangers) >= _MOST_REMEMBERED:
            self._strangers.clear()
        self._strangers[pid] = start


def epoch(ticks: int) -> float:
    """Return a start time of /proc, in clock ticks since boot, as seconds since the epoch."""
    return began(time.CLOCK_BOOTTIME) + ticks / os.sysconf("SC_CLK_TCK")


def began(clock: int) -> float:
    """Return the epoch's time when a clock began, asked without a pause in between."""
    for _ in range(_MOST_LOOKS):
        before, now, after = time.clock_gettime(clock), time.time(), time.clock_gettime(clock)
        if after - before < _AT_ONCE:
            break
    return now - (before + after) / 2

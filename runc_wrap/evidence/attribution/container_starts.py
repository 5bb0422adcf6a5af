"""Attributes to a container the runtimes that create it or join it, and its first process.

A runtime's process and its descendants may have started, and perhaps ended, before it was known
that the runtime made or joined the container: then their lives are noted after the fact.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from runc_wrap.evidence.attribution.clock_precision import TICK
from runc_wrap.evidence.attribution.process_lifetimes import ALWAYS
from runc_wrap.evidence.attribution.runtime_programs import Family
from runc_wrap.evidence.attribution.unplaced_processes import SECOND
from runc_wrap.host import procfs, runtime_state

if TYPE_CHECKING:
    from collections.abc import Callable

    from runc_wrap.evidence.attribution.cgroup_membership import Membership
    from runc_wrap.evidence.attribution.ledger_containers import Known
    from runc_wrap.evidence.attribution.process_lifetimes import Lives
    from runc_wrap.evidence.attribution.unplaced_processes import UnplacedProcess, UnplacedProcesses
    from runc_wrap.hotpath.ledger_file import Key


OTHER = 1.0  # seconds by which two starts differ if they are not one process'; clocks are set
_MOST_AWAITED = 64
_MOST_JOINING = 256
_AWAITED = 60.0  # seconds from a decision to the container's first process


class Starts:
    """The containers whose first process may come, and the runtimes that join a container.

    Processes that become a container's begin in `lives`; `lead` is called with each of them that
    has its parent outside.
    """

    def __init__(
        self,
        known: Known,
        lives: Lives,
        unplaced: UnplacedProcesses,
        membership: Membership,
        lead: Callable[[int], None],
    ) -> None:
        self._known = known
        self._lives = lives
        self._unplaced = unplaced
        self._membership = membership
        self._lead = lead
        self._awaited: dict[Key, float] = {}
        self._decided: set[str | None] = set()
        self._joining: list[tuple[Key, int, float]] = []

    def awaited(self) -> list[Key]:
        """Return the containers whose first process may come now."""
        now = time.time()
        return [key for key, until in self._awaited.items() if until > now]

    def is_made(self, key: Key) -> bool:
        """Return whether a container has its first process: before, only its runtime is in it."""
        return key not in self._awaited or runtime_state.first_process(key) is not None

    def decided(self) -> set[str | None]:
        """Return the modes of containers that were decided since the last call."""
        found, self._decided = self._decided, set()
        return found

    def refresh(self, when: float) -> None:
        """Take in new containers; wait for the first process of each, which may already run."""
        for key in self._known.news():
            pid, created = self._known.creator(key) or (0, when)
            if created + _AWAITED > when:  # else a scan has found it, or it has ended
                self._awaited[key] = created + _AWAITED
                self._decided.add(self._known.mode(key))
                if pid:
                    self._adopt(key, pid, created)
        while len(self._awaited) > _MOST_AWAITED:
            del self._awaited[next(iter(self._awaited))]

    def _adopt(self, key: Key, pid: int, second: float) -> None:
        """Attribute to a container the runtime's process that created it, and all descendants."""
        there = procfs.born(pid)  # it may have started before the agent
        if there and second - _AWAITED < procfs.epoch(there[0]) < second + SECOND:
            self._unplaced.begun(pid, procfs.epoch(there[0]))
        self._lead(pid)
        family = list(self._unplaced.created(pid, second))
        if family:
            take_in(self._lives, key, pid, family)
        else:
            self._unplaced.expect(key, pid, second)

    def join(self, key: Key, pid: int, when: float) -> None:
        """Note a runtime that root started to join a container."""
        self._joining = [*self._joining, (key, pid, when)][-_MOST_JOINING:]

    def have_joined(self, has_told: Callable[[float], bool]) -> None:
        """Attribute to containers the runtimes that joined them, once the news of then is read."""
        waiting = [one for one in self._joining if not has_told(one[2])]
        ready = [one for one in self._joining if has_told(one[2])]
        self._joining = waiting
        for key, pid, when in ready:
            there = procfs.born(pid)
            if (
                there and procfs.epoch(there[0]) <= when + TICK
            ):  # it had this pid then, and still has
                self._unplaced.begun(pid, procfs.epoch(there[0]))
            self._lead(pid)
            if pid not in self._lives.alive:
                take_in(self._lives, key, pid, list(self._unplaced.created(pid, when, TICK)))

    def look_for_firsts(self, when: float) -> None:
        """Attribute the first process of each awaited container, if its runtime's state has it."""
        for key in list(self._awaited):
            self._look_for_first(key, when)

    def _look_for_first(self, key: Key, when: float) -> None:
        first = runtime_state.first_process(key)
        there = procfs.born(first[0]) if first else None
        if first and there and there[0] == first[1]:
            life = self._lives.alive.get(first[0])
            if life is None or life.key != key:
                self._lives.begin(
                    first[0], procfs.epoch(there[0]), key, None
                )  # it may be the runtime
                self._lead(first[0])
            self._membership.learn(key)
        if self._awaited[key] < when or first:
            del self._awaited[key]


def take_in(lives: Lives, key: Key, runtime: int, family: list[UnplacedProcess]) -> None:
    """Note the lives of a runtime of this pid and its descendants until now as a container's."""
    events: list[tuple[float, bool, int, UnplacedProcess]] = []
    for one in family:
        events.append((one.start, True, one.pid, one))
        if one.end is not None:
            events.append((one.end, False, one.pid, one))
    if not events:
        return
    events.sort(key=lambda event: event[:3])
    is_there = any(one.pid == runtime and one.end is None for one in family)
    known = Family(runtime) if is_there else None
    lives.hold(key)  # so that it does not end before all are noted
    for when, begins, pid, one in events:
        if begins:
            program = _program(lives, one, runtime)
            is_new = program is None and one.end is None
            looked = known.looked(pid) if known and (is_new or pid == runtime) else None
            lives.begin(pid, when, key, program, family=known, looked=looked)
        else:
            lives.end(pid, when)
    lives.release(key, events[-1][0])


def _program(lives: Lives, one: UnplacedProcess, runtime: int) -> float | None:
    """Return since when one of a runtime's family runs the container's own program."""
    if one.pid == runtime:
        return ALWAYS
    parent = lives.alive.get(one.parent)
    inherited = parent.child(one.start) if parent else None
    return one.program if inherited is None else inherited

"""Places processes in containers: by /proc, by their runtime's line in the ledger, by a notice.

All of /proc is read at the start, and anew where news of processes were lost. Those that exec, or
whose parent does not say where they are, are found by their place (cgroup_membership).

The runtimes that create a container or join it are the container's, and so is its first process. A
runtime's process and its descendants may have started, and perhaps ended, before it was known that
the runtime made or joined the container: then their lives are noted after the fact.
"""

import time
from collections import deque
from collections.abc import Callable

from runc_wrap.evidence.attribution import outside_processes
from runc_wrap.evidence.attribution.cgroup_membership import Present
from runc_wrap.evidence.attribution.ledger_containers import Known
from runc_wrap.evidence.attribution.process_lifetimes import ALWAYS, Family, Life, Lives
from runc_wrap.evidence.sightings import TICK
from runc_wrap.host import procfs, runtime_state
from runc_wrap.hotpath.ledger_file import Key

_LATE = 0.5  # seconds from an exec to a reading of /proc within which no pid is reused
_OTHER = 1.0  # seconds by which two starts differ if they are not one process'; clocks are set
_MOST_AWAITED = 64
_MOST_JOINING = 256
_AWAITED = 60.0  # seconds from a decision to the container's first process


class ProcessDiscovery:
    """Notes in `lives` the processes that are in containers, in `hosts` those that are in none.

    `meanwhile` is called now and then in a `scan`.
    """

    def __init__(self, known_containers: Known, lives: Lives) -> None:
        self.known = known_containers
        self.lives = lives
        self.present = Present(known_containers)
        self.unplaced = outside_processes.UnplacedProcesses()
        self.meanwhile: Callable[[], object] = bool
        self.hosts = outside_processes.Hosts()
        self._mounts = procfs.namespace_inode("self", "mnt") or -1
        self._awaited: dict[Key, float] = {}  # whose first process may come until then
        self._decided: set[str | None] = set()
        self._joining: deque[tuple[Key, int, float]] = deque(maxlen=_MOST_JOINING)

    def scan(self, end: Callable[[int, float], None]) -> None:
        """Read all processes in /proc; known ones stay, and `end` is called for ended ones."""
        self.refresh(time.time())
        found: dict[int, tuple[int, int]] = {}
        for pid in procfs.pids():
            self.meanwhile()
            there = procfs.born(pid)
            if there:
                found[pid] = there
        each = ((runtime_state.first_process(key), key) for key in self.known.newest())
        firsts = {first: key for first, key in each if first}
        for key in firsts.values():
            self.present.membership.learn(key)
        for pid, life in list(self.lives.alive.items()):
            if pid not in found or abs(procfs.epoch(found[pid][0]) - life.start) > _OTHER:
                end(pid, time.time())
        for pid, (start, _) in found.items():
            self.meanwhile()
            whose = self.present.membership.of(pid) or firsts.get((pid, start))
            if whose:
                self.lives.begin(pid, Life(procfs.epoch(start), whose))
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
        self.refresh(when)
        if time.time() - when > _LATE or pid in self.lives.alive:
            return
        key = self.present.membership.of(pid)
        if key:
            self.lives.begin(pid, Life(when, key, None))
            self.lead(pid)
        else:
            self._look_elsewhere(pid, when)

    def lead(self, pid: int) -> None:
        """Note the ancestors of a container's process: they may seem to be parents of others."""
        self.hosts.lead(one for one in procfs.ancestors(pid) if one not in self.lives.alive)

    def look(self, pid: int, when: float) -> None:
        """Read the place of a process that execs: a container may begin with it."""
        self.refresh(when)
        key = self.present.membership.of(pid)
        if key:
            there = procfs.born(pid)
            self.lives.begin(pid, Life(procfs.epoch(there[0]) if there else when, key, when))
            self.hosts.end(pid, when)
            self.lead(pid)
        elif time.time() - when > _LATE or not self._look_elsewhere(pid, when):
            self.hosts.executed(pid, when)
        for awaited in list(self._awaited):
            self._look_for_first(awaited, when)

    def _look_elsewhere(self, pid: int, when: float) -> bool:
        """Note a process as outside all containers if that is certain; return whether it is.

        It may be in a container whose place is unknown (as it shares its cgroup), but then it does
        not have our mounts.
        """
        exe = procfs.program(pid)
        if exe is None:
            return False
        membership, running = self.present.membership, list(self.lives.running)
        # before its first process only a container's runtime is in it
        made = [
            key
            for key in running
            if key not in self._awaited or runtime_state.first_process(key) is not None
        ]
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
            self.lives.begin(pid, Life(start, key, self._program(pid)))
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
        while pid in found and pid not in self.lives.alive and len(path) < procfs.MOST_ANCESTORS:
            path.append(pid)
            pid = found[pid][1]
        life = self.lives.alive.get(pid)
        for child in reversed(path) if life else ():
            start = procfs.epoch(found[child][0])
            self.lives.begin(child, Life(start, life.key, life.child(start)))  # type: ignore[union-attr]
            # loop runs for a life only

    def awaited(self) -> list[Key]:
        """Return the containers whose first process may come now."""
        now = time.time()
        return [key for key, until in self._awaited.items() if until > now]

    def decided(self) -> set[str | None]:
        """Return the modes of containers that were decided since the last call."""
        found, self._decided = self._decided, set()
        return found

    def refresh(self, when: float) -> None:
        """Take in new containers; wait for the first process of each, which may already run."""
        for key in self.known.news():
            pid, created = self.known.creator(key) or (0, when)
            if created + _AWAITED > when:  # else a scan has found it, or it has ended
                self._awaited[key] = created + _AWAITED
                self._decided.add(self.known.mode(key))
                if not pid:
                    continue
                since = created - _AWAITED
                if family := self._family(pid, created, since, outside_processes.SECOND):
                    _take_in(self.lives, key, pid, family)
                else:
                    self.unplaced.expect(key, pid, created)
        while len(self._awaited) > _MOST_AWAITED:
            del self._awaited[next(iter(self._awaited))]

    def _family(
        self, pid: int, when: float, earliest: float, within: float
    ) -> list[outside_processes.UnplacedProcess]:
        """Return the runtime that had this pid then and its descendants; [] if it is not known.

        It may still run, and have started before the agent, but not before `earliest`.
        """
        there = procfs.born(pid)
        if there and earliest < procfs.epoch(there[0]) < when + within:
            self.unplaced.begun(pid, procfs.epoch(there[0]))
        self.lead(pid)
        return list(self.unplaced.created(pid, when, within))

    def join(self, key: Key, pid: int, when: float) -> None:
        """Note a runtime that root started to join a container: its children are the container's.

        It takes effect with the tree's next `read`, which knows the process and its children.
        """
        self._joining.append((key, pid, when))

    def have_joined(self, has_told: Callable[[float], bool]) -> None:
        """Attribute to containers the runtimes that joined them, once the news of then is read."""
        while self._joining and has_told(self._joining[0][2]):
            key, pid, when = self._joining.popleft()
            family = self._family(pid, when, 0.0, TICK)
            if pid not in self.lives.alive:
                _take_in(self.lives, key, pid, family)

    def _look_for_first(self, key: Key, when: float) -> None:
        """Attribute the first process of an awaited container, if its runtime's state has it."""
        first = runtime_state.first_process(key)
        there = procfs.born(first[0]) if first else None
        if first and there and there[0] == first[1]:
            life = self.lives.alive.get(first[0])
            if life is None or life.key != key:
                # it may be the runtime
                self.lives.begin(first[0], Life(procfs.epoch(there[0]), key, None))
                self.lead(first[0])
            self.present.membership.learn(key)
        if self._awaited[key] < when or first:
            del self._awaited[key]


def _take_in(
    lives: Lives, key: Key, runtime: int, family: list[outside_processes.UnplacedProcess]
) -> None:
    """Note the lives of a runtime of this pid and its descendants until now as a container's."""
    if not family:
        return
    events = [(one.start, True, one.pid, one) for one in family]
    events += [(one.end, False, one.pid, one) for one in family if one.end is not None]
    events.sort(key=lambda event: event[:3])
    is_there = any(one.pid == runtime and one.end is None for one in family)
    known = Family(runtime) if is_there else None
    lives.hold(key)  # so that it does not end before all are noted
    for when, begins, pid, one in events:
        if begins:
            program = _program(lives, one, runtime)
            is_new = program is None and one.end is None
            looked = known.looked(pid) if known and (is_new or pid == runtime) else None
            lives.begin(pid, Life(when, key, program, family=known, looked=looked))
        else:
            lives.end(pid, when)
    lives.release(key, events[-1][0])


def _program(lives: Lives, one: outside_processes.UnplacedProcess, runtime: int) -> float | None:
    """Return since when one of a runtime's family runs the container's own program."""
    if one.pid == runtime:
        return ALWAYS
    parent = lives.alive.get(one.parent)
    inherited = parent.child(one.start) if parent else None
    return one.program if inherited is None else inherited

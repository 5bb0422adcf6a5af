"""The container of each process, present or past, followed by the kernel's news of processes.

The process connector (linux/cn_proc.h) reports each fork, exec and exit with its time: a child that
lived for a millisecond is known by its parent, though it could not have been read in /proc in time.
It takes CAP_NET_ADMIN in the initial namespaces. Without it, /proc is read at once, while the
process may still be running.

A container begins with the runtime's process, whose pid the ledger has: its descendants are the
container's. So are those of a runtime that starts another process in a container (`runc exec`), of
which our launcher sends a notice (`join`). Processes that join otherwise are read in /proc when
they exec, and found by their place (evidence.attribution.membership). Until it execs, a process is
the runtime; from then on it is a program of the container.
"""

from __future__ import annotations

import errno
import time
from typing import TYPE_CHECKING

from runc_wrap.evidence.attribution.child_namespaces import Namespaces
from runc_wrap.evidence.attribution.clock_precision import COARSE, TICK
from runc_wrap.evidence.attribution.container_starts import OTHER, Starts
from runc_wrap.evidence.attribution.host_processes import Hosts
from runc_wrap.evidence.attribution.live_process_lookup import Present
from runc_wrap.evidence.attribution.proc_connector import (
    BODY,
    EVENT,
    EXEC,
    EXIT,
    FORK,
    FOUR,
    TWO,
    WHAT,
    NoConnector,
    connector,
)
from runc_wrap.evidence.attribution.process_lifetimes import ALWAYS, EXACT, Life, Lives
from runc_wrap.evidence.attribution.runtime_programs import Family
from runc_wrap.evidence.attribution.unplaced_processes import UnplacedProcesses
from runc_wrap.evidence.sightings import AUDIT, OBSERVE, LossSpan
from runc_wrap.evidence.store.call_counts import EITHER
from runc_wrap.host import procfs, runtime_state

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from runc_wrap.evidence.attribution.container_index import Known
    from runc_wrap.evidence.sightings import Sighting
    from runc_wrap.hotpath.ledger_file import Key

SOURCE = "processes"
_OVERRUN = "at least one: more processes came and went than fit"
_MOST_ANCESTORS = 64
_MOST_LEADERLESS = 4096
_ASK_EVERY = 1.0  # seconds between checks of processes whose first thread has ended
_LATE = 0.5  # seconds from an exec to a reading of /proc within which no pid is reused


class ProcessTree:
    """The processes of containers. `fileno` is readable when there is something to `read`.

    `problem` says why there is no process connector, "" if there is one. Without one `fileno` is
    -1, and `container_of` reads /proc, as it does while the connector delivers nothing
    (`is_blind`). `meanwhile` is called now and then in a `scan`.
    """

    def __init__(self, known_containers: Known) -> None:
        self.known = known_containers
        self.lives = Lives()
        self._leaderless: set[int] = set()
        self._asked = -_ASK_EVERY
        self.due: float | None = None  # when `ended` may have more, on the monotonic clock
        self._latest = 0.0  # the time of the latest news
        self.is_dry = True  # all news was read
        self.taken = 0  # messages
        self._hole_since = 0.0  # the time of the last news before a loss; 0.0: none was lost
        self._began = time.time()
        self._present = Present(known_containers)
        self._unplaced = UnplacedProcesses()
        self._starts = Starts(
            known_containers, self.lives, self._unplaced, self._present.membership, self._lead
        )
        self.namespaces = Namespaces()
        self.meanwhile: Callable[[], object] = bool
        self._hosts = Hosts()
        self._mounts = procfs.namespace_inode("self", "mnt") or -1
        self.problem = ""
        self.is_blind = False
        self._socket: socket.socket | None = None
        try:
            self._socket = connector()
        except NoConnector as error:
            self.problem = error.strerror or str(error)
        if self._socket:  # without it ends would not be noticed
            self.scan()

    def fileno(self) -> int:
        """Return the connector's descriptor, -1 if there is none."""
        return self._socket.fileno() if self._socket else -1

    @property
    def has_containers(self) -> bool:
        """Return whether a process of a container is running, or may be."""
        return self._socket is None or bool(self.lives.alive)

    @property
    def may_wait(self) -> bool:
        """Return whether reading the news a little later loses hardly anything.

        It loses more if the kernel logs a container's calls: a process that joins the container for
        a moment is found only in that moment. In observe, a runtime that starts a process is
        recognized only before that process runs its program.
        """
        awaited = self._starts.awaited()
        if not self.is_dry or any(map(self.known.is_recorded, (*self.lives.running, *awaited))):
            return False
        at_work = (*awaited, *self.lives.at_work(time.time()))
        return all(self.known.mode(key) != OBSERVE for key in at_work)

    def decided(self) -> set[str | None]:
        """Return the modes of containers that were decided since the last call."""
        return self._starts.decided()

    def close(self) -> None:
        """Close the connector."""
        if self._socket:
            self._socket.close()

    def read(self, most: int = 1 << 30) -> list[LossSpan]:
        """Read at most `most` messages of the kernel; return the losses for want of room.

        `is_dry` says whether those were all. After a loss /proc is scanned, but only once the queue
        is empty: until then the kernel queues nothing more. The loss lasts from the last message
        before it to the end of the scan. Processes that started and ended meanwhile are unknown,
        and so are their children.
        """
        lost: list[LossSpan] = []
        self.is_dry = self._socket is None
        for _ in range(most if self._socket else 0):
            try:
                message = self._socket.recv(4096)  # type: ignore[union-attr]  # not in this loop
            except BlockingIOError:
                self.is_dry = True
                break
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
                begin = self._latest or self._began
                lost.append(LossSpan(time.time(), 1, SOURCE, _OVERRUN, begin))
                self._hole_since = self._hole_since or begin
                continue
            self.taken += 1
            self.take(message)
        if self._hole_since and self.is_dry:
            begin, self._hole_since = self._hole_since, 0.0
            self.scan()
            lost.append(LossSpan(time.time(), 0, SOURCE, _OVERRUN, begin))
        self._starts.have_joined(self.has_told)
        return lost

    def join(self, key: Key, pid: int, when: float) -> None:
        """Note a runtime that root started to join a container: its children are the container's.

        It takes effect with the next `read`, which knows the process and its children.
        """
        self._starts.join(key, pid, when)

    def refresh(self) -> None:
        """Take in new lines of the ledger, ahead of the news of their processes."""
        self._starts.refresh(time.time())

    def ended(self) -> list[tuple[Key, float]]:
        """Return the containers whose last process has ended since the last call."""
        now, self.due = time.monotonic(), None
        if self._leaderless and now - self._asked < _ASK_EVERY:
            self.due = self._asked + _ASK_EVERY
        elif self._leaderless:
            self._asked = now
            for pid in [pid for pid in self._leaderless if not len(procfs.threads(pid))]:
                self._end(pid, time.time())
        return self.lives.over()

    def ask_soon(self) -> None:
        """Make the next `ended` check all processes that it otherwise checks now and then."""
        self._asked = -_ASK_EVERY

    @property
    def latest(self) -> float:
        """The time of the latest news, 0.0 for none."""
        return self._latest

    def has_told(self, when: float) -> bool:
        """Return whether all news up to then was read."""
        return self.is_dry or self._latest > when + COARSE

    def container_of(self, pid: int, when: float) -> Key | None:
        """Return the container of a pid at that time (seconds since the epoch), None if unknown.

        Call `read` first: a record may arrive before the news of its process. Until the news of
        then is read, the pid may have become another process': only /proc tells whose it is.
        """
        if self.is_blind:  # ends are not reported
            return self._ask(pid, when)
        if not self.has_told(when):
            self._starts.refresh(when)
            found = self._present.of(pid, when)
            return found[1] if found else None
        keys = self.lives.of(pid, when)
        if not keys:
            self._starts.refresh(when)
            keys = self.lives.of(pid, when)
        if keys:
            return keys.pop() if len(keys) == 1 else None
        return self._ask(pid, when)

    def is_elsewhere(self, pid: int, when: float) -> bool:
        """Return whether a process of no known container is known to be in none at all.

        Until the news of then is read, the pid may have become another process'.
        """
        is_known = not self.is_blind and self.has_told(when)
        return is_known and not self.lives.of(pid, when) and self._hosts.had(pid, when)

    def made_by(self, one: Sighting) -> str:
        """Return whether the container's program made a call, the runtime before it, or EITHER.

        A call that was sent to us still waited at its time; a record's time may be early.
        """
        early = COARSE if one.source == AUDIT else EXACT
        lives = self.lives.lived(one.pid, one.time)
        found = {life.made_by(one.time, early, has_told=self.has_told(one.time)) for life in lives}
        return found.pop() if len(found) == 1 else EITHER

    def scan(self) -> None:
        """Read all processes in /proc; known ones stay."""
        self._starts.refresh(time.time())
        found: dict[int, tuple[int, int]] = {}
        for pid in procfs.pids():
            self.meanwhile()
            there = procfs.born(pid)
            if there:
                found[pid] = there
        firsts = runtime_state.first_processes(self.known.newest())
        for key in firsts.values():
            self._present.membership.learn(key)
        for pid, life in list(self.lives.alive.items()):
            if pid not in found or abs(procfs.epoch(found[pid][0]) - life.start) > OTHER:
                self._end(pid, time.time())
        for pid, (start, _) in found.items():
            self.meanwhile()
            whose = self._present.membership.of(pid) or firsts.get((pid, start))
            if whose:
                self.lives.begin(pid, procfs.epoch(start), whose)
        for pid in found:
            self._inherit(pid, found)
        self._scan_elsewhere(found.keys() - self.lives.alive.keys())

    def _scan_elsewhere(self, pids: set[int]) -> None:
        """Look anew at all processes that are in no container."""
        self._hosts.forget_all()
        for pid in self.lives.alive:
            self._lead(pid)
        for pid in pids:
            self._look_elsewhere(pid, time.time())

    def take(self, message: bytes) -> None:
        """Take in one message of the connector."""
        if len(message) < BODY + FOUR.size:
            return
        what, _, ticks = WHAT.unpack_from(message, EVENT)
        when = self._latest = ticks / 1e9 + _offset()
        if what == FORK:
            _, parent, child, process = FOUR.unpack_from(message, BODY)
            if child == process:
                self._forked(parent, child, when)
        elif what == EXEC:
            _, process = TWO.unpack_from(message, BODY)
            self._executed(process, when)
        elif what == EXIT:
            thread, process = TWO.unpack_from(message, BODY)
            if thread == process:
                self._exited(process, when)

    def _forked(self, parent: int, child: int, when: float) -> None:
        life = self.lives.alive.get(parent)
        if life is None or self.known.is_recorded(life.key):  # its container may be known later
            self.namespaces.forked(parent, child, when)
        self._end_former(child, when)
        is_unseen = self._hosts.forked(parent, child, when)
        if life:
            self._begin_child(life, child, when)
        elif key := self._unplaced.forked(parent, child, when):
            self.lives.begin(child, when, key, ALWAYS, family=Family(child), looked=when)
            self._lead(child)
        elif is_unseen:
            self._look_at_child(child, when)

    def _look_at_child(self, pid: int, when: float) -> None:
        """Read the place of a new process whose parent says nothing about it."""
        self._starts.refresh(when)
        if time.time() - when > _LATE or pid in self.lives.alive:
            return
        key = self._present.membership.of(pid)
        if key:
            self.lives.begin(pid, when, key, None)
            self._lead(pid)
        else:
            self._look_elsewhere(pid, when)

    def _lead(self, pid: int) -> None:
        """Note the ancestors of a container's process: they may seem to be parents of others."""
        ancestors: list[int] = []
        there = procfs.born(pid)
        while there and there[1] > 1 and len(ancestors) < _MOST_ANCESTORS:
            ancestors.append(there[1])
            there = procfs.born(there[1])
        self._hosts.lead(one for one in ancestors if one not in self.lives.alive)

    def _begin_child(self, life: Life, child: int, when: float) -> None:
        """Note the child of a container's process, and whether it is the runtime's as yet."""
        program = life.child(when)
        family = life.family if program is None else None
        looked = family.looked(child) if family else None
        self.lives.begin(child, when, life.key, program, family=family, looked=looked)

    def _executed(self, pid: int, when: float) -> None:
        self._unplaced.executed(pid, when)
        if pid in self.lives.alive:
            life = self.lives.executed(pid, when)
            if life.family:
                life.family.executed(pid)
        else:
            self._look(pid, when)

    def _exited(self, pid: int, when: float) -> None:
        self._unplaced.exited(pid, when)  # a runtime's family may be known only later
        if pid in self.lives.alive:
            self._leader_ended(pid, when)
        else:
            self._hosts.exited(pid, when)

    def _leader_ended(self, pid: int, when: float) -> None:
        """Note the end of a process, unless it has other threads that run on."""
        if len(procfs.threads(pid)) > 1 and len(self._leaderless) < _MOST_LEADERLESS:
            self._leaderless.add(pid)
        else:
            self._end(pid, when)

    def _look(self, pid: int, when: float) -> None:
        """Read the place of a process that execs: a container may begin with it."""
        self._starts.refresh(when)
        key = self._present.membership.of(pid)
        if key:
            there = procfs.born(pid)
            self.lives.begin(pid, procfs.epoch(there[0]) if there else when, key, when)
            self._hosts.joined(pid, when)
            self._lead(pid)
        elif time.time() - when > _LATE or not self._look_elsewhere(pid, when):
            self._hosts.executed(pid, when)
        self._starts.look_for_firsts(when)

    def _look_elsewhere(self, pid: int, when: float) -> bool:
        """Note a process as outside all containers if that is certain; return whether it is.

        It may be in a container whose place is unknown (as it shares its cgroup), but then it does
        not have our mounts.
        """
        exe = procfs.program(pid)
        if exe is None:
            return False
        membership, running = self._present.membership, list(self.lives.running)
        made = filter(self._starts.is_made, running)
        are_known = all(map(membership.has_place, made))
        is_foreign = membership.is_elsewhere(pid, running)
        if is_foreign is None or (
            not are_known and procfs.namespace_inode(pid, "mnt") != self._mounts
        ):
            return False
        self._hosts.looked(pid, when, exe, is_foreign=is_foreign)
        return True

    def _ask(self, pid: int, when: float) -> Key | None:
        """Look up an unknown process in /proc; it must have been running then."""
        found = self._present.of(pid, when)
        if found is None:
            return None
        start, key = found
        if self._socket and not self.is_blind:  # else its end would not be noticed
            self.lives.begin(pid, start, key, self._program(pid))
            self._lead(pid)
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

    def _end_former(self, pid: int, begun: float) -> None:
        """End the former process of a new process' pid, if its end was not reported."""
        former = self.lives.alive.get(pid)
        if former and begun - former.start > TICK + COARSE:
            self._end(pid, begun)

    def _end(self, pid: int, when: float) -> None:
        self._leaderless.discard(pid)
        self.lives.end(pid, when)


def _offset() -> float:
    return procfs.began(time.CLOCK_MONOTONIC)

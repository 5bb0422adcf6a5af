"""The containers' process tree: the container of each process by the forks, execs and exits.

By the process connector's news a child that lived for a millisecond is known by its parent, though
it could not have been read in /proc in time. Without it, /proc is read at once, while the process
may still be running.

A container begins with the runtime's process, whose pid the ledger has: its descendants are the
container's. So are those of a runtime that starts another process in a container (`runc exec`), of
which our launcher sends a notice (`join`). Processes that join otherwise are read in /proc when
they exec (process_discovery). Until it execs, a process is
the runtime; from then on it is a program of the container.
"""

import time

from runc_wrap.evidence.attribution.child_namespaces import Namespaces
from runc_wrap.evidence.attribution.ledger_containers import Known
from runc_wrap.evidence.attribution.proc_connector import ProcessNews
from runc_wrap.evidence.attribution.process_discovery import ProcessDiscovery
from runc_wrap.evidence.attribution.process_lifetimes import ALWAYS, EXACT, Family, Life, Lives
from runc_wrap.evidence.sightings import AUDIT, COARSE, OBSERVE, TICK, LossSpan, Sighting
from runc_wrap.evidence.store.call_counts import EITHER
from runc_wrap.host import procfs
from runc_wrap.hotpath.ledger_file import Key

_MOST_LEADERLESS = 4096
_ASK_EVERY = 1.0  # seconds between checks of processes whose first thread has ended


class ProcessTree:
    """The processes of containers, followed by `news`.

    Without a process connector, `container_of` reads /proc, as it does while the connector delivers
    nothing (`is_blind`).
    """

    def __init__(self, known_containers: Known) -> None:
        self.known = known_containers
        self.lives = Lives()
        self._leaderless: set[int] = set()
        self._asked = -_ASK_EVERY
        self.due: float | None = None  # when `ended` may have more, on the monotonic clock
        self.places = ProcessDiscovery(known_containers, self.lives)
        self.namespaces = Namespaces()
        self.is_blind = False
        self.news = ProcessNews(self._forked, self._executed, self._exited, self.scan)
        if not self.news.problem:  # without it ends would not be noticed
            self.scan()

    def read(self, most: int = 1 << 30) -> list[LossSpan]:
        """Read at most `most` messages of the kernel; return the losses for want of room."""
        lost = self.news.read(most)
        self.places.have_joined(self.news.has_told)
        return lost

    def scan(self) -> None:
        """Read all processes in /proc."""
        self.places.scan(self._end)

    @property
    def has_containers(self) -> bool:
        """Return whether a process of a container is running, or may be."""
        return bool(self.news.problem) or bool(self.lives.alive)

    @property
    def may_wait(self) -> bool:
        """Return whether reading the news a little later loses hardly anything.

        It loses more if the kernel logs a container's calls: a process that joins the container for
        a moment is found only in that moment. In observe, a runtime that starts a process is
        recognized only before that process runs its program.
        """
        if not self.news.is_dry:
            return False
        awaited = self.places.awaited()
        if any(map(self.known.is_recorded, (*self.lives.running, *awaited))):
            return False
        at_work = (*awaited, *self.lives.at_work(time.time()))
        return all(self.known.mode(key) != OBSERVE for key in at_work)

    def refresh(self) -> None:
        """Take in new lines of the ledger, ahead of the news of their processes."""
        self.places.refresh(time.time())

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

    def container_of(self, pid: int, when: float) -> Key | None:
        """Return the container of a pid at that time (seconds since the epoch), None if unknown.

        Call `read` first: a record may arrive before the news of its process. Until the news of
        then is read, the pid may have become another process': only /proc tells whose it is.
        """
        if self.is_blind:  # ends are not reported
            return self.places.ask(pid, when, ends=False)
        if not self.news.has_told(when):
            self.places.refresh(when)
            found = self.places.present.of(pid, when)
            return found[1] if found else None
        keys = self.lives.of(pid, when)
        if not keys:
            self.places.refresh(when)
            keys = self.lives.of(pid, when)
        if keys:
            return keys.pop() if len(keys) == 1 else None
        return self.places.ask(pid, when, ends=not self.news.problem)

    def is_elsewhere(self, pid: int, when: float) -> bool:
        """Return whether a process of no known container is known to be in none at all.

        Until the news of then is read, the pid may have become another process'.
        """
        is_known = not self.is_blind and self.news.has_told(when)
        return is_known and not self.lives.of(pid, when) and self.places.hosts.had(pid, when)

    def made_by(self, one: Sighting) -> str:
        """Return whether the container's program made a call, the runtime before it, or EITHER.

        A call that was sent to us still waited at its time; a record's time may be early.
        """
        early = COARSE if one.source == AUDIT else EXACT
        has_told = self.news.has_told(one.time)
        lives = self.lives.lived(one.pid, one.time)
        found = {life.made_by(one.time, early, has_told=has_told) for life in lives}
        return found.pop() if len(found) == 1 else EITHER

    def _forked(self, parent: int, child: int, when: float) -> None:
        life = self.lives.alive.get(parent)
        if life is None or self.known.is_recorded(life.key):  # its container may be known later
            self.namespaces.forked(parent, child, when)
        former = self.lives.alive.get(child)
        if former and when - former.start > TICK + COARSE:  # its end was not reported
            self._end(child, when)
        is_unseen = self.places.hosts.forked(parent, child, when)
        if life:
            self._begin_child(life, child, when)
        elif key := self.places.unplaced.forked(parent, child, when):
            self.lives.begin(child, Life(when, key, ALWAYS, family=Family(child), looked=when))
            self.places.lead(child)
        elif is_unseen:
            self.places.look_at_child(child, when)

    def _begin_child(self, life: Life, child: int, when: float) -> None:
        """Note the child of a container's process, and whether it is the runtime's as yet."""
        program = life.child(when)
        family = life.family if program is None else None
        looked = family.looked(child) if family else None
        self.lives.begin(child, Life(when, life.key, program, family=family, looked=looked))

    def _executed(self, pid: int, when: float) -> None:
        self.places.unplaced.executed(pid, when)
        if pid in self.lives.alive:
            life = self.lives.executed(pid, when)
            if life.family:
                life.family.executed(pid)
        else:
            self.places.look(pid, when)

    def _exited(self, pid: int, when: float) -> None:
        self.places.unplaced.exited(pid, when)  # a runtime's family may be known only later
        if pid not in self.lives.alive:
            self.places.hosts.exited(pid, when)
        elif len(procfs.threads(pid)) > 1 and len(self._leaderless) < _MOST_LEADERLESS:
            self._leaderless.add(pid)  # its other threads run on
        else:
            self._end(pid, when)

    def _end(self, pid: int, when: float) -> None:
        self._leaderless.discard(pid)
        self.lives.end(pid, when)

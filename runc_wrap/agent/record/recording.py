"""Evidence as it happens, brought to disk: audit records, processes, listeners' calls.

What is in memory is written a few seconds after the first change, and at the end; how many calls
of observe are not on disk yet is counted in memory that outlives the process.
"""

from __future__ import annotations

import select
import time

from runc_wrap.agent.log import say
from runc_wrap.agent.record.exec_notices import Executions
from runc_wrap.agent.record.source_check import Sight, absent
from runc_wrap.agent.record.store_writer import EvidenceWriter
from runc_wrap.evidence.attribution import exec_joins
from runc_wrap.evidence.attribution.child_namespaces import Clones
from runc_wrap.evidence.attribution.container_index import Known
from runc_wrap.evidence.attribution.inotify import Appended
from runc_wrap.evidence.attribution.process_tree import SOURCE as PROCESSES
from runc_wrap.evidence.attribution.process_tree import Tree
from runc_wrap.evidence.attribution.runtime_programs import Runtimes
from runc_wrap.evidence.model import AUDIT, OBSERVE, Lost, Sighting
from runc_wrap.evidence.sources import Unavailable, audit_health, netlink
from runc_wrap.evidence.sources.netlink import Live
from runc_wrap.evidence.store.evidence_files import Store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from runc_wrap.agent.observe.notify import Inflight
    from runc_wrap.evidence.sources.netlink import Counted
    from runc_wrap.evidence.store.evidence_set import Key

WRITE_AFTER = 3.0  # seconds from a change
WATCHED_EVERY = 60.0  # seconds between notes that we looked, while there are containers
TRY_AGAIN = 30.0  # seconds after a write that failed
_LAST_LOOK = 0.5  # seconds
_NEWS_AT_ONCE = 64  # news of processes: a storm of forks must not keep calls waiting
_MOST_TURNS = 200
_SLICE = 5  # milliseconds of waiting for the disk
_ASKED_SECONDS = 2.0  # for who asks that all be written
_MOST_DOUBTFUL = 256  # calls that wait for news of processes
_UNTOLD = "it is not told of new ledger lines and listens to each process instead"
_DROPPED = "at most so many: the kernel had no room for them, or its rate limit held them back"
_SETTLED = 0.02  # seconds in which the kernel passes on what was logged
_AT_ONCE = 1024  # audit records before others get their turn


class Recorder:
    """Takes in what is seen; `seconds` says when `write` has something to do.

    `memory` outlives the process: what was taken in and is not on disk is counted there. `told` is
    the socket at which launchers tell of each exec, -1 for none. `meanwhile` is called now and then
    where there is much to do: somebody waits for an answer, perhaps.
    Raises OSError where nothing can be stored.
    """

    def __init__(
        self, prefix: str, memory: Inflight, told: int = -1, meanwhile: Callable[[], object] = bool
    ) -> None:
        self._memory = memory
        self._meanwhile = meanwhile
        self._is_hearing = False
        self._store = Store(f"{prefix}/var/evidence")
        self._writer = EvidenceWriter(self._store, memory)
        self._ledger = _ledger(f"{prefix}/var/ledger")
        self.known = Known(f"{prefix}/var/ledger")
        self._executions = None if told < 0 else Executions(told)
        self._runtimes = Runtimes(prefix)
        self.tree = Tree(self.known)
        self.tree.meanwhile = meanwhile
        self.live, why = _audit()
        self.sight = Sight(f"{prefix}/var/evidence", absent(why, self.tree.problem))
        self._begun = self._audit_begun = time.time()
        self.written_until = self._writing_until = 0.0
        self.looked_until = min(self._store.looked_until, self._begun)  # by those before
        self._obstacles: list[str] = []
        self._dropped = netlink.kernel_lost() if self.live else None
        self._dropped_until = self._begun
        if self.live:
            self._complain(audit_health.warnings())
        self._containers = self.tree.lives.begun
        self._pending: list[Counted] = []  # of which the tree may not have heard yet
        self._doubtful: list[tuple[Key, Sighting]] = []  # the runtime's own, perhaps: likewise
        self._clones = Clones(self.tree.namespaces, self._store.add)
        self._due: float | None = None
        self._noted = time.monotonic()
        if self.tree.has_containers:
            self._change()

    def _complain(self, obstacles: list[str]) -> None:
        """Tell what keeps records away, once as long as it does; look whether it does."""
        if obstacles != self._obstacles:
            self.sight.look()
        for why in obstacles:
            if why not in self._obstacles:
                say(f"audit records may not come: {why}")
        self._obstacles = obstacles

    def filenos(self) -> list[int]:
        """Return what to wait on, the most urgent first."""
        all_of_them = (self._ledger, self._executions, self.tree, self.live)
        return [
            *(one.fileno() for one in all_of_them if one and one.fileno() >= 0),
            self._writer.fd,
        ]

    @property
    def may_wait(self) -> bool:
        """Tell whether the tree need not be heard at once: no record waits for what it tells.

        Only who is told of the ledger's lines knows early enough which containers are logged.
        """
        is_waiting = self._pending or self._doubtful
        return self._ledger is not None and not is_waiting and self.tree.may_wait

    def hear(self, fd: int) -> None:
        """Take in a part of what came at a descriptor of `filenos`."""
        if fd == self.tree.fileno():
            self._hear_tree()
        elif self._ledger and fd == self._ledger.fileno():
            self._hear_ledger(self._ledger)
        elif self._executions and fd == self._executions.fileno():
            self._hear_tree()
        elif fd == self._writer.fd:
            self._hear_writer()
        elif self.live:
            self._hear_audit(self.live)

    def _hear_executions(self) -> None:
        """Take in who joins a container: before news of processes, which may be its children's."""
        for pid, when, words in self._executions.take() if self._executions else ():
            key = exec_joins.named(words, self.known)
            if key is None:
                self.tree.refresh()
                key = exec_joins.named(words, self.known)
            if key:
                self.tree.join(key, pid, when)

    def _hear_ledger(self, ledger: Appended) -> None:
        try:
            ledger.take()
        except OSError as error:
            self._ledger = None
            say(f"{_UNTOLD}: {error.strerror}.")
        self.tree.refresh()

    def _hear_tree(self) -> None:
        if self._is_hearing:  # this is for a call that was answered meanwhile
            return
        self._is_hearing = True
        try:
            self._hear_news()
        finally:
            self._is_hearing = False

    def _hear_news(self) -> None:
        self._hear_executions()
        for lost in self.tree.read(_NEWS_AT_ONCE):
            self.lost(lost)
        for key, when in self.tree.ended():
            self._store.ended(key, when)
            self._change()
        begun = self.tree.lives.begun
        if self._containers != begun:  # soon somebody may ask whether they are watched
            self._containers = begun
            self._change()
        self._attribute()

    def _hear_audit(self, live: Live) -> None:
        if self._pending:
            self._hear_tree()  # what it has told may be all, and nothing else would wake us
            return
        records = live.counts(_AT_ONCE)
        self._memory.read(sum(map(self._counts, records)))
        for one in records:
            if isinstance(one, Lost):
                self._hear_all()
                self._settle()
                self.lost(one)
            else:
                self._pending.append(one)
        self._hear_tree()  # afterwards: it must know of every process that these are from

    def _counts(self, record: Counted | Lost) -> int:
        """Return how many calls of others would be lost with a record."""
        if isinstance(record, Lost) or self.sight.is_own(record.one):
            return 0
        return record.times

    def _hear_all(self) -> None:
        """Take in all news of processes that there is, within bounds."""
        for _ in range(_MOST_TURNS):
            self._hear_tree()
            if self.tree.is_dry:
                break
            self._meanwhile()

    def _attribute(self) -> None:
        """Count records, each once the tree knows of every process that it may be from."""
        waiting = [one.one.time for one in self._pending[-1:]]
        waiting += [one.time for _, one in self._doubtful[-1:]]
        if waiting and self.tree.has_told(max(waiting)):
            self._settle()

    def _settle(self) -> None:
        pending, self._pending = self._pending, []
        doubtful, self._doubtful = self._doubtful, []
        for one, times, last in pending:
            self.tree.namespaces.heard(one)
            self._add(self.tree.container_of(one.pid, one.time), one, times, last)
        for key, one in doubtful:
            self._add(key, one)

    def _add(self, key: Key | None, one: Sighting, times: int = 1, last: int = 0) -> None:
        """Count a call, apart if it is the runtime's own: what makes the container."""
        if one.source == AUDIT and self.sight.is_own(one):
            self._store.cover(one, last)
            return
        if key is None and one.source == AUDIT and self.tree.is_elsewhere(one.pid, one.time):
            self._store.add_elsewhere(one, times, last)
            self._change()
            return
        is_runtimes = (
            key is not None
            and self._runtimes.has(one.exe)
            and self.tree.is_runtimes(one.pid, one.time)
        )
        self._clones.add(key, one, is_runtimes=is_runtimes, times=times, last=last)
        self._change()

    def record(self, key: Key | None, sighting: Sighting) -> None:
        """Take a call that a listener sent."""
        if key is None or not self._runtimes.has(sighting.exe):
            self._store.add(key, sighting)
            self._change()
            return
        self._doubtful.append((key, sighting))
        self._change()
        self._hear_tree()
        if len(self._doubtful) > _MOST_DOUBTFUL and not self._is_hearing:
            self._settle()

    def lost(self, one: Lost) -> None:
        """Note what is known to be lost."""
        self._store.lost(one)
        self._change()

    def root_of(self, name: str, bundle: str) -> str | None:
        """Return the runtime's root of a container, None if the ledger has no such container."""
        self.known.refresh()
        key = self.known.of_id(name, bundle)
        return key[0] if key else None

    def _change(self) -> None:
        if self._due is None:
            self._due = time.monotonic() + WRITE_AFTER

    def seconds(self) -> float:
        """Return how long `write_due` has nothing to do."""
        due = [*self._writes(), *([] if self.tree.due is None else [self.tree.due])]
        return max(min([*due, self.sight.due]) - time.monotonic(), 0.0)

    def _writes(self) -> list[float]:
        if self._writer.is_busy:
            return self._writer.due()
        due = [] if self._due is None else [self._due]
        return [*due, self._noted + WATCHED_EVERY] if self.tree.has_containers else due

    def write_due(self) -> None:
        """Ask who has ended, look whether we see, and write, if it is time."""
        self._look()
        now = time.monotonic()
        if self.tree.due is not None and self.tree.due <= now:
            self._hear_tree()
        if not any(due <= now for due in self._writes()):
            return
        if self._writer.is_busy:
            self._writer.complain()
            return
        self._hear_all()  # who waits must not become nobody's for that
        self._begin_to_write()

    def has_all(self, when: float) -> bool:
        """Take in a part of what was called by then; tell whether there is no more of it.

        Whether audit is seen at all must be known as well: it takes a moment after the start.
        """
        if self.sight.is_new:
            return False
        if not self.live:
            return True
        is_settled = time.time() >= when + _SETTLED  # before what is read now
        self._hear_audit(self.live)
        return is_settled and not self._pending and self.live.has_told(when)

    @property
    def has_until(self) -> float:
        """Until when all was taken in, where more comes than can be."""
        return min(self.written_until, self.live.last if self.live else self.written_until)

    def write_all(self) -> float:
        """Write what there is, and return until when all is written."""
        begun = time.time()
        self.tree.ask_soon()
        self._hear_all()
        is_written = self.write(_ASKED_SECONDS)
        return begun if is_written and self._due is None else self.written_until

    def _look(self) -> None:
        """See to it that something comes which shows that we see; note where nothing does."""
        if self.sight.is_waiting and self.sight.due <= time.monotonic():
            self._hear_all()
        self.sight.saw(PROCESSES, self.tree.told)
        if not self.sight.turn():
            return
        self._change()
        for source in self.sight.blind:
            self._store.unwatched(source, self.sight.last_proof(source))
        self.tree.is_deaf = self.tree.fileno() >= 0 and PROCESSES in self.sight.blind

    def _await_sight(self) -> None:
        """Wait for what shows that we see, if we have only begun: it was for nothing else."""
        until = time.monotonic() + _LAST_LOOK
        while self.sight.is_new and time.monotonic() < until:
            time.sleep(_LAST_LOOK / 50)
            self._hear_all()
            if self.live:
                self._hear_audit(self.live)
            self._look()

    def finish(self) -> None:
        """Take in what has been told, and write: nobody else would know of it."""
        self._hear_all()
        self._await_sight()
        self.write()
        self.sight.close()
        if self._executions:
            self._executions.close()
            self._executions = None

    def write(self, seconds: float | None = None) -> bool:
        """Write what changed, and that we looked; tell whether that was done within so long."""
        until = None if seconds is None else time.monotonic() + seconds
        if not self._is_written(until):
            return False
        self._begin_to_write()
        return self._is_written(until)

    def _is_written(self, until: float | None) -> bool:
        """Wait for what is being written; calls are answered meanwhile."""
        waiting = select.poll()
        waiting.register(self._writer.fd, select.POLLIN)
        while self._writer.is_busy:
            if waiting.poll(_SLICE):
                self._hear_writer()
            elif until is not None and time.monotonic() > until:
                return False
            else:
                self._meanwhile()
        return True

    def _hear_writer(self) -> None:
        if self._writer.hear():
            self.written_until = self._writing_until
        else:
            self._due = self._noted + TRY_AGAIN

    def _begin_to_write(self) -> None:
        """Begin to write what changed, and that we looked."""
        self._settle()
        self._clones.settle()
        now = time.time()
        self._noted = time.monotonic()
        self._store.watched(OBSERVE, self._begun, now)
        if PROCESSES in self.sight.begun:
            self._store.watched(PROCESSES, self.sight.begun[PROCESSES], now)
        self._note_audit(now)
        self._writing_until = now
        self._due = None if self._writer.begin() else self._noted + TRY_AGAIN

    def _note_audit(self, now: float) -> None:
        """Note audit as watched, if all that filters log could come, and what did not come."""
        if not self.live:
            return
        obstacles = audit_health.warnings()
        self._complain(obstacles)
        if [why for why in obstacles if why != audit_health.UNREAD]:
            self._audit_begun = now
        elif AUDIT in self.sight.begun:
            self._store.watched(AUDIT, max(self._audit_begun, self.sight.begun[AUDIT]), now)
        self._note_dropped(now)

    def _note_dropped(self, now: float) -> None:
        """Note what the kernel has dropped since the last look, at any time in between."""
        dropped = netlink.kernel_lost()
        before, self._dropped = self._dropped, dropped
        since, self._dropped_until = self._dropped_until, now
        is_more = dropped and before is not None and dropped > before
        if is_more and not audit_health.counts_what_came():
            self._store.lost(Lost(now, dropped - before, AUDIT, _DROPPED, since))  # type: ignore[operator]  # as above


def _audit() -> tuple[Live | None, str]:
    """Return audit's socket, or why there is none."""
    try:
        return Live(), ""
    except (Unavailable, OSError) as error:
        return None, str(error)


def _ledger(directory: str) -> Appended | None:
    try:
        return Appended(directory)
    except OSError as error:
        say(f"{_UNTOLD}: {error.strerror}.")
        return None

"""Takes in audit records, news of processes and listeners' calls, and writes them as evidence.

Changes are written a few seconds after the first one, and at the end. Calls of observe that are not
yet on disk are counted in memory that outlives the process.
"""

import select
import time
from collections.abc import Callable

from runc_wrap.agent.observe.seccomp_unotify import Inflight
from runc_wrap.agent.record.disk_thread import DiskThread
from runc_wrap.agent.record.exec_notices import Executions
from runc_wrap.agent.record.pending_calls import PendingCalls
from runc_wrap.agent.record.source_check import SourceCheck, absent
from runc_wrap.agent.record.watched_time import WatchedTime
from runc_wrap.agent.service_log import warn
from runc_wrap.evidence.attribution.ledger_containers import Appended, Known
from runc_wrap.evidence.attribution.proc_connector import SOURCE as PROCESSES
from runc_wrap.evidence.attribution.process_tree import ProcessTree
from runc_wrap.evidence.sightings import OBSERVE, LossSpan, Sighting
from runc_wrap.evidence.sources import Unavailable
from runc_wrap.evidence.sources.audit_netlink import Counted, Live
from runc_wrap.evidence.store.evidence_changes import EvidenceWriter
from runc_wrap.evidence.store.evidence_memory import unwatch
from runc_wrap.host import runtime_state
from runc_wrap.hotpath.ledger_file import Key

WRITE_AFTER = 3.0  # seconds from a change
WATCHED_EVERY = 60.0  # seconds between notes that the sources were watched, with containers
TRY_AGAIN = 30.0  # seconds after a write that failed
_LAST_LOOK = 0.5  # seconds
_NEWS_AT_ONCE = 64  # news of processes: a fork storm must not keep calls waiting
_MOST_TURNS = 200
_SLICE = 5  # milliseconds of waiting for the disk
_ASKED_SECONDS = 2.0  # for a command that asks for all to be written
_UNTOLD = "new ledger lines cannot be watched; the start of every process is followed instead"
_SETTLED = 0.02  # seconds in which the kernel passes on a logged call
_AT_ONCE = 1024  # audit records before other work gets its turn


class Recorder:
    """Takes in evidence and writes it; `due` says when `write_due` has something to do.

    `reads` are the descriptors to wait on, the most urgent first, and what takes in a part of what
    has come at each.
    `memory` outlives the process and counts what was taken in and is not on disk. `notices` is the
    socket of exec notices. `meanwhile` is called now and then during longer work, as
    calls may wait for an answer. Raises OSError if nothing can be stored.
    """

    def __init__(
        self,
        prefix: str,
        memory: Inflight,
        notices: int | None = None,
        meanwhile: Callable[[], object] = bool,
    ) -> None:
        self._memory = memory
        self._meanwhile = meanwhile
        self._is_reading = False
        self._store = EvidenceWriter(f"{prefix}/var/evidence")
        self._writer = DiskThread(self._store, memory)
        self._ledger = _ledger(f"{prefix}/var/ledger")
        self.known = Known(f"{prefix}/var/ledger")
        self.executions = None if notices is None else Executions(notices)
        self.tree = ProcessTree(self.known)
        self.tree.places.meanwhile = meanwhile
        self.live, why = _audit()
        self.check = SourceCheck(f"{prefix}/var/evidence", absent(why, self.tree.news.problem))
        self._watched = WatchedTime(self._store, self.check, has_audit=self.live is not None)
        self.written_until = self._writing_until = 0.0
        # by predecessors
        self.looked_until = min(self._store.state.looked_until, self._watched.begun)
        self._containers = self.tree.lives.begun
        self._calls = PendingCalls(prefix, self.tree, self._store, self.check)
        self._due: float | None = None
        self._noted = time.monotonic()
        sources = (
            (self._ledger, self._read_ledger),
            (self.executions, self._read_tree),
            (self.tree.news, self._read_tree),
            (self.live, self._read_audit),
        )
        self.reads = {one.fileno(): read for one, read in sources if one and one.fileno() >= 0}
        self.reads[self._writer.fd] = self._end_write
        if self.tree.has_containers:
            self._change()

    @property
    def may_wait(self) -> bool:
        """Return whether news of processes may be read late: no record waits for them.

        Only if the ledger is watched is it known early enough which containers are logged.
        """
        return self._ledger is not None and not self._calls.are_waiting and self.tree.may_wait

    @property
    def observes(self) -> bool:
        """Whether a container runs whose calls are sent to a listener."""
        sent = (key for key in self.known.newest() if self.known.mode(key) == OBSERVE)
        return any(runtime_state.running(key) for key in sent)

    def _read_ledger(self) -> None:
        try:
            if self._ledger:
                self._ledger.take()
        except OSError as error:
            self._ledger = None
            warn(f"{_UNTOLD}: {error.strerror}.")
        self.tree.refresh()

    def _read_tree(self) -> None:
        if self._is_reading:  # called for a call that was answered meanwhile
            return
        self._is_reading = True
        try:
            self._read_news()
        finally:
            self._is_reading = False

    def _read_news(self) -> None:
        if self.executions:
            self.executions.read(self.known, self.tree)
        for lost in self.tree.read(_NEWS_AT_ONCE):
            self.lost(lost)
        for key, when in self.tree.ended():
            self._store.ended(key, when)
            self._change()
        begun = self.tree.lives.begun
        if self._containers != begun:  # a command may soon ask whether they are watched
            self._containers = begun
            self._change()
        if self._calls.are_told():
            self._settle()

    def _read_audit(self) -> None:
        if self._calls.records or not self.live:
            self._read_tree()  # it may already have all the news, and then nothing else wakes us
            return
        records = self.live.counts(_AT_ONCE)
        self._memory.read(sum(map(self._counts, records)))
        for one in records:
            if isinstance(one, LossSpan):
                self._read_all()
                self._settle()
                self.lost(one)
            else:
                self._calls.records.append(one)
        self._read_tree()  # afterwards: it must know every process that made these calls

    def _counts(self, record: Counted | LossSpan) -> int:
        """Return how many calls would be lost with a record; the probe's own do not count."""
        if isinstance(record, LossSpan) or self.check.is_own(record.one):
            return 0
        return record.times

    def _read_all(self) -> None:
        """Take in all news of processes, within bounds."""
        for _ in range(_MOST_TURNS):
            self._read_tree()
            if self.tree.news.is_dry:
                break
            self._meanwhile()

    def _settle(self) -> None:
        if self._calls.settle():
            self._change()

    def record(self, key: Key | None, sighting: Sighting) -> None:
        """Take a call that a listener sent."""
        is_waiting = self._calls.add(key, sighting)
        self._change()
        if not is_waiting:
            return
        if self._is_reading:
            self.tree.news.is_dry = False  # what this process did before has to be read first
        self._read_tree()
        if self._calls.are_too_many and not self._is_reading:
            self._settle()

    def lost(self, one: LossSpan) -> None:
        """Note a known loss."""
        self._store.lost(one)
        self._change()

    def root_of(self, name: str, bundle: str) -> str | None:
        """Return the runtime's state directory of a container, None if the ledger lacks it."""
        self.known.refresh()
        key = self.known.of_id(name, bundle)
        return key[0] if key else None

    def _change(self) -> None:
        if self._due is None:
            self._due = time.monotonic() + WRITE_AFTER

    def due(self) -> float:
        """Return when `write_due` has something to do, on the monotonic clock."""
        return min([*self._writes(), self.check.due, *filter(None, [self.tree.due])])

    def _writes(self) -> list[float]:
        if self._writer.is_busy:
            return []
        due = [] if self._due is None else [self._due]
        return [*due, self._noted + WATCHED_EVERY] if self.tree.has_containers else due

    def write_due(self) -> None:
        """If it is time, find ended processes, check the sources, and write."""
        self._look()
        now = time.monotonic()
        if self.tree.due is not None and self.tree.due <= now:
            self._read_tree()
        if not any(due <= now for due in self._writes()):
            return
        self._read_all()  # or pending calls would count as of no container
        self._begin_to_write()

    def has_all(self, when: float) -> bool:
        """Take in a part of the calls made by then; return whether there are no more of them.

        False until it is known whether audit records arrive at all: it takes a moment at the start.
        """
        if self.check.is_new:
            return False
        if not self.live:
            return True
        is_settled = time.time() >= when + _SETTLED  # before what is read now
        self._read_audit()
        return is_settled and not self._calls.records and self.live.has_told(when)

    @property
    def has_until(self) -> float:
        """Until when all was taken in, if more comes than can be taken in."""
        return min(self.written_until, self.live.last if self.live else self.written_until)

    def write_all(self) -> float:
        """Write all that was taken in, and return until when everything is written."""
        begun = time.time()
        self.tree.ask_soon()
        self._read_all()
        is_written = self.write(_ASKED_SECONDS)
        return begun if is_written and self._due is None else self.written_until

    def _look(self) -> None:
        """Check that the sources deliver; note which do not."""
        if self.check.is_waiting and self.check.due <= time.monotonic():
            self._read_all()
        self.check.saw(PROCESSES, self.tree.news.latest)
        if not self.check.turn():
            return
        self._change()
        for source in self.check.blind:
            unwatch(self._store.state.watched.get(source, []), self.check.last_proof(source))
        self.tree.is_blind = self.tree.news.fileno() >= 0 and PROCESSES in self.check.blind

    def _await_check(self) -> None:
        """Wait for the first check of the sources, if not over: it proves what was recorded."""
        until = time.monotonic() + _LAST_LOOK
        while self.check.is_new and time.monotonic() < until:
            time.sleep(_LAST_LOOK / 50)
            self._read_all()
            self._read_audit()
            self._look()

    def finish(self) -> None:
        """Take in what has come, and write: no successor can get it again.

        Calls are not answered meanwhile: what comes after the write would count as lost.
        """
        self._meanwhile = self.tree.places.meanwhile = bool
        self._read_all()
        self._await_check()
        self.write()
        self.check.close()

    def write(self, seconds: float | None = None) -> bool:
        """Write changes and what was watched; return whether that was done within so long."""
        until = None if seconds is None else time.monotonic() + seconds
        if not self._is_written(until):
            return False
        self._begin_to_write()
        return self._is_written(until)

    def _is_written(self, until: float | None) -> bool:
        """Wait until what is being written is on disk; calls are answered meanwhile."""
        waiting = select.poll()
        waiting.register(self._writer.fd, select.POLLIN)
        while self._writer.is_busy:
            if waiting.poll(_SLICE):
                self._end_write()
            elif until is not None and time.monotonic() > until:
                return False
            else:
                self._meanwhile()
        return True

    def _end_write(self) -> None:
        if self._writer.ended():
            self.written_until = self._writing_until
        else:
            self._due = self._noted + TRY_AGAIN

    def _begin_to_write(self) -> None:
        """Begin to write changes and what was watched."""
        self._settle()
        self._calls.clones.settle()
        now = time.time()
        self._noted = time.monotonic()
        self._watched.note(now)
        self._writing_until = now
        self._due = None if self._writer.begin() else self._noted + TRY_AGAIN


def _audit() -> tuple[Live | None, str]:
    """Return audit's socket, or the reason why there is none."""
    try:
        return Live(), ""
    except (Unavailable, OSError) as error:
        return None, str(error)


def _ledger(directory: str) -> Appended | None:
    try:
        return Appended(directory)
    except OSError as error:
        warn(f"{_UNTOLD}: {error.strerror}.")
        return None

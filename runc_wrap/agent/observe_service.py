"""The service observe: answers the calls of containers in observe and records evidence.

Answering comes first: a call is answered even if recording fails, and before recording if that is
slow. One thread, which waits in one place. What must outlive it is in the descriptor store.
"""

import gc
import os
import resource
import select
import time
from _signal import SIGCHLD, SIGINT, SIGTERM  # type: ignore[import-not-found]
from collections.abc import Callable, Iterator

from runc_wrap.agent import descriptor_store, service_lifecycle, systemd_protocol
from runc_wrap.agent.descriptor_store import ARRIVING, LISTENER, DescriptorStore, number_of
from runc_wrap.agent.metrics_timer import MetricsWriter
from runc_wrap.agent.observe.container_limits import Resting
from runc_wrap.agent.observe.listener_handover import Acceptor, Arrival, Arrivals
from runc_wrap.agent.observe.listeners import Listener, Listeners
from runc_wrap.agent.record.exec_notices import EXEC
from runc_wrap.agent.record.flush_answers import EVIDENCE, Questions
from runc_wrap.agent.record.recorder import Recorder
from runc_wrap.agent.service_log import Complaints, say, warn
from runc_wrap.evidence.sightings import AUDIT, OBSERVE, LossSpan
from runc_wrap.host import socket_peers
from runc_wrap.hotpath.errors import described

ROLE = "observe"
_NOTIFY = "notify"
_OTHERS = (EXEC, EVIDENCE)
_PAUSE = 0.01
_RELEASE_EVERY = 5.0  # seconds between looks at which release is installed
_RECORD_AGAIN = 30.0  # seconds from a recorder that could not be made to the next attempt
_KILLED = "at most so many: the service observe was killed before it had written all of them"
_CLOSED = "the listeners of containers were closed with the service before"
_NO_STORE = (
    "no supervisor keeps descriptors here (FileDescriptorStoreMax= of systemd): a create in "
    "observe gets audit instead, except with --without-descriptor-store."
)


def main(prefix: str) -> None:
    """Run the service until a signal ends it, or another release is installed."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    if os.getpriority(os.PRIO_PROCESS, 0) < 0:  # containers cause its work: it gets no priority
        os.setpriority(os.PRIO_PROCESS, 0, 0)
    offers = descriptor_store.room(os.environb) > 0 or descriptor_store.ANYWAY in os.environb
    held = service_lifecycle.begin(prefix, ROLE, [_NOTIFY, *_OTHERS] if offers else _OTHERS)
    if not offers:
        service_lifecycle.withdraw(prefix, _NOTIFY)
        warn(_NO_STORE)
    Observer(prefix, held).serve()


class Observer:
    """`held` are the descriptors that were handed over, by name."""

    def __init__(self, prefix: str, held: dict[str, int]) -> None:
        self.prefix = prefix
        self.held = held
        self.supervisor = systemd_protocol.Supervisor(os.environb)
        self.watchdog = systemd_protocol.Watchdog(self.supervisor, os.environb)
        self.store = DescriptorStore(self.supervisor, os.environb, held)
        self.release = service_lifecycle.Release(prefix)
        self.signals = service_lifecycle.Signals(SIGCHLD, SIGTERM, SIGINT)
        self.poll = select.epoll()
        self.resting = Resting(self.poll)
        self.metrics = MetricsWriter(prefix)
        self.handlers: dict[int, Callable[[], None]] = {}
        self.is_over = self.is_outdated = False
        self.questions = Questions(held[EVIDENCE])
        self._complaints = Complaints()
        self._looked = time.monotonic()  # at which release is installed
        self.listeners = Listeners(prefix, self.store, lambda *_: None)  # no recorder yet
        self.arriving = Arrivals(self.poll, self._take, self.listeners.keep)
        self.listeners.restore(held)  # before all that may be slow or fail
        self.inflight = self.listeners.inflight
        self.recorder: Recorder | None = None
        self._record_again = 0.0  # on the monotonic clock, while there is no recorder
        self._try_to_record()

    def _report_losses(self, recorder: Recorder) -> None:
        """Report what was lost before there was a recorder, by a predecessor or here."""
        now, since, memory = time.time(), recorder.looked_until, self.inflight
        for records, source in ((memory.unwritten, OBSERVE), (memory.records, AUDIT)):
            if records:
                recorder.lost(LossSpan(now, records, source, _KILLED, since))
        is_lone = descriptor_store.ANYWAY in os.environb
        is_first = is_lone and descriptor_store.INFLIGHT not in self.held
        if self.listeners.is_deaf or (is_first and recorder.observes):
            recorder.lost(LossSpan(now, 0, OBSERVE, _CLOSED, since))

    def _try_to_record(self) -> None:
        if self._record_again > time.monotonic():
            return
        try:
            notices = self.held.get(EXEC)
            made = Recorder(self.prefix, self.inflight, notices, self._answer_waiting)
            self._report_losses(made)
        except Exception as error:  # noqa: BLE001 - calls are answered without evidence too
            warn(f"nothing is recorded: {described(error)}; it is tried again.")
            self._record_again = time.monotonic() + _RECORD_AGAIN
            return
        self.recorder, self.listeners.record = made, made.record
        for fd in made.reads:
            self._watch(fd, lambda fd=fd: self._read(made, fd))  # type: ignore[misc]  # bound now

    def serve(self) -> None:
        """Serve until a signal ends this process, or another release is installed."""
        self._watch_all()
        self.inflight.rest()  # the predecessor's work is over
        self.supervisor.send(systemd_protocol.READY)
        say(f"ready: pid {os.getpid()}, sockets in {self.prefix}/var/agent.")
        gc.collect()
        gc.freeze()
        while not self.is_over and not self.is_outdated:
            self._turn()
        self.listeners.inspector.stop()
        if self.recorder:
            self._guarded(self.recorder.finish)
        if self.is_outdated:
            handed = sorted(self._to_pass_on(), key=lambda each: each[0] in self.store.late)
            service_lifecycle.begin_anew(self.prefix, ROLE, handed)

    def _watch_all(self) -> None:
        self._watch(self.signals.fd, self._obey)
        if (listening := self.held.get(_NOTIFY)) is not None:
            taken = [number_of(name, kind) for name in self.held for kind in (LISTENER, ARRIVING)]
            acceptor = Acceptor(listening, self.store, taken)
            self._watch(acceptor.listening.fileno(), lambda: self._arrive(acceptor))
        self._watch(self.questions.listening.fileno(), self.questions.take)
        for fd in self.listeners.by_fd:
            self.poll.register(fd, select.EPOLLIN)
        for name, fd in self.held.items():
            if number := number_of(name, ARRIVING):
                self._guarded(self._begin, number, fd)

    def _watch(self, fd: int, do: Callable[[], None]) -> None:
        self.handlers[fd] = do
        self.poll.register(fd, select.EPOLLIN)

    def _turn(self) -> None:
        """Wait for events and handle them: calls first, one of each listener."""
        events = self.poll.poll(self._seconds())
        self.inflight.begin()
        self.watchdog.tell_due()
        others = []
        for fd, event in events:
            listener = self.listeners.by_fd.get(fd)
            if listener is None:
                others.append(fd)
            elif event & select.EPOLLIN:
                self._guarded(self._answer, listener)
            else:
                self._lose(listener)
        for fd in others:
            self._guarded(self._handle, fd)
        self._guarded(self.arriving.give_up_late_ones)
        self._guarded(self.listeners.inspector.expect_no_more, len(self.listeners.by_fd))
        self._guarded(self.store.put_late_ones)
        self._guarded(self.resting.wake_due)
        self._guarded(self.metrics.start_due)
        self._guarded(self.recorder.write_due if self.recorder else self._try_to_record)
        self._guarded(self._answer_questions)
        if time.monotonic() - self._looked >= _RELEASE_EVERY:
            self._looked = time.monotonic()
            self.is_outdated = not self.release.is_installed()
        self.inflight.rest()

    def _answer_questions(self) -> None:
        """Answer commands that wait for earlier calls to be written, once they are."""
        questions = self.questions
        if (asked := questions.asked) is None:
            return
        if not self.recorder:
            questions.answer(0.0)
        elif self.recorder.has_all(asked):
            questions.answer(self.recorder.write_all())
        elif questions.is_late:
            self.recorder.write_all()
            questions.answer(self.recorder.has_until)

    def _handle(self, fd: int) -> None:
        if fd in self.arriving.by_fd:
            self.arriving.read(fd)
        elif fd in self.handlers:
            self.handlers[fd]()

    def _guarded(self, do: Callable[..., None], *words: object) -> None:
        """Do something whose errors must not keep other calls waiting."""
        try:
            do(*words)
        except Exception as error:  # noqa: BLE001 - as above
            self._complaints.note(error)

    def _answer_waiting(self) -> None:
        """Answer one call of each listener that has one, in between other work."""
        for fd, event in self.poll.poll(0) if self.listeners.by_fd else ():
            listener = self.listeners.by_fd.get(fd)
            if listener and event & select.EPOLLIN:
                self._guarded(self._answer, listener)

    def _answer(self, listener: Listener) -> None:
        container = listener.container
        if container.until > time.monotonic():
            self.resting.rest_until(listener.fd, container.until)
            return
        try:
            self.listeners.answer(listener)
            container.answered()
        except OSError:
            time.sleep(_PAUSE)  # it stays readable, perhaps for ever: others must have a turn
            raise

    def _lose(self, listener: Listener) -> None:
        """Forget a listener that has ended.

        epoll forgets it only once systemd has closed its copy as well. Until then it would go on
        reporting this number as ended, which may belong to another listener by then.
        """
        self.poll.unregister(listener.fd)
        self.resting.forget(listener.fd)
        self.listeners.gone(listener)

    def _seconds(self) -> float:
        due = [*self.arriving.due(), *self.resting.due(), *self.questions.due()]
        due += [*self.watchdog.due(), self.metrics.due, self._looked + _RELEASE_EVERY]
        due.append(self.recorder.due() if self.recorder else self._record_again)
        return max(min(due) - time.monotonic(), 0.0)

    def _read(self, recorder: Recorder, fd: int) -> None:
        recorder.reads[fd]()
        tree = recorder.tree
        if OBSERVE in tree.places.decided():  # the inspector starts as slowly as a container
            self.listeners.inspector.expect()
        if not recorder.may_wait:
            self.resting.wake([tree.news.fileno()])
        elif fd == tree.news.fileno():
            self.resting.rest(fd, tree.news.taken)

    def _arrive(self, acceptor: Acceptor) -> None:
        """Take runtimes' connections, whose messages may already be complete."""
        try:
            while one := acceptor.accept():
                self._begin(*one)
        except OSError:  # no room for a descriptor: it stays readable
            self.resting.rest(acceptor.listening.fileno(), 0)
            raise

    def _begin(self, number: int, fd: int) -> None:
        is_settled = any(one.number == number for one in self.listeners.by_fd.values())
        arrival = Arrival(number, fd)
        if is_settled or socket_peers.uid_of(arrival.connection) != 0:
            self.store.remove(f"{ARRIVING}{number}")
            arrival.end()
            return
        stored = self.listeners.unsettled.pop(number, None)  # by a killed predecessor
        self.arriving.add(arrival, stored)

    def _take(self, arrival: Arrival) -> None:
        """Take the listener that a connection brought."""
        if arrival.listener is not None:
            state = arrival.state()
            try:
                whose = state["id"], state["bundle"]
                known = self.recorder.root_of(*whose) if self.recorder else None
            except Exception:  # noqa: BLE001 - the listener matters more
                known = None
            state["root"] = known or ""
            listener = self.listeners.add(arrival.number, arrival.listener, state)
            self.poll.register(listener.fd, select.EPOLLIN)
        else:
            self.store.remove(f"{ARRIVING}{arrival.number}")

    def _obey(self) -> None:
        numbers = self.signals.take()
        if SIGCHLD in numbers:
            self.metrics.reap()
            self.listeners.inspector.reap()
        self.is_over = bool(numbers & {SIGTERM, SIGINT})

    def _to_pass_on(self) -> Iterator[tuple[str, int]]:
        """Yield what the next release goes on with."""
        for name, fd in self.held.items():
            if not descriptor_store.is_stored(name):
                yield name, fd
        yield from self.listeners.named()
        for fd, arrival in self.arriving.by_fd.items():
            yield f"{ARRIVING}{arrival.number}", fd
            if arrival.listener is not None:
                yield f"{LISTENER}{arrival.number}", arrival.listener

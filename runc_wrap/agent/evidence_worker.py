"""The evidence worker: answers the calls of containers in observe and records evidence.

Answering comes first: a call is answered even if recording fails, and before recording if that is
slow. If the keeper is killed, this process takes its place. One thread, which waits in one place.
"""

from __future__ import annotations

import gc
import os
import select
import socket
import time
from _signal import SIGCHLD, SIGTERM  # type: ignore[import-not-found]

from runc_wrap.agent import systemd_protocol
from runc_wrap.agent.log import say
from runc_wrap.agent.metrics_http.http_server import Scrapes
from runc_wrap.agent.observe import handshake
from runc_wrap.agent.observe.handshake import Arrivals
from runc_wrap.agent.observe.listeners import Listener, Listeners
from runc_wrap.agent.observe.notify import Inflight
from runc_wrap.agent.observe.rate_limit import Pacing
from runc_wrap.agent.record import exec_notices, write_requests
from runc_wrap.agent.record.recorder import Recorder
from runc_wrap.agent.record.write_requests import Questions
from runc_wrap.agent.signals import Signals
from runc_wrap.agent.stall_detection import TICK, TICK_AT_REST, Progress
from runc_wrap.agent.supervisor import succession
from runc_wrap.agent.supervisor.acceptor import ARRIVALS
from runc_wrap.agent.systemd_protocol import Named
from runc_wrap.agent.systemd_stored_names import ARRIVING, LISTENER, STOPPED, number_of
from runc_wrap.agent.wakeup_limit import Resting
from runc_wrap.evidence.model import AUDIT, OBSERVE, Lost
from runc_wrap.hotpath.main import described

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from runc_wrap.agent.observe.handshake import Arrival
    from runc_wrap.evidence.model import Sighting
    from runc_wrap.hotpath.ledger_file import Key

_COMPLAINT_SECONDS = 60.0  # between two lines about the agent's own errors
_PAUSE = 0.01
_RECORD_AGAIN = 30.0  # seconds from a recorder that could not be made to the next attempt
_DRAIN_SECONDS = 1.0  # for connected runtimes to send which container their listener is for
_KILLED = "the agent's evidence worker was killed before it had written them"


def main(prefix: str) -> None:
    """Run the evidence worker until the keeper ends it."""
    handed = systemd_protocol.received(os.environb)
    if os.getpriority(os.PRIO_PROCESS, 0) < 0:  # containers cause its work: it gets no priority
        os.setpriority(os.PRIO_PROCESS, 0, 0)
    Worker(prefix, handed, os.environ.get("NOTIFY_SOCKET", "")).serve()


class Worker:
    """`handed` are the descriptors that the keeper holds, `address` is the keeper's socket."""

    def __init__(self, prefix: str, handed: list[Named], address: str) -> None:
        self.prefix = prefix
        self.handed = handed
        self.address = address
        self.signals = Signals(SIGCHLD, SIGTERM)
        self.poll = select.epoll()
        self.resting = Resting(self.poll)
        self.scrapes = Scrapes(prefix)
        self.pacing = Pacing(self.poll)
        counters = [each.fd for each in handed if each.name == "progress"]
        self.progress = Progress(counters[0]) if counters else None
        self.handlers: dict[int, Callable[[], None]] = {}
        self.arriving = Arrivals(self.poll, self._take, self._keep)
        self.is_over = False
        self.arrivals: socket.socket | None = None
        asked = [each.fd for each in handed if each.name == write_requests.NAME]
        self.questions = Questions(asked[0]) if asked else None
        self._errors = 0
        self._complained = -_COMPLAINT_SECONDS
        self.listeners = Listeners(prefix, address, self._record)
        unwritten = self.listeners.restore(handed)  # before all that may be slow or fail
        self.inflight = self.listeners.inflight or Inflight.new()
        self._record_again = 0.0  # on the monotonic clock, while there is no recorder
        self.recorder = self._recorder()
        self._report_losses(unwritten)

    def _report_losses(self, unwritten: int) -> None:
        memory = self.inflight
        if not self.recorder:
            return
        for records, source, why in (
            (unwritten, OBSERVE, _KILLED),
            (memory.unrecorded, OBSERVE, STOPPED),
            (memory.records, AUDIT, _KILLED),
        ):
            if records:
                since = self.recorder.looked_until
                self.recorder.lost(Lost(time.time(), records, source, why, since))

    def _recorder(self) -> Recorder | None:
        try:
            notices = self._exec_notices()
            return Recorder(self.prefix, self.inflight, notices, self._answer_waiting)
        except Exception as error:  # noqa: BLE001 - calls are answered without evidence too
            say(f"nothing is recorded: {described(error)}; it is tried again.")
            self._record_again = time.monotonic() + _RECORD_AGAIN
            return None

    def _exec_notices(self) -> int:
        return next((each.fd for each in self.handed if each.name == exec_notices.NAME), -1)

    def _try_to_record(self) -> None:
        if not self.recorder and self._record_again <= time.monotonic():
            self.recorder = self._recorder()
            self._watch_recorder()

    def serve(self) -> None:
        """Serve until the keeper ends this process, or ends itself."""
        self._watch_all()
        self.inflight.rest()  # the predecessor's work is over
        systemd_protocol.send(self.address, systemd_protocol.READY)
        gc.collect()
        gc.freeze()
        while not self.is_over:
            self._turn()
        self._drain()
        self._finish()

    def _drain(self) -> None:
        """Take what runtimes have already sent: no other process can get it again."""
        until = time.monotonic() + _DRAIN_SECONDS
        self._arrive()
        while self.arriving and time.monotonic() < until:
            self._turn()

    def _watch_all(self) -> None:
        by_name = {each.name: each.fd for each in self.handed}
        self._watch(self.signals.fd, self._obey)
        if "keeper" in by_name:
            self._watch(by_name["keeper"], self._succeed)
        if ARRIVALS in by_name:
            self.arrivals = socket.socket(fileno=os.dup(by_name[ARRIVALS]))
            self._watch(self.arrivals.fileno(), self._arrive)
        for name in ("metrics", "loopback"):
            if name in by_name:
                self.scrapes.listen(by_name[name])
        self._watch(self.scrapes.fileno(), self.scrapes.turn)
        if self.questions:
            self._watch(self.questions.fileno(), self.questions.take)
        self._watch_recorder()
        for fd in self.listeners.by_fd:
            self.poll.register(fd, select.EPOLLIN)
        for name, fd in by_name.items():
            if number := number_of(name, ARRIVING):
                self._guarded(self._begin, number, fd)

    def _watch_recorder(self) -> None:
        for fd in self.recorder.filenos() if self.recorder else ():
            self._watch(fd, lambda fd=fd: self._read(fd))  # type: ignore[misc]  # bound now

    def _watch(self, fd: int, do: Callable[[], None]) -> None:
        self.handlers[fd] = do
        self.poll.register(fd, select.EPOLLIN)

    def _turn(self) -> None:
        """Wait for events and handle them: calls first, one of each listener."""
        events = self.poll.poll(self._seconds())
        self.inflight.begin()
        if self.progress:
            self.progress.moved()
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
        self._guarded(self.listeners.expect_no_more)
        self._guarded(self.resting.wake_due)
        self._guarded(self.scrapes.tidy)
        self._guarded(self.pacing.wake_due)
        if self.recorder:
            self._guarded(self.recorder.write_due)
        else:
            self._guarded(self._try_to_record)
        if self.questions and self.questions.asked is not None:
            self._guarded(self._answer_questions, self.questions)
        self.inflight.rest()

    def _answer_questions(self, waiting: Questions) -> None:
        """Answer commands that wait for earlier calls to be written, once they are."""
        if not self.recorder:
            waiting.answer(0.0)
        elif self.recorder.has_all(waiting.asked or 0.0):
            waiting.answer(self.recorder.write_all())
        elif waiting.is_late:
            self.recorder.write_all()
            waiting.answer(self.recorder.has_until)

    def _handle(self, fd: int) -> None:
        if fd in self.arriving:
            self.arriving.read(fd)
        elif fd in self.handlers:
            self.handlers[fd]()

    def _guarded(self, do: Callable[..., None], *words: object) -> None:
        """Do something whose errors must not keep other calls waiting."""
        try:
            do(*words)
        except Exception as error:  # noqa: BLE001 - as above
            self._errors += 1
            now = time.monotonic()
            if now - self._complained >= _COMPLAINT_SECONDS:
                self._complained = now
                say(f"{self._errors} internal errors, the last: {described(error)}.")

    def _answer_waiting(self) -> None:
        """Answer one call of each listener that has one, in between other work."""
        for fd, event in self.poll.poll(0) if self.listeners.by_fd else ():
            listener = self.listeners.by_fd.get(fd)
            if listener and event & select.EPOLLIN:
                self._guarded(self._answer, listener)

    def _answer(self, listener: Listener) -> None:
        whose = listener.container.whose
        if not self.pacing.may_answer(whose, listener.fd):
            return
        try:
            self.listeners.answer(listener)
            self.pacing.answered(whose)
        except OSError:
            time.sleep(_PAUSE)  # it stays readable, perhaps for ever: others must have a turn
            raise

    def _lose(self, listener: Listener) -> None:
        """Forget a listener that has ended.

        epoll forgets it only once the keeper has closed its copy as well. Until then it would go on
        reporting this number as ended, which may belong to another listener by then.
        """
        fd = listener.fd
        self.poll.unregister(fd)
        is_last = self.listeners.gone(listener)
        self.pacing.forget(listener.container.whose, fd, is_last=is_last)

    def _record(self, key: Key | None, sighting: Sighting) -> None:
        if self.recorder:
            self.recorder.record(key, sighting)

    def _seconds(self) -> float:
        due = [*self.arriving.due(), *self.resting.due(), *self.pacing.due(), *self.scrapes.due()]
        due += self.questions.due() if self.questions else []
        seconds = [when - time.monotonic() for when in due]
        seconds += [TICK if self.listeners.by_fd or self.arriving else TICK_AT_REST]
        if self.recorder:
            seconds.append(self.recorder.seconds())
        else:
            seconds.append(self._record_again - time.monotonic())
        return max(min(seconds), 0.0)

    def _read(self, fd: int) -> None:
        if self.recorder:
            self.recorder.read(fd)
            tree = self.recorder.tree
            if OBSERVE in tree.decided():  # the inspector starts as slowly as a container
                self.listeners.expect()
            if not self.recorder.may_wait:
                self.resting.wake([tree.fileno()])
            elif fd == tree.fileno():
                self.resting.rest(fd, tree.taken)
            if self.inflight.records:
                self.listeners.keep_memory()

    def _arrive(self) -> None:
        """Take runtimes' connections, whose messages may already be complete."""
        while self.arrivals and (one := handshake.given(self.arrivals)):
            self._begin(*one)

    def _begin(self, number: int, fd: int) -> None:
        is_settled = any(one.number == number for one in self.listeners.by_fd.values())
        arrival = handshake.begun(number, fd)
        if arrival is None or is_settled:
            self.listeners.let_go(f"{ARRIVING}{number}")
            if arrival:
                arrival.end()
            return
        stored = self.listeners.unsettled.pop(number, None)  # by a killed predecessor
        self.arriving.add(arrival, stored)

    def _keep(self, arrival: Arrival) -> None:
        if arrival.listener is not None:
            self.listeners.keep(arrival.number, arrival.listener)

    def _take(self, arrival: Arrival) -> None:
        """Take the listener that a connection brought."""
        if arrival.listener is not None:
            state = self._state(arrival)
            listener = self.listeners.add(arrival.number, arrival.listener, state)
            self.poll.register(listener.fd, select.EPOLLIN)
        else:
            self.listeners.let_go(f"{ARRIVING}{arrival.number}")

    def _state(self, arrival: Arrival) -> dict[str, object]:
        state: dict[str, object] = arrival.state()
        whose = str(state["id"]), str(state["bundle"])
        try:
            known = self.recorder.root_of(*whose) if self.recorder else None
        except Exception:  # noqa: BLE001 - the listener matters more
            known = None
        return {**state, "root": known or ""}

    def _obey(self) -> None:
        numbers = self.signals.take()
        if SIGCHLD in numbers:
            self.scrapes.reap()
            self.listeners.inspector.reap()
        self.is_over = SIGTERM in numbers

    def _succeed(self) -> None:
        """Become the keeper in its place, with all open descriptors."""
        self._arrive()  # connections that the keeper had passed on
        self._guarded(self.scrapes.close)
        self._finish()
        stored = {name: Named(name, fd) for name, fd in self._held()}
        known = {each.name: each for each in self.handed if not _is_passing(each.name)}
        succession.take_over(self.prefix, [*(known | stored).values()])

    def _held(self) -> Iterator[tuple[str, int]]:
        yield from self.listeners.named()
        for fd, arrival in self.arriving:
            yield f"{ARRIVING}{arrival.number}", fd
            if arrival.listener is not None:
                yield f"{LISTENER}{arrival.number}", arrival.listener

    def _finish(self) -> None:
        self.listeners.inspector.stop()
        if self.questions:
            self.questions.close()
        if self.recorder:
            self._guarded(self.recorder.finish)


def _is_passing(name: str) -> bool:
    return bool(number_of(name) or number_of(name, ARRIVING))

"""The process that a stopped keeper becomes while containers still send calls.

It lets calls continue, except those that a container's own filter refuses
(agent.observe.traced_calls), and records only how many there were. Processes that join one of these
containers bring their listener as before; new containers are created without the agent. It ends
with the last listener, when a new keeper takes over (agent.supervisor.handoff), or at the next
SIGTERM: from then on the kernel fails the calls with ENOSYS.
"""

from __future__ import annotations

import _socket
import posix
import select
import time
from _signal import SIGTERM  # type: ignore[import-not-found]

from runc_wrap.agent import signals, sockets, systemd_protocol
from runc_wrap.agent.log import say
from runc_wrap.agent.observe import handshake, notify, observed_container
from runc_wrap.agent.observe.handshake import Arrivals
from runc_wrap.agent.observe.inspector_client import Inspector
from runc_wrap.agent.observe.listeners import read_state, write_state
from runc_wrap.agent.observe.observed_container import Container
from runc_wrap.agent.observe.rate_limit import Pacing
from runc_wrap.agent.observe.traced_calls import KEY, Checks, OwnFilters
from runc_wrap.agent.supervisor import handoff
from runc_wrap.agent.systemd_protocol import Named
from runc_wrap.agent.systemd_stored_names import (
    ARRIVING,
    INFLIGHT,
    LINGERING,
    LISTENER,
    STOPPED,
    number_of,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from runc_wrap.agent.observe.handshake import Arrival
    from runc_wrap.agent.observe.observed_container import Whose

_BOUND = b"RUNC_WRAP_BOUND"  # as in the keeper


def main(prefix: str) -> None:
    """Let calls continue until the last listener has ended."""
    handed = systemd_protocol.received(posix.environ)
    signals.fresh()
    bound = posix.environ.get(_BOUND, b"").decode()
    if linger(handed, prefix, bound):
        return
    sockets.remove(prefix, sockets.from_text(bound))
    handoff.remove(prefix)


def linger(handed: list[Named], prefix: str = "", bound: str = "") -> bool:
    """Let calls continue, including the one that a killed process had received.

    Return whether another keeper has taken over.
    """
    one = Lingering(handed, prefix, bound)
    while one.listeners and not one.is_over:
        one.turn()
    one.inspector.stop()
    if not one.is_taken:
        one.tell_losses()
    return one.is_taken


class Lingering:
    """`handed` are the former keeper's descriptors; `bound` the sockets that it had bound."""

    def __init__(self, handed: list[Named], prefix: str, bound: str) -> None:
        self.prefix = prefix
        self.bound = bound
        self.is_over = self.is_taken = False
        self.signals = signals.Signals(SIGTERM)
        named = {each.name: each.fd for each in handed}
        memory = named.get(INFLIGHT)
        self.inflight = notify.Inflight.new() if memory is None else notify.Inflight(memory)
        self.listeners = {each.fd: number_of(each.name) for each in handed if number_of(each.name)}
        self.others = {name: named[name] for name in ("notify", "lock", LINGERING) if name in named}
        self.poll = select.epoll()
        self.arriving = Arrivals(self.poll, self._take)
        self.pacing = Pacing(self.poll)
        self.whose: dict[int, Whose] = {}
        self.own: dict[int, OwnFilters] = {}
        self.containers: dict[Whose, Container] = {}
        self.inspector = Inspector(prefix)
        self.checks = Checks(self.inspector, _read_no_more)
        self._restore()
        for each in handed:
            if number := number_of(each.name, ARRIVING):
                self._begin(number, each.fd)

    def _restore(self) -> None:
        left = self.inflight.left
        for fd, number in self.listeners.items():
            self._know(fd, self._state(number))
            if left and left[0] == number and notify.is_valid(fd, left[1].id):
                error = self._error(fd, left[1])
                if notify.proceed(fd, left[1].id, error):
                    self.inflight.pass_over()
            self.poll.register(fd, select.EPOLLIN)
        watched = [fd for name, fd in self.others.items() if name != "lock"]
        for fd in (self.signals.fd, *watched):
            self.poll.register(fd, select.EPOLLIN)

    def turn(self) -> None:
        """Wait for events and handle them, calls first."""
        others = []
        for fd, event in self.poll.poll(self._seconds()):
            if fd not in self.listeners:
                others.append(fd)
            elif event & select.EPOLLIN:
                self._answer(fd)
            else:
                self._lose(fd)
        for fd in others:
            self._do(fd)
        self.pacing.wake_due()
        self.arriving.give_up_late_ones()

    def _seconds(self) -> float | None:
        due = [*self.arriving.due(), *self.pacing.due()]
        return max(min(due) - time.monotonic(), 0.0) if due else None

    def _answer(self, fd: int) -> None:
        if not self.pacing.may_answer(self.whose[fd], fd):
            return
        if call := self.inflight.receive(fd, self.listeners[fd]):
            error = self._error(fd, call)
            self.inflight.pass_over()
            notify.proceed(fd, call.id, error)
            self.pacing.answered(self.whose[fd])

    def _error(self, fd: int, call: notify.Call) -> int:
        """Return the error of a call that must not continue, 0 for all others."""
        container = self.containers.setdefault(self.whose[fd], Container(self.whose[fd]))
        return self.checks.error(self.own[fd], container, call, lambda: self._keep_own(fd))

    def _keep_own(self, fd: int) -> bool:
        number = self.listeners[fd]
        state = {**self._state(number), KEY: self.own[fd].as_state()}
        return write_state(self._directory(), f"{LISTENER}{number}", state)

    def _know(self, fd: int, state: dict[str, object]) -> None:
        self.whose[fd] = observed_container.whose(state)
        self.own[fd] = OwnFilters(state.get(KEY))

    def _lose(self, fd: int) -> None:
        del self.listeners[fd], self.own[fd]
        self.poll.unregister(fd)  # it may be open elsewhere: then closing is not enough
        whose = self.whose.pop(fd)
        is_last = whose not in self.whose.values()
        self.pacing.forget(whose, fd, is_last=is_last)
        if is_last:
            self.containers.pop(whose, None)
        posix.close(fd)

    def _do(self, fd: int) -> None:
        if fd == self.signals.fd:
            self.is_over = SIGTERM in self.signals.take()
        elif fd == self.others.get(LINGERING):
            self.is_taken = handoff.give(fd, [*self._held()], self.bound)
            self.is_over = self.is_over or self.is_taken
        elif fd == self.others.get("notify"):
            self._accept(fd)
        elif fd in self.arriving:
            self.arriving.read(fd)

    def _held(self) -> Iterator[Named]:
        yield Named(INFLIGHT, self.inflight.fd)
        for fd, number in self.listeners.items():
            yield Named(f"{LISTENER}{number}", fd)
        for fd, arrival in self.arriving:
            yield Named(f"{ARRIVING}{arrival.number}", fd)
            if arrival.listener is not None:
                yield Named(f"{LISTENER}{arrival.number}", arrival.listener)
        for name, fd in self.others.items():
            if name != LINGERING:
                yield Named(name, fd)

    def _accept(self, listening: int) -> None:
        door = _socket.socket(fileno=posix.dup(listening))
        try:
            door.settimeout(0)
            fd, _ = door._accept()  # type: ignore[attr-defined]  # noqa: SLF001 - accept() makes an object of socket's
        except OSError:
            return
        finally:
            door.close()
        taken = [*self.listeners.values(), *(one.number for _, one in self.arriving)]
        self._begin(1 + max(taken, default=0), fd)

    def _begin(self, number: int, fd: int) -> None:
        arrival = handshake.begun(number, fd)
        if arrival is None:
            return
        known = next((each for each, other in self.listeners.items() if other == number), None)
        if known is not None:  # its listener was kept before the message was complete
            del self.listeners[known], self.whose[known], self.own[known]
            self.poll.unregister(known)
        self.arriving.add(arrival, known)

    def _take(self, arrival: Arrival) -> None:
        """Take the listener that a connection brought."""
        if arrival.listener is None:
            return
        state = arrival.state()
        roots = {
            one.get("id"): one.get("root") for one in map(self._state, self.listeners.values())
        }
        state["root"] = roots.get(state["id"], "")
        write_state(self._directory(), f"{LISTENER}{arrival.number}", state)
        self.listeners[arrival.listener] = arrival.number
        self._know(arrival.listener, state)
        self.poll.register(arrival.listener, select.EPOLLIN)

    def _directory(self) -> str:
        return f"{self.prefix}/var/agent/listeners"

    def _state(self, number: int) -> dict[str, object]:
        return read_state(self._directory(), f"{LISTENER}{number}")

    def tell_losses(self) -> None:
        """Note in the store how many calls were not recorded."""
        from runc_wrap.evidence.model import OBSERVE, Lost  # noqa: PLC0415 - at the end only
        from runc_wrap.evidence.store.evidence_files import Store  # noqa: PLC0415 - as above

        records = self.inflight.unrecorded
        if not (records and self.prefix):
            return
        try:
            store = Store(f"{self.prefix}/var/evidence")
            store.lost(Lost(time.time(), records, OBSERVE, STOPPED, store.looked_until))
            store.flush()
        except OSError as error:
            say(f"{records} calls were not recorded, and noting that failed: {error}.")


def _read_no_more(container: Container) -> None:
    container.patience = 0.0

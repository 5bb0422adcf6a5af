"""Starts the inspector (agent.observe.inspector), and asks it about a caller, with a bound.

An inspector that blocks in the kernel cannot even be killed until that ends. So it is abandoned, a
few at most; while that many are stuck, no caller is read.
"""

import _socket
import marshal
import posix
import select
import time
from _signal import SIGKILL  # type: ignore[import-not-found]
from collections.abc import Callable
from typing import NamedTuple  # evidence.sightings has loaded it

from runc_wrap.agent import start_command
from runc_wrap.agent.observe import call_arguments
from runc_wrap.agent.observe.container_limits import Caller, ObservedContainer
from runc_wrap.agent.observe.inspector import LARGEST, NOTHING, PURPOSE, QUESTION, Answer, Purpose
from runc_wrap.agent.observe.seccomp_unotify import Notification
from runc_wrap.agent.service_log import warn
from runc_wrap.host.procfs import is_runnable

MOST_STUCK = 4
_STARTING = 1.0  # seconds that one call waits for a new inspector to be ready
_SCHEDULED = 0.25  # seconds more that one call waits for an inspector that has no CPU
_SLOWEST = 1.0  # seconds for an inspector that has no CPU
_EXPECTED = 10.0  # seconds from a decision to its listener; without one the inspector ends
_AGAIN = 1.0  # seconds until the next is started after one has ended by itself
_KIND = _socket.SOCK_SEQPACKET | _socket.SOCK_CLOEXEC


class Read(NamedTuple):
    """An inspector's answer: `caller`, and clone3's `purpose` or a `program` if that was asked for.

    `filters` is how many the thread carries, `tracer` its tracer's pid; both None if not asked for.
    """

    caller: Caller
    purpose: Purpose | None
    program: bytes | None
    filters: int | None
    tracer: int | None


class Inspector:
    """Asks an inspector; `start` starts it, and each question starts it again if needed.

    `late` is called with a container about which reading has used up its time.
    """

    def __init__(self, prefix: str, late: Callable[[ObservedContainer], None]) -> None:
        self._prefix = prefix
        self._late = late
        self._stuck: list[int] = []
        self._pid = 0
        self._channel: _socket.socket | None = None
        self._poll = select.poll()
        self._is_ready = False
        self._was_awaited = False
        self._pending = 0.0  # since when a question is unanswered, on the monotonic clock
        self._not_before = 0.0  # when the next may start after one has ended by itself
        self._is_reported = False
        self._about: ObservedContainer | None = None
        self._expected = 0.0  # until when a listener may come, on the monotonic clock

    def reap(self) -> int:
        """Reap those that have ended; return how many are stuck."""
        self._stuck = [pid for pid in self._stuck if not start_command.is_over(pid)]
        return len(self._stuck)

    def start(self) -> None:
        """Start one, unless one runs or too many are stuck. Does not wait for it."""
        if self._channel or time.monotonic() < self._not_before or self._are_too_many():
            return
        try:
            ours, self._pid = _started(self._prefix)
        except OSError:  # no process, descriptor or memory to be had
            self._not_before = time.monotonic() + _AGAIN
            return
        self._channel = ours
        self._poll.register(ours.fileno(), select.POLLIN)
        self._is_ready = self._was_awaited = False
        self._pending = 0.0

    def _are_too_many(self) -> bool:
        before, self._is_reported = self._is_reported, self.reap() >= MOST_STUCK
        if self._is_reported and not before:
            warn(f"{MOST_STUCK} readers hang: callers are not read until one of them has ended.")
        return self._is_reported

    def stop(self) -> None:
        """End it."""
        if self._channel:
            self._poll.unregister(self._channel.fileno())
            self._channel.close()
            self._channel = None
            posix.kill(self._pid, SIGKILL)
            self._stuck.append(self._pid)  # until it has ended

    def expect(self) -> None:
        """Start ahead of a listener, so that no call waits for it to start."""
        self._expected = time.monotonic() + _EXPECTED
        self.start()

    def expect_no_more(self, listeners: int) -> None:
        """End it if the expected listener has not come, and there is none."""
        if self._expected and time.monotonic() > self._expected:
            self._expected = 0.0
            if not listeners:
                self.stop()

    def look(
        self, container: ObservedContainer, call: Notification
    ) -> tuple[Caller, tuple[int, ...] | None]:
        """Return a call's caller, and the arguments or None if they are not known."""
        address = call_arguments.clone_args(call)
        known = container.known(call.tid, time.monotonic())
        read = None
        if call.tid and (known is None or address is not None):
            try:
                what = NOTHING if address is None else PURPOSE
                read = self.ask(container, call.tid, what, address or 0)
            except Exception as error:  # noqa: BLE001 - whatever it is, the call must be answered
                warn(f"a caller could not be read: {error!r}")
        if read and known is None:
            container.threads[call.tid] = read.caller
        caller = known or (read.caller if read else Caller(call.tid))
        return caller, call_arguments.arguments(call, read.purpose if read else None)

    def ask(
        self, container: ObservedContainer, tid: int, what: int = NOTHING, address: int = 0
    ) -> Read | None:
        """Return what was read about a container's thread, None if no inspector could be asked.

        Also None once the container's time is used up, and if the inspector had no CPU for 0.25 s
        beyond it; others' calls then wait no longer for it.
        """
        # twice: the question before, which may have been about it as well, may have taken too long
        if not (container.may_be_read and self._is_free() and container.may_be_read):
            return None
        self._about = container
        if not (self._channel and self._sent(self._channel, QUESTION.pack(tid, address, what))):
            return None
        found = self._answer(container.patience)
        if self._pending and self._is_blocked():
            self._give_up(container)
        return found or (self._answer(_SCHEDULED) if self._pending else None)

    def _sent(self, channel: _socket.socket, question: bytes) -> bool:
        try:
            channel.send(question)
        except OSError:
            self._ended()
            return False
        self._pending = time.monotonic()
        return True

    def _is_free(self) -> bool:
        """Return whether it can be asked; give it up if it has had no CPU for long."""
        self.start()
        if self._channel and self._pending:
            self._answer(0.0)
            if self._about and self._pending and time.monotonic() - self._pending > _SLOWEST:
                self._give_up(self._about)
        if self._channel and not self._is_ready:
            self._is_ready = self._answered(0.0 if self._was_awaited else _STARTING) is not None
            self._was_awaited = True
        return bool(self._channel and self._is_ready and not self._pending)

    def _answer(self, seconds: float) -> Read | None:
        """Return the answer to the last question, and charge its container for it."""
        answer = self._answered(seconds)
        if answer is None:
            return None
        caller, purpose, program, filters, tracer, taken = answer
        self._pending = 0.0
        if self._about and self._about.spend(taken):
            self._late(self._about)
            return None
        return Read(Caller(*caller), purpose, program, filters, tracer)

    def _answered(self, seconds: float) -> Answer | None:
        if not self._channel or not self._poll.poll(seconds * 1000):
            return None
        try:
            packet = self._channel.recv(LARGEST)
        except OSError:
            packet = b""
        if not packet:
            self._ended()
            return None
        found: Answer = marshal.loads(packet)  # noqa: S302 - our own program's
        return found

    def _is_blocked(self) -> bool:
        """Return whether it is blocked without an answer; one without a CPU counts as running."""
        return bool(self._channel and not is_runnable(self._pid) and not self._poll.poll(0))

    def _ended(self) -> None:
        self.stop()
        self._not_before = time.monotonic() + _AGAIN

    def _give_up(self, container: ObservedContainer) -> None:
        self.stop()
        self.start()
        self._late(container)


def _started(prefix: str) -> tuple[_socket.socket, int]:
    """Start an inspector; return the channel to it, and its pid. Raises OSError."""
    ours, its = _socket.socketpair(_socket.AF_UNIX, _KIND)
    try:
        channel = (posix.POSIX_SPAWN_DUP2, its.fileno(), 0)
        return ours, start_command.spawned(prefix, "inspector", [channel])
    except OSError:
        ours.close()
        raise
    finally:
        its.close()

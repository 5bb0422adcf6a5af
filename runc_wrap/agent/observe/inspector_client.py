"""Starts the inspector (agent.observe.inspector), and asks it about a caller, with a bound.

An inspector that blocks in the kernel cannot even be killed until that ends. So it is abandoned, a
few at most; while that many are stuck, no caller is read.
"""

from __future__ import annotations

import _socket
import marshal
import posix
import select
import time
from _signal import SIGKILL  # type: ignore[import-not-found]

from runc_wrap.agent import start_command
from runc_wrap.agent.observe import call_arguments
from runc_wrap.agent.observe.container_limits import Caller, ObservedContainer
from runc_wrap.agent.observe.inspector import LARGEST, NOTHING, PURPOSE, QUESTION
from runc_wrap.agent.service_log import warn
from runc_wrap.host.procfs import is_runnable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from runc_wrap.agent.observe.inspector import Answer, Described, PointedAt, Standing
    from runc_wrap.agent.observe.seccomp_unotify import Notification

    TooLate = Callable[[ObservedContainer], None]

MOST_STUCK = 4
_STARTING = 1.0  # seconds that one call waits for a new inspector to be ready
_SCHEDULED = 0.25  # seconds more that one call waits for an inspector that has no CPU
_SLOWEST = 1.0  # seconds for an inspector that has no CPU
_EXPECTED = 10.0  # seconds from a decision to its listener; without one the inspector ends
_AGAIN = 1.0  # seconds until the next is started after one has ended by itself
_KIND = _socket.SOCK_SEQPACKET | _socket.SOCK_CLOEXEC


class Late(Exception):
    """Reading about `container` has used up its time."""

    def __init__(self, container: ObservedContainer) -> None:
        self.container = container


class Read:
    """An inspector's answer: `caller`, and clone3's `purpose` or a `program` if that was asked for.

    `filters` is how many the thread carries, `tracer` its tracer's pid; both None if not asked for.
    """

    __slots__ = ("caller", "filters", "program", "purpose", "tracer")

    def __init__(self, caller: Described, pointed_at: PointedAt, standing: Standing) -> None:
        self.caller = Caller(*caller)
        self.program = pointed_at if isinstance(pointed_at, bytes) else None
        self.purpose = pointed_at if isinstance(pointed_at, tuple) else None
        self.filters = standing[0] if standing else None
        self.tracer = standing[1] if standing else None


class Inspector:
    """Asks an inspector; `start` starts it, and each question starts it again if needed."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._stuck: list[int] = []
        self._pid = 0
        self._number = 0
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
        self, container: ObservedContainer, call: Notification, late: TooLate
    ) -> tuple[Caller, tuple[int, ...] | None]:
        """Return a call's caller, and the arguments or None if they are not known.

        `late` is called with a container about which reading took too long.
        """
        address = call_arguments.clone_args(call)
        known = container.callers.known(call.tid, time.monotonic())
        read = None
        if call.tid and (known is None or address is not None):
            try:
                read = self._read(container, call.tid, address, late)
            except Exception as error:  # noqa: BLE001 - whatever it is, the call must be answered
                warn(f"a caller could not be read: {error!r}")
        if read and known is None:
            container.callers.learnt(call.tid, read.caller)
        caller = known or (read.caller if read else Caller(call.tid))
        return caller, call_arguments.arguments(call, read.purpose if read else None)

    def _read(
        self, container: ObservedContainer, tid: int, address: int | None, late: TooLate
    ) -> Read | None:
        """Ask, within the time that the container may hold up others."""
        if not container.may_be_read:
            return None
        try:
            return self.ask(container, tid, address)
        except Late as error:
            late(error.container)
            return None

    def ask(
        self,
        container: ObservedContainer,
        tid: int,
        address: int | None,
        what: int = PURPOSE,
        *,
        standing: bool = False,
    ) -> Read | None:
        """Return what was read about a container's thread, None if no inspector could be asked.

        Also None if it had no CPU for 0.25 s beyond the container's time; others' calls then wait
        no longer for it. Raises Late, perhaps about the container of an earlier question.
        """
        self.start()
        if not self._is_free():
            return None
        self._number += 1
        what = NOTHING if address is None else what
        question = QUESTION.pack(self._number, tid, address or 0, what, standing)
        self._about = container
        if not (self._channel and self._sent(self._channel, question)):
            return None
        found = self._answer(container.patience)
        if not found and self._is_blocked():
            raise self._given_up(container)
        return found or self._answer(_SCHEDULED)

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
        if self._channel and not self._is_ready:
            self._is_ready = self._answered(0.0 if self._was_awaited else _STARTING) is not None
            self._was_awaited = True
        elif self._channel and self._pending:
            self._answer(0.0)
            if self._about and self._pending and time.monotonic() - self._pending > _SLOWEST:
                raise self._given_up(self._about)
        return bool(self._channel and self._is_ready and not self._pending)

    def _answer(self, seconds: float) -> Read | None:
        """Return the answer to the last question, and charge its container for it."""
        answer = self._answered(seconds)
        if answer is None:
            return None
        _, caller, pointed_at, standing, taken = answer
        self._pending = 0.0
        if self._about and self._about.spend(taken):
            raise Late(self._about)
        return Read(caller, pointed_at, standing)

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

    def _given_up(self, container: ObservedContainer) -> Late:
        self.stop()
        self.start()
        return Late(container)


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

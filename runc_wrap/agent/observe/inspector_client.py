"""Asking the inspector (agent.observe.inspector) about a caller, with a bound.

An inspector that waits for something cannot even be killed until that is there. So it is left to
itself, a few at most; while there are as many nobody is read about.
"""

from __future__ import annotations

import _socket
import marshal
import posix
import select
import struct
import time
from _signal import SIGKILL  # type: ignore[import-not-found]

from runc_wrap.agent import release_paths
from runc_wrap.agent.log import say
from runc_wrap.agent.observe.callers import Caller
from runc_wrap.host.procfs import is_runnable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runc_wrap.agent.observe.observed_container import Container

    Described = tuple[int, int, str, str]
    PointedAt = int | bytes | None
    Standing = tuple[int, int] | None
    Answer = tuple[int, Described, PointedAt, Standing, float]

QUESTION = struct.Struct(
    "=QqQB?"
)  # number, thread, address, what lies there, the thread's standing
NOTHING, FLAGS, NATIVE, COMPAT = range(4)  # clone3's, or a struct sock_fprog and its shorter form
LARGEST = 48 << 10  # bytes of a question or an answer: a filter, a path and a name
MOST_STUCK = 4
_STARTING = 0.25  # seconds for one to be ready, waited for once, by a call
_SLOWEST = 1.0  # seconds for one that has no CPU
_AGAIN = 1.0  # seconds until another is started where one ended by itself
_KIND = _socket.SOCK_SEQPACKET | _socket.SOCK_CLOEXEC


class Late(Exception):
    """Reading about a container has used up what it may take: `container` is which."""

    def __init__(self, container: Container) -> None:
        self.container = container


class Read:
    """What was read: `flags`, or a `program`, and the rest only if it was asked for.

    `filters` is how many the thread carries, `tracer` who traces it.
    """

    __slots__ = ("caller", "filters", "flags", "program", "tracer")

    def __init__(self, caller: Described, pointed_at: PointedAt, standing: Standing) -> None:
        self.caller = Caller(*caller)
        self.flags = pointed_at if isinstance(pointed_at, int) else None
        self.program = pointed_at if isinstance(pointed_at, bytes) else None
        self.filters = standing[0] if standing else None
        self.tracer = standing[1] if standing else None


class Inspector:
    """Asks an inspector, which is started by `start`, and started again when it is needed."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._stuck: list[int] = []
        self._pid = 0
        self._number = 0
        self._channel: _socket.socket | None = None
        self._poll = select.poll()
        self._is_ready = False
        self._was_awaited = False
        self._pending = 0.0  # since when a question has no answer, on the monotonic clock
        self._not_before = 0.0  # where one ended by itself
        self._is_said = False
        self._about: Container | None = None

    def reap(self) -> int:
        """Let go of those that ended; return how many are stuck."""
        self._stuck = [pid for pid in self._stuck if not _is_over(pid)]
        return len(self._stuck)

    def start(self) -> None:
        """Start one, unless one runs or too many are stuck. It is not waited for."""
        if self._channel or time.monotonic() < self._not_before or self._are_too_many():
            return
        ours, its = _socket.socketpair(_socket.AF_UNIX, _KIND)
        try:
            self._pid = _spawned(self._prefix, its.fileno())
        except OSError:  # no room for one
            ours.close()
            self._not_before = time.monotonic() + _AGAIN
            return
        finally:
            its.close()
        self._channel = ours
        self._poll.register(ours.fileno(), select.POLLIN)
        self._is_ready = self._was_awaited = False
        self._pending = 0.0

    def _are_too_many(self) -> bool:
        before, self._is_said = self._is_said, self.reap() >= MOST_STUCK
        if self._is_said and not before:
            say(f"{MOST_STUCK} readers hang: who calls is not read until one of them has ended.")
        return self._is_said

    def stop(self) -> None:
        """End it."""
        if self._channel:
            self._poll.unregister(self._channel.fileno())
            self._channel.close()
            self._channel = None
            posix.kill(self._pid, SIGKILL)
            self._stuck.append(self._pid)  # until it is gone

    def ask(
        self,
        container: Container,
        tid: int,
        address: int | None,
        what: int = FLAGS,
        *,
        standing: bool = False,
    ) -> Read | None:
        """Return what is to be read of a container's thread, None where nothing could be asked.

        None as well where it had no CPU for as long as it may take. Raises Late, which may be about
        the container that was asked about before.
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
        if not found and self._waits():
            raise self._given_up(container)
        return found

    def _sent(self, channel: _socket.socket, question: bytes) -> bool:
        try:
            channel.send(question)
        except OSError:
            self._ended()
            return False
        self._pending = time.monotonic()
        return True

    def _is_free(self) -> bool:
        """Tell whether it can be asked; one that had no CPU for long is given up."""
        if self._channel and not self._is_ready:
            self._is_ready = self._answered(0.0 if self._was_awaited else _STARTING) is not None
            self._was_awaited = True
        elif self._channel and self._pending:
            self._answer(0.0)
            if self._about and self._pending and time.monotonic() - self._pending > _SLOWEST:
                raise self._given_up(self._about)
        return bool(self._channel and self._is_ready and not self._pending)

    def _answer(self, seconds: float) -> Read | None:
        """Return the answer to the last question, once it is known what it has cost."""
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
            said = self._channel.recv(LARGEST)
        except OSError:
            said = b""
        if not said:
            self._ended()
            return None
        found: Answer = marshal.loads(said)  # noqa: S302 - our own program's
        return found

    def _waits(self) -> bool:
        """Tell whether it sleeps, and has not answered: it would be running if it had no CPU."""
        is_there = self._channel is not None
        return is_there and not is_runnable(self._pid) and not self._poll.poll(0)

    def _ended(self) -> None:
        self.stop()
        self._not_before = time.monotonic() + _AGAIN

    def _given_up(self, container: Container) -> Late:
        self.stop()
        self.start()
        return Late(container)


def _spawned(prefix: str, channel: int) -> int:
    argv = release_paths.command(prefix, "inspector")
    return posix.posix_spawn(
        argv[0],
        argv,
        {b"LC_CTYPE": b"C.UTF-8"},
        file_actions=[(posix.POSIX_SPAWN_DUP2, channel, 0)],
        setsigmask=[],
        setsigdef=[13, 14, 15, 17],  # PIPE ALRM TERM CHLD
    )


def _is_over(pid: int) -> bool:
    try:
        return posix.waitpid(pid, posix.WNOHANG)[0] == pid
    except ChildProcessError:
        return True

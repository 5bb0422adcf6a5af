"""The keeper's workers: starts them, and restarts them at a bounded rate."""

from __future__ import annotations

import posix
import time
from _signal import (  # type: ignore[import-not-found]
    SIG_DFL,
    SIGALRM,
    SIGKILL,
    SIGTERM,
    alarm,
    signal,
)

from runc_wrap.agent import signals, systemd_protocol

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from runc_wrap.agent.systemd_protocol import Named

_FIRST_PAUSE, _LONGEST_PAUSE = 0.2, 30.0  # seconds, before a worker that ended soon starts again
_SOON = 10.0  # seconds
_KILLED = 2.0  # seconds for a worker that was killed to end


class Worker:
    """One role's process: `pid` is 0 while there is none, `due` says when one is to be started.

    `longest` is the longest pause in seconds before restarting one that ended soon. `latest` is the
    pid of the last process, which may have ended while a message of its is still to be read.
    """

    def __init__(self, role: str, longest: float = _LONGEST_PAUSE) -> None:
        self.role = role
        self.longest = longest
        self.pid = self.latest = 0
        self.is_ready = False
        self.is_given_up = False
        self.due = 0.0
        self._started = 0.0
        self._pause = 0.0

    def start(
        self, argv: Sequence[str], handed: Sequence[Named], environment: Mapping[bytes, bytes]
    ) -> None:
        """Start the process; if that is impossible now, it is due again later."""
        self._started = time.monotonic()
        self.pid = spawn(argv, handed, environment)
        if self.pid:
            self.latest = self.pid
        else:
            self.ended()

    def ended(self) -> None:
        """Note that the process has ended: it is due again, after a pause if it ended soon."""
        now = time.monotonic()
        if now - self._started > _SOON:
            self._pause = 0.0
        self.pid, self.is_ready, self.is_given_up = 0, False, False
        self.due = now + self._pause
        self._pause = min(max(2 * self._pause, _FIRST_PAUSE), self.longest)

    def give_up(self) -> None:
        """Kill a process that hangs, which may take as long as what blocks it."""
        self.is_given_up = True
        self.tell(SIGKILL)

    def tell(self, number: int) -> None:
        """Send a signal to the process, if there is one."""
        if self.pid:
            posix.kill(self.pid, number)


def spawn(
    argv: Sequence[str],
    handed: Sequence[Named],
    environment: Mapping[bytes, bytes],
    seconds: int = 0,
) -> int:
    """Start a process, and return its pid; 0 if that is impossible now.

    A signal ends it after so many seconds, 0 for never. It ends with 127 if it cannot be executed.
    """
    signals.hold()
    try:
        pid = posix.fork()
    except OSError:
        pid = -1
    if pid == 0:
        try:
            signals.fresh()
            signal(SIGALRM, SIG_DFL)
            alarm(seconds)
            systemd_protocol.become(argv, handed, environment)
        finally:
            posix._exit(127)  # noqa: SLF001 - os._exit by its own name
    signals.release()
    return max(pid, 0)


def stop(workers: Sequence[Worker], seconds: float, meanwhile: Callable[[], None]) -> None:
    """End all of them, and wait for that; `meanwhile` reads what they still send."""
    for worker in workers:
        worker.tell(SIGTERM)
    until = time.monotonic() + seconds
    for worker in workers:
        while worker.pid and not _is_over(worker.pid):
            if time.monotonic() > until:
                worker.tell(SIGKILL)
                _await(worker.pid, time.monotonic() + _KILLED)
                break
            meanwhile()
            time.sleep(0.005)
        worker.pid = 0
    meanwhile()


def _await(pid: int, until: float) -> None:
    """Wait for a killed process; one that is blocked by a device may never end."""
    while not _is_over(pid) and time.monotonic() < until:
        time.sleep(0.005)


def _is_over(pid: int) -> bool:
    return posix.waitpid(pid, posix.WNOHANG)[0] == pid


def gone() -> dict[int, bool]:
    """Return {pid: whether it succeeded} of the children that have ended, each once."""
    found: dict[int, bool] = {}
    while True:
        try:
            pid, status = posix.waitpid(-1, posix.WNOHANG)
        except ChildProcessError:
            return found
        if not pid:
            return found
        found[pid] = status == 0

"""The service decide: answers launchers, one request for each connection.

It answers requests one after the other, so a file system that hangs makes the others wait too. A
launcher waits 80 ms at most (launcher/ask.c) and then decides itself; if the service keeps hanging,
systemd replaces it (WatchdogSec=). It decides nothing for launchers that have hung up: of a burst
too large to answer in time, it answers those that still wait.

A connection stays open after its answer until the launcher has become the runtime, which closes
it: only then is it known whether the launcher took the file that was made for it.
"""

from __future__ import annotations

import _socket
import gc
import posix
import select
import time
from _signal import SIGINT, SIGTERM  # type: ignore[import-not-found]

from runc_wrap.agent import service_lifecycle, systemd_protocol
from runc_wrap.agent.decide import launcher_packet
from runc_wrap.agent.decide.answerer import COLD, Answerer
from runc_wrap.agent.service_log import Complaints, say
from runc_wrap.agent.systemd_protocol import Supervisor, Watchdog
from runc_wrap.hotpath import config_file

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runc_wrap.agent.decide.answerer import AnswerPacket

ROLE = "decide"  # and the name of its socket
REQUEST_SECONDS = 1.0  # for a request to come after its connection
KEPT_SECONDS = 10.0  # for a launcher to become the runtime
MOST = 256  # connections; more wait to be accepted
_DRAIN_SECONDS = 0.1
_COLLECT_EVERY = 1000  # requests
_PRIORITY = -10


class Connection:
    """One launcher: `pid` its process, `made` its new file, `until` when it is given up."""

    __slots__ = ("fd", "is_answered", "made", "pid", "socket", "until")

    def __init__(self, fd: int, pid: int, socket: _socket.socket) -> None:
        self.fd = fd
        self.pid = pid
        self.socket = socket
        self.made = ""
        self.is_answered = False
        self.until = time.monotonic() + REQUEST_SECONDS

    def is_open(self) -> bool:
        """Return whether the launcher still waits: it soon gives up and closes."""
        try:
            return self.socket.recv(1, _socket.MSG_PEEK | _socket.MSG_DONTWAIT) != b""
        except BlockingIOError:
            return True
        except OSError:
            return False


def main(prefix: str) -> None:
    """Run the service until a signal ends it, or another release is installed."""
    held = service_lifecycle.begin(prefix, ROLE, [ROLE])
    _come_first()
    signals = service_lifecycle.Signals(SIGTERM, SIGINT)
    supervisor = Supervisor(posix.environ)
    server = Server(Answerer(prefix), held[ROLE], Watchdog(supervisor, posix.environ))
    gc.collect()
    gc.freeze()
    gc.disable()
    supervisor.send(systemd_protocol.READY)
    say(f"ready: pid {posix.getpid()}, socket in {prefix}/var/agent.")
    server.serve(signals.fd)
    if server.is_outdated:
        service_lifecycle.begin_anew(prefix, ROLE, [*held.items()])


def _come_first() -> None:
    """Raise the priority, as a container waits; where that is forbidden, it is only slower."""
    try:
        posix.setpriority(posix.PRIO_PROCESS, 0, _PRIORITY)
    except OSError:
        return


class Server:
    """Answers at a listening socket. `is_outdated`: another release is installed."""

    def __init__(self, answerer: Answerer, listening: int, watchdog: Watchdog) -> None:
        self.answerer = answerer
        self.watchdog = watchdog
        self.is_outdated = False
        self.listening = _socket.socket(fileno=posix.dup(listening))
        self.listening.settimeout(0)
        self.connections: dict[int, Connection] = {}
        self.poll = select.epoll()
        self.poll.register(self.listening.fileno(), select.EPOLLIN)
        self._accepts = True
        self._requests = 0
        self._complaints = Complaints()

    def serve(self, end: int) -> None:
        """Serve until this descriptor is readable, or another release is installed."""
        self.poll.register(end, select.EPOLLIN)
        while not self._turn(end) and not self.is_outdated:
            pass
        self._drain()

    def _turn(self, end: int) -> bool:
        """Wait for events and handle them; return whether to stop serving."""
        self.watchdog.tell_due()
        self._accept_if_room()
        for fd, event in self.poll.poll(self._seconds()):
            if fd == end:
                return True
            connection = self.connections.get(fd)
            if connection and event & select.EPOLLHUP:
                self._close(connection)
            elif connection:
                self._read(connection)
            else:
                self._accept()
        now = time.monotonic()
        for connection in [each for each in self.connections.values() if each.until <= now]:
            self._close(connection)
        return False

    def _accept_if_room(self) -> None:
        if self._accepts != (len(self.connections) < MOST):
            self._accepts = not self._accepts
            self.poll.modify(self.listening.fileno(), select.EPOLLIN if self._accepts else 0)

    def _seconds(self) -> float | None:
        """Return how long to wait; None, for ever, without connections and watchdog."""
        due = [connection.until for connection in self.connections.values()]
        due += self.watchdog.due()
        return max(min(due) - time.monotonic(), 0.0) if due else None

    def _accept(self) -> None:
        try:
            fd, _ = self.listening._accept()  # type: ignore[attr-defined]  # noqa: SLF001 - accept() makes an object of socket's
        except OSError:
            return
        socket = _socket.socket(_socket.AF_UNIX, _socket.SOCK_SEQPACKET, 0, fd)
        peer = socket.getsockopt(_socket.SOL_SOCKET, _socket.SO_PEERCRED, 12)  # struct ucred
        pid, uid = int.from_bytes(peer[:4], "little"), int.from_bytes(peer[4:8], "little")
        if uid != 0 or pid <= 0:
            socket.close()
            return
        self.connections[fd] = Connection(fd, pid, socket)
        self.poll.register(fd, select.EPOLLIN)
        self._read(self.connections[fd])  # the request mostly arrives with its connection

    def _read(self, connection: Connection) -> None:
        if connection.is_answered:
            self._close(connection)
            return
        try:
            packet = connection.socket.recv(launcher_packet.LARGEST + 1, _socket.MSG_DONTWAIT)
        except BlockingIOError:  # not yet, or an earlier socket's event for this number
            return
        except OSError:
            packet = b""
        if not packet:
            self._close(connection)
            return
        answer, connection.made = self._answer(packet, connection)
        connection.is_answered = True
        connection.until = time.monotonic() + KEPT_SECONDS
        try:
            connection.socket.send(answer, _socket.MSG_DONTWAIT | _socket.MSG_NOSIGNAL)
        except OSError:
            self._close(connection)
        self._requests += 1
        if self._requests % _COLLECT_EVERY == 0:  # no launcher waits for it now
            gc.collect()

    def _answer(self, packet: bytes, connection: Connection) -> AnswerPacket:
        try:
            if self.answerer.is_current():
                return self.answerer.answer(packet, connection.pid, connection.is_open)
            self.is_outdated = True
        except Exception as error:  # noqa: BLE001 - the cold path reports it if it recurs
            self._complaints.note(error)
        return COLD

    def _close(self, connection: Connection) -> None:
        """Forget a connection; first remove the file that its launcher did not take."""
        if connection.made:
            config_file.remove(connection.made)
        del self.connections[connection.fd]
        connection.socket.close()

    def _drain(self) -> None:
        """Give answered launchers time to take the files made for them."""
        until = time.monotonic() + _DRAIN_SECONDS
        while self.connections and time.monotonic() < until:
            for fd, _ in self.poll.poll(0.01):
                if fd in self.connections:
                    self._read(self.connections[fd])
        for connection in [*self.connections.values()]:
            self._close(connection)

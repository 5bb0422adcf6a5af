"""Serves scrapes: accepts connections within limits and answers them. The agent never waits.

Each listening socket has its own limit, and on loopback each uid: a client that connects and sends
nothing, or reads nothing, takes room only from itself. Nothing is started before a request is
complete and valid (agent.metrics_http.request_head), and then once for all clients
(agent.metrics_http.scrape_cache).
"""

from __future__ import annotations

import _socket
import posix
import select
import time

from runc_wrap.agent.metrics_http import request_head
from runc_wrap.agent.metrics_http.scrape_cache import Exposition
from runc_wrap.host import socket_peers

HEAD_SECONDS = 2.0  # from the connection to a complete request
ANSWER_SECONDS = 15.0  # from then on: for the program, and for the client to read
MOST_OF_ONE = 8  # connections of one uid at one socket
MOST_OF_OTHERS = 16  # connections of all but root at one socket
MOST_AT_A_TIME = 50  # connections accepted at one socket in PAUSE; more wait in its queue
PAUSE = 0.05  # seconds: short, as a client that finds the queue full retries after whole seconds
MOST_OF_ONE_A_SECOND = 50  # connections of one uid that are read; more are closed at once
_MOST_AT_ONCE = 8  # events in one turn: this thread's other work waits meanwhile
_PIECE = 64 * 1024  # bytes sent in one turn
_READING = 1.0  # seconds within which an honest client reads its answer
_BUSY = (503, "Service Unavailable", "too many connections of this uid; try again in a second")
_FAILED = (500, "Internal Server Error", "ledger or evidence cannot be read")

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable


class Place:
    """One listening socket; `hosts` are the values that Host may have there, () for any."""

    def __init__(self, listening: _socket.socket, hosts: Iterable[bytes] = ()) -> None:
        self.listening = listening
        self.hosts = frozenset(hosts)
        self.since = 0.0  # when the time began that `taken` counts
        self.taken = 0
        self.second = 0.0  # when the second began that `taken_of` counts
        self.taken_of: dict[int, int] = {}
        self.is_paused = False

    def is_full(self, now: float) -> bool:
        """Count a connection; return whether it was the last for now."""
        if now - self.since >= PAUSE:
            self.since, self.taken = now, 0
        if now - self.second >= 1:
            self.second = now
            self.taken_of.clear()
        self.taken += 1
        return self.taken >= MOST_AT_A_TIME

    def is_flooded_by(self, uid: int) -> bool:
        """Count a connection of this uid; return whether it exceeds its share of this second."""
        self.taken_of[uid] = self.taken_of.get(uid, 0) + 1
        return self.taken_of[uid] > MOST_OF_ONE_A_SECOND


class Scrape:
    """One connection: its request is read, it waits for the text, the text is sent."""

    def __init__(self, connection: _socket.socket, place: Place, uid: int) -> None:
        self.socket = connection
        self.place = place
        self.uid = uid
        self.until = time.monotonic() + HEAD_SECONDS
        self.text = b""  # the head as far as it has come, then what is still to be sent
        self.format = ""  # which exposition it waits for
        self.waits = False
        self.sends_since = 0.0
        self.file, self.at, self.end = -1, 0, 0

    @property
    def can_go(self) -> bool:
        """Return whether it may be closed to make room: it sends nothing, or reads nothing."""
        return not self.waits and (
            not self.sends_since or time.monotonic() - self.sends_since > _READING
        )

    def read(self) -> bool:
        """Read more; return whether the request is complete, or never will be."""
        try:
            part = self.socket.recv(request_head.LARGEST + 1 - len(self.text))
        except BlockingIOError:
            return False
        self.text += part
        return not part or request_head.is_whole(self.text)

    def send(self, text: bytes) -> None:
        """Begin to send `text`, followed by bytes `at` to `end` of `file`."""
        self.text, self.waits, self.sends_since = text, False, time.monotonic()

    def send_on(self) -> bool:
        """Send a piece; return whether that was all. Raises OSError."""
        if not self.text and self.at < self.end:
            self.text = posix.pread(self.file, min(_PIECE, self.end - self.at), self.at)
            self.at += len(self.text)
        try:
            self.text = self.text[self.socket.send(self.text) :]
        except BlockingIOError:
            return False
        return not self.text and self.at >= self.end

    def close(self) -> None:
        """Close it, after reading surplus input: otherwise the client would get an error."""
        try:
            self.socket.shutdown(_socket.SHUT_WR)
            for _ in range(_MOST_AT_ONCE):
                if not self.socket.recv(_PIECE):
                    break
        except OSError:
            pass  # the client sees the connection end
        self.socket.close()
        if self.file >= 0:
            posix.close(self.file)


class Scrapes:
    """All connections; the agent waits for `fileno()` and until `due()`."""

    def __init__(self, prefix: str) -> None:
        self._poll = select.epoll()
        self._places: dict[int, Place] = {}
        self._open: dict[int, Scrape] = {}
        kinds = ("", request_head.OPENMETRICS.decode())
        self._expositions = {kind: Exposition(prefix, kind) for kind in kinds}

    def fileno(self) -> int:
        """Return the descriptor that is readable when `turn` has something to do."""
        return self._poll.fileno()

    def listen(self, descriptor: int) -> None:
        """Accept connections at a copy of this listening socket from now on."""
        listening = _socket.socket(fileno=posix.dup(descriptor))
        listening.settimeout(0)
        is_unix = listening.family == _socket.AF_UNIX
        hosts = () if is_unix else allowed_hosts(*listening.getsockname()[:2])
        self._places[listening.fileno()] = Place(listening, hosts)
        self._poll.register(listening.fileno(), select.EPOLLIN)

    def close(self) -> None:
        """Close everything that is open here."""
        for scrape in [*self._open.values()]:
            self._end(scrape)
        for place in self._places.values():
            place.listening.close()
        for one in self._expositions.values():
            one.forget()
        self._poll.close()

    def due(self) -> list[float]:
        """Return when `tidy` has something to do, on the monotonic clock."""
        made = [when for one in self._expositions.values() for when in one.until]
        shut = [place.since + PAUSE for place in self._places.values() if place.is_paused]
        return [*(scrape.until for scrape in self._open.values()), *made, *shut]

    def turn(self) -> None:
        """Handle some events; `fileno()` stays readable if there are more."""
        for fd, _ in self._poll.poll(0, _MOST_AT_ONCE):
            if fd in self._places:
                self._accept(self._places[fd])
            elif fd in self._open:  # it may have been closed for another in this turn
                self._go_on_or_end(self._open[fd])

    def tidy(self) -> None:
        """Close late connections, reopen paused sockets, drop expired texts."""
        now = time.monotonic()
        for scrape in [one for one in self._open.values() if one.until <= now]:
            self._end(scrape)
        for fd, place in self._places.items():
            if place.is_paused and now >= place.since + PAUSE:
                place.is_paused = False
                self._poll.modify(fd, select.EPOLLIN)
        for one in self._expositions.values():
            one.tidy()

    def reap(self) -> None:
        """After SIGCHLD: answer the connections that waited for a program that has ended."""
        for kind, one in self._expositions.items():
            if one.reap():
                for scrape in [each for each in self._open.values() if each.waits]:
                    if scrape.format == kind:
                        self._answer(scrape, one)

    def _accept(self, place: Place) -> None:
        try:
            fd, _ = place.listening._accept()  # type: ignore[attr-defined]  # noqa: SLF001 - accept() makes an object of socket's
        except OSError:
            return
        connection = _socket.socket(fileno=fd)
        connection.settimeout(0)
        if place.is_full(time.monotonic()):
            place.is_paused = True
            self._poll.modify(place.listening.fileno(), 0)
        uid = socket_peers.uid_of(connection)
        if place.is_flooded_by(uid):
            connection.close()
            return
        scrape = Scrape(connection, place, uid)
        if not self._has_room(scrape):
            scrape.send(request_head.answer(_BUSY))
            self._try_at_once(scrape)
            return
        self._open[fd] = scrape
        self._poll.register(fd, select.EPOLLIN)

    def _has_room(self, scrape: Scrape) -> bool:
        """Return whether there is room for one more; close the oldest that may go if need be."""
        beside = [one for one in self._open.values() if one.place is scrape.place]
        own = [one for one in beside if one.uid == scrape.uid]
        others = [one for one in beside if one.uid] if scrape.uid else []
        for group, most in ((own, MOST_OF_ONE), (others, MOST_OF_OTHERS)):
            if len(group) >= most:
                going = next((one for one in group if one.can_go), None)
                if going is None:
                    return False
                self._end(going)
                return True
        return True

    def _go_on_or_end(self, scrape: Scrape) -> None:
        try:
            self._go_on(scrape)
        except OSError:
            self._end(scrape)

    def _go_on(self, scrape: Scrape) -> None:
        if scrape.sends_since:
            if scrape.send_on():
                self._end(scrape)
        elif scrape.waits:  # it has sent more, or has hung up
            self._end(scrape)
        elif scrape.read():
            self._heed(scrape)

    def _heed(self, scrape: Scrape) -> None:
        """Act on a request that is complete or too large."""
        if not request_head.is_whole(scrape.text):
            self._end(scrape)
            return
        head = request_head.parsed(scrape.text, scrape.place.hosts)
        scrape.until = time.monotonic() + ANSWER_SECONDS
        if head.status is not request_head.WANTED:
            self._send(scrape, request_head.answer(head.status, is_head=head.is_head))
            return
        scrape.format = request_head.OPENMETRICS.decode() if head.wants_openmetrics else ""
        exposition = self._expositions[scrape.format]
        if exposition.is_fresh:
            self._answer(scrape, exposition)
            return
        if exposition.is_due:
            exposition.start()
        scrape.waits = True
        self._poll.modify(scrape.socket.fileno(), 0)  # EPOLLHUP comes all the same

    def _answer(self, scrape: Scrape, exposition: Exposition) -> None:
        if not exposition.is_fresh:
            self._send(scrape, request_head.answer(_FAILED))
            return
        scrape.file, scrape.at, scrape.end = exposition.copy(), exposition.begin, exposition.end
        size = exposition.end - exposition.begin
        self._send(scrape, request_head.metrics(exposition.content_type, size))

    def _send(self, scrape: Scrape, text: bytes) -> None:
        scrape.send(text)
        self._poll.modify(scrape.socket.fileno(), select.EPOLLOUT)

    def _try_at_once(self, scrape: Scrape) -> None:
        try:
            scrape.send_on()
        except OSError:
            pass  # it was closed
        finally:
            scrape.close()

    def _end(self, scrape: Scrape) -> None:
        fd = scrape.socket.fileno()
        self._poll.unregister(fd)
        del self._open[fd]
        scrape.close()


def allowed_hosts(address: str, port: int) -> set[bytes]:
    """Return the values that Host may have at this address: its names, with and without port."""
    own = f"[{address}]" if ":" in address else address
    names = ("localhost", "127.0.0.1", "[::1]", own)
    return {f"{name}{end}".encode() for name in names for end in ("", f":{port}")}

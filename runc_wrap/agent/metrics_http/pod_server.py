"""Serves scrapes at a port of a cluster's pod: few connections at a time, each within bounds.

Whoever reaches the port may ask. Each address has a share, and where all is taken, the oldest
connection that has had a moment goes: many addresses keep a scraper out no longer than that. It
runs in a container that has nothing else to do, so a connection is a thread.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from runc_wrap.agent.metrics_http import request_head

if TYPE_CHECKING:
    from collections.abc import Callable

MOST = 8  # connections at a time
MOST_OF_ONE = 2  # of one address
HEAD_SECONDS = 2.0  # from the connection to a complete request
ANSWER_SECONDS = 5.0  # for the client to read
CONTENT_TYPE = b"text/plain; version=0.0.4; charset=utf-8"
READING = 1.0  # seconds within which an honest client asks and reads
_GLANCE = 5.0  # seconds between looks at whether it is over
_PAUSE = 0.01  # seconds after a connection too many: a flood of them must not take a CPU
_BUSY = (503, "Service Unavailable", "too many connections; try again in a second")


def listen(port: int) -> socket.socket:
    """Return a socket that listens at all addresses, of both families if there are both.

    Raises OSError.
    """
    if socket.has_dualstack_ipv6():
        with contextlib.suppress(OSError):  # IPv6 is switched off, or the port is taken
            return socket.create_server(
                ("", port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=128
            )
    return socket.create_server(("", port), backlog=128)


@dataclass(eq=False)
class _Connection:
    socket: socket.socket
    address: str
    since: float = field(default_factory=time.monotonic)

    @property
    def can_go(self) -> bool:
        return time.monotonic() - self.since > READING

    def hang_up(self) -> None:
        """Let the thread that serves it end."""
        with contextlib.suppress(OSError):  # it has ended
            self.socket.shutdown(socket.SHUT_RDWR)


class PodServer:
    """A listening socket, and `made`, which returns the text of an answer in any thread."""

    def __init__(self, listening: socket.socket, made: Callable[[], bytes]) -> None:
        self._listening = listening
        self._made = made
        self._lock = threading.Lock()
        self._open: list[_Connection] = []  # the oldest first

    def serve(self, is_over: Callable[[], bool]) -> None:
        """Answer connections, and look every few seconds whether it is over."""
        self._listening.settimeout(_GLANCE)
        until = time.monotonic() + _GLANCE
        while True:
            if time.monotonic() >= until:
                if is_over():
                    return
                until = time.monotonic() + _GLANCE
            try:
                connection, address = self._listening.accept()
            except TimeoutError:
                continue
            except OSError:  # the client has gone, or there is no descriptor left
                time.sleep(_PAUSE)
                continue
            self._take(connection, str(address[0]))

    def _take(self, connection: socket.socket, address: str) -> None:
        new = _Connection(connection, address)
        if self._has_room(new):
            with contextlib.suppress(RuntimeError):  # no thread can be started
                threading.Thread(target=self._serve, args=(new,), daemon=True).start()
                return
            self._leave(new)
        with connection, contextlib.suppress(OSError):
            connection.settimeout(_PAUSE)
            connection.sendall(request_head.answer(_BUSY))
        time.sleep(_PAUSE)

    def _has_room(self, new: _Connection) -> bool:
        """Count it in, if need be in place of the oldest."""
        with self._lock:
            if [one.address for one in self._open].count(new.address) >= MOST_OF_ONE:
                return False
            if len(self._open) >= MOST:
                if not self._open[0].can_go:
                    return False
                self._open.pop(0).hang_up()
            self._open.append(new)
            return True

    def _leave(self, one: _Connection) -> None:
        with self._lock, contextlib.suppress(ValueError):  # it made room for another
            self._open.remove(one)

    def _serve(self, one: _Connection) -> None:
        try:
            with one.socket, contextlib.suppress(OSError):
                self._answer(one.socket)
        finally:
            self._leave(one)

    def _answer(self, connection: socket.socket) -> None:
        text = _head(connection)
        if not request_head.is_whole(text):
            return  # it hung up
        head = request_head.parsed(text, ())
        if head.status is request_head.WANTED:
            body = self._made()
            parts = [request_head.metrics(CONTENT_TYPE, len(body)), body]
        else:
            parts = [request_head.answer(head.status, is_head=head.is_head)]
        connection.settimeout(ANSWER_SECONDS)
        for part in parts:
            connection.sendall(part)
        connection.shutdown(socket.SHUT_WR)


def _head(connection: socket.socket) -> bytes:
    """Return what came until the request's head was complete, too large, or all. Raises OSError."""
    until, text = time.monotonic() + HEAD_SECONDS, b""
    while not request_head.is_whole(text):
        connection.settimeout(max(until - time.monotonic(), 0.001))
        part = connection.recv(request_head.LARGEST + 1 - len(text))
        if not part:
            break
        text += part
    return text

"""A server of HTTP/2 for one call, which does after the request what a test says."""

import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import Event, StreamEnded

from harness.host.processes import short_directory

STREAM = 1
HEAD = ((":status", "200"), ("content-type", "application/grpc"))


def framed(message: bytes) -> bytes:
    """Return a message of gRPC, uncompressed."""
    return struct.pack(">BI", 0, len(message)) + message


class Peer(NamedTuple):
    """One connection, whose request has come; `raw` and `http` write to the same socket."""

    raw: socket.socket
    http: H2Connection
    request: list[Event]

    def send(self) -> None:
        self.raw.sendall(self.http.data_to_send())

    def head(self, *fields: tuple[str, str], ends: bool = False) -> None:
        self.http.send_headers(STREAM, fields, end_stream=ends)
        self.send()

    def data(self, data: bytes, *, ends: bool = False) -> None:
        """Send as much at a time as the client's windows allow."""
        while data:
            size = min(self.http.local_flow_control_window(STREAM), 1 << 14, len(data))
            self.http.send_data(STREAM, data[:size], end_stream=ends and size == len(data))
            data = data[size:]
            self.send()
            if data and not self.http.local_flow_control_window(STREAM):
                self.receive()

    def receive(self) -> None:
        """Take what the client sends next. Raises ConnectionResetError at its end."""
        received = self.raw.recv(1 << 16)
        if not received:
            raise ConnectionResetError
        self.request.extend(self.http.receive_data(received))


@contextlib.contextmanager
def served(behave: Callable[[Peer], None]) -> Iterator[Path]:
    """Serve one call on a socket, whose path is given; the client may hang up at any time."""
    with short_directory("http2") as directory, socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(directory / "s"))
        listening.listen()
        thread = threading.Thread(target=_serve, args=(listening, behave))
        thread.start()
        try:
            yield directory / "s"
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            thread.join(60)
            assert not thread.is_alive()


def _serve(listening: socket.socket, behave: Callable[[Peer], None]) -> None:
    with contextlib.suppress(OSError):
        asked, _ = listening.accept()
        with asked:
            http = H2Connection(H2Configuration(client_side=False, validate_outbound_headers=False))
            http.initiate_connection()
            asked.sendall(http.data_to_send())
            peer = Peer(asked, http, [])
            while not any(isinstance(one, StreamEnded) for one in peer.request):
                peer.receive()
            behave(peer)
            asked.shutdown(socket.SHUT_WR)
            while asked.recv(1 << 16):  # closed earlier, it could lose what was sent
                pass

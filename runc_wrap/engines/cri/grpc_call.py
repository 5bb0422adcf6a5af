"""One unary gRPC call over a unix socket: gRPC's few rules, and HTTP/2 by h2.

h2 computes only; what is read and sent, and for how long, is decided here. Each call has its own
connection, one deadline, and a bound on what is read. Source: github.com/grpc/grpc,
doc/PROTOCOL-HTTP2.md.
"""

import contextlib
import re
import socket
import struct
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote

import h2.events
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.exceptions import H2Error
from h2.settings import SettingCodes, Settings

from runc_wrap.engines.handler import CallFailed

_STREAM = 1
_LARGEST = 16 << 20  # bytes of one answer, frames included
_CHUNK = 1 << 16  # bytes that are read and computed between two looks at the clock
_HEADERS = 1 << 16  # bytes of header fields, as h2 counts them (RFC 9113 section 6.5.2)
_PREFIX = 5  # bytes before a message: whether it is compressed, and its length in four


@dataclass
class _Answer:
    data: bytearray = field(default_factory=bytearray)
    fields: dict[str, str] = field(default_factory=dict)
    is_over: bool = False


def call(path: Path, method: str, request: bytes, seconds: float) -> bytes:
    """Call `/package.Service/Method` with an encoded message; return the encoded answer.

    A request of more than 16 KiB is refused. Raises CallFailed.
    """
    deadline = time.monotonic() + seconds
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC) as connection:
            connection.settimeout(seconds)
            connection.connect(str(path))
            answer = _answered(connection, _asking(method, request), deadline)
    except TimeoutError:
        raise CallFailed(f"{path} did not answer {method} within {seconds:g} s") from None
    except (OSError, H2Error, ValueError) as error:
        raise CallFailed(f"{path}: {error}") from None
    return _message(answer, path)


def _asking(method: str, request: bytes) -> H2Connection:
    """Return a connection whose first bytes are the whole request."""
    http = H2Connection(H2Configuration(client_side=True, header_encoding=None))
    ours = {SettingCodes.ENABLE_PUSH: 0, SettingCodes.MAX_HEADER_LIST_SIZE: _HEADERS}
    http.local_settings = Settings(client=True, initial_values=ours)
    http.initiate_connection()
    fields = [
        (":method", "POST"), (":scheme", "http"), (":path", method), (":authority", "localhost"),
        ("te", "trailers"), ("content-type", "application/grpc"),
    ]  # fmt: skip
    http.send_headers(_STREAM, fields)
    http.send_data(_STREAM, struct.pack(">BI", 0, len(request)) + request, end_stream=True)
    return http


def _answered(connection: socket.socket, http: H2Connection, deadline: float) -> _Answer:
    answer, size = _Answer(), 0
    while not answer.is_over:
        if size > _LARGEST:
            raise ValueError(f"an answer of more than {_LARGEST} bytes")
        _send(connection, http, deadline)
        connection.settimeout(_left(deadline))
        received = connection.recv(_CHUNK)
        if not received:
            raise ConnectionResetError("the server closed the connection")
        size += len(received)
        _take(answer, http.receive_data(received), http)
    return answer


def _send(connection: socket.socket, http: H2Connection, deadline: float) -> None:
    """Send what is due; who reads no more may have answered already, which reading tells."""
    connection.settimeout(_left(deadline))
    with contextlib.suppress(BrokenPipeError):
        connection.sendall(http.data_to_send())


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def _take(answer: _Answer, events: Iterable[h2.events.Event], http: H2Connection) -> None:
    """Add what was received; only our stream can be open, as we refuse pushed ones."""
    for event in events:
        match event:
            case h2.events.ResponseReceived() | h2.events.TrailersReceived():
                answer.fields |= {_text(name): _text(value) for name, value in event.headers}
            case h2.events.DataReceived():
                answer.data += event.data
                http.acknowledge_received_data(event.flow_controlled_length or 0, _STREAM)
            case h2.events.StreamEnded():
                answer.is_over = True
                return
            case h2.events.StreamReset() | h2.events.ConnectionTerminated():
                code = int(event.error_code or 0)
                raise ConnectionResetError(f"the server ended the call, with HTTP/2's error {code}")


def _text(raw: bytes | str) -> str:
    return raw if isinstance(raw, str) else raw.decode(errors="replace")


def _message(answer: _Answer, path: Path) -> bytes:
    fields = answer.fields
    kind = fields.get("content-type", "")
    if fields.get(":status") != "200" or not kind.startswith("application/grpc"):
        answered = f"status {fields.get(':status')}, content type {kind!r}"
        raise CallFailed(f"{path} does not speak gRPC: HTTP {answered}")
    status = fields.get("grpc-status", "")
    if status != "0":
        why = unquote(fields.get("grpc-message", "")) or f"gRPC status {status or 'none'}"
        raise CallFailed(why, int(status) if re.fullmatch("[0-9]{1,3}", status) else None)
    size = int.from_bytes(answer.data[1:_PREFIX])
    if answer.data[:1] != b"\0" or len(answer.data) != _PREFIX + size:
        raise CallFailed(f"{path} answered without one whole message")
    return bytes(answer.data[_PREFIX:])

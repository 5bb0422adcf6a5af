"""One unary gRPC call over a unix socket: HTTP/2 (RFC 9113) as far as that needs it.

A library would bring megabytes of C++ for this. Each call has its own connection, one deadline, and
a bound on what is read.
"""

from __future__ import annotations

import re
import socket
import struct
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from runc_wrap.node.engines.cri import header_compression

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS, _RST_STREAM, _SETTINGS, _PING = 0, 1, 3, 4, 6
_GOAWAY, _WINDOW_UPDATE, _CONTINUATION = 7, 8, 9
_END_STREAM, _ACK, _END_HEADERS, _PADDED, _PRIORITY = 0x1, 0x1, 0x4, 0x8, 0x20
_STREAM = 1
_LARGEST = 16 << 20  # bytes of one answer, frames included
_LARGEST_FRAME = 1 << 14  # SETTINGS_MAX_FRAME_SIZE, which we leave as it is
# SETTINGS_HEADER_TABLE_SIZE, _ENABLE_PUSH, _INITIAL_WINDOW_SIZE
_OURS = struct.pack(">HIHIHI", 1, 0, 2, 0, 4, _LARGEST)


class CallFailed(Exception):
    """The server refused, ended or did not answer in time; `code` is gRPC's, None without one."""

    def __init__(self, message: str, code: int | None = None) -> None:
        super().__init__(message)
        self.code = code


@dataclass
class _Answer:
    data: bytearray = field(default_factory=bytearray)
    block: bytearray = field(default_factory=bytearray)
    fields: dict[str, str] = field(default_factory=dict)
    is_over: bool = False


def call(path: Path, method: str, request: bytes, seconds: float) -> bytes:
    """Call `/package.Service/Method` with an encoded message; return the encoded answer.

    Raises CallFailed.
    """
    deadline = time.monotonic() + seconds
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC) as connection:
            connection.settimeout(seconds)
            connection.connect(str(path))
            connection.sendall(_request(method, request))
            answer = _received(connection, deadline)
    except TimeoutError:
        raise CallFailed(f"{path} did not answer {method} within {seconds:g} s") from None
    except (OSError, ValueError, struct.error) as error:
        raise CallFailed(f"{path}: {error}") from None
    return _message(answer, path)


def _request(method: str, request: bytes) -> bytes:
    fields = [
        (":method", "POST"), (":scheme", "http"), (":path", method), (":authority", "localhost"),
        ("te", "trailers"), ("content-type", "application/grpc"),
    ]  # fmt: skip
    message = struct.pack(">BI", 0, len(request)) + request
    if len(message) > _LARGEST_FRAME:
        raise ValueError(f"a request of {len(request)} bytes")
    return (
        _PREFACE
        + _frame(_SETTINGS, 0, 0, _OURS)
        + _frame(_WINDOW_UPDATE, 0, 0, struct.pack(">I", _LARGEST))
        + _frame(_HEADERS, _END_HEADERS, _STREAM, header_compression.encode(fields))
        + _frame(_DATA, _END_STREAM, _STREAM, message)
    )


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def _received(connection: socket.socket, deadline: float) -> _Answer:
    answer = _Answer()
    for kind, flags, stream, payload in _frames(connection, deadline):
        if kind == _SETTINGS and not flags & _ACK:
            connection.sendall(_frame(_SETTINGS, _ACK, 0, b""))
        elif kind == _PING and not flags & _ACK:
            connection.sendall(_frame(_PING, _ACK, 0, payload))
        elif (kind == _RST_STREAM and stream == _STREAM) or kind == _GOAWAY:
            raise ConnectionResetError("the server ended the call")
        elif stream == _STREAM:
            _take(answer, kind, flags, payload)
        if answer.is_over:
            return answer
    raise ConnectionResetError("the server closed the connection")


def _take(answer: _Answer, kind: int, flags: int, payload: bytes) -> None:
    if kind in (_DATA, _HEADERS) and flags & _PADDED:
        payload = payload[1 : len(payload) - payload[0]]
    if kind == _DATA:
        answer.data += payload
    elif kind in (_HEADERS, _CONTINUATION):
        answer.block += payload[5:] if kind == _HEADERS and flags & _PRIORITY else payload
        if flags & _END_HEADERS:
            answer.fields |= header_compression.decode(bytes(answer.block))
            answer.block.clear()
    if kind in (_DATA, _HEADERS) and flags & _END_STREAM:
        answer.is_over = True


def _frames(connection: socket.socket, deadline: float) -> Iterator[tuple[int, int, int, bytes]]:
    left = _LARGEST
    while left > 0:
        head = _exactly(connection, 9, deadline)
        size = int.from_bytes(head[:3])
        if size > _LARGEST_FRAME:
            raise ValueError(f"a frame of {size} bytes")
        kind, flags, stream = struct.unpack(">BBI", head[3:])
        yield kind, flags, stream & 0x7FFFFFFF, _exactly(connection, size, deadline)
        left -= 9 + size
    raise ValueError(f"an answer of more than {_LARGEST} bytes")


def _exactly(connection: socket.socket, size: int, deadline: float) -> bytes:
    parts = bytearray()
    while len(parts) < size:
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        connection.settimeout(left)
        part = connection.recv(size - len(parts))
        if not part:
            raise ConnectionResetError("the server closed the connection")
        parts += part
    return bytes(parts)


def _message(answer: _Answer, path: Path) -> bytes:
    status = answer.fields.get("grpc-status", "")
    if status != "0":
        why = _decoded(answer.fields.get("grpc-message", "")) or f"gRPC status {status or 'none'}"
        raise CallFailed(why[:1000], int(status) if status.isdecimal() else None)
    if len(answer.data) < 5 or answer.data[0]:  # noqa: PLR2004  # a flag and 4 bytes of length
        raise CallFailed(f"{path} answered without a message")
    return bytes(answer.data[5 : 5 + int.from_bytes(answer.data[1:5])])


def _decoded(text: str) -> str:
    """Return a text with its percent-encoded bytes decoded."""
    raw = re.sub(rb"%([0-9A-Fa-f]{2})", lambda one: bytes.fromhex(one[1].decode()), text.encode())
    return raw.decode(errors="replace")

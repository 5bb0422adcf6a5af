"""A command in a pod, by the API's exec over a WebSocket (RFC 6455, v5.channel.k8s.io).

Spoken at the socket of our own `kubectl proxy`, which has the caller's credentials. A message's
first byte is its channel: 0 stdin, 1 stdout, 2 stderr, 3 the status at the end. What comes is other
people's: its size, its time and its frames are bounded.
"""

from __future__ import annotations

import base64
import contextlib
import os
import secrets
import socket
import time
from dataclasses import dataclass, field
from hashlib import sha1
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote, urlencode

from runc_wrap import text
from runc_wrap.fleet.kubectl import KubectlError
from runc_wrap.hotpath import json_codec

if TYPE_CHECKING:
    import threading
    from collections.abc import Sequence
    from pathlib import Path

_PROTOCOLS = ("v5.channel.k8s.io", "v4.channel.k8s.io")
_MAGIC = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455
_LARGEST_HEAD = 1 << 14
_LARGEST_FRAME = 1 << 20  # bytes; the API server's have 32 KiB
_LARGEST_SAID = 1 << 16  # of stderr, and of the status
_CHUNK = 1 << 16
_SENT = 1 << 14  # bytes of stdin in one message
_PAUSE = 0.2  # seconds between looks at the clock
_CONTINUED, _TEXT, _BINARY, _CLOSE, _PING, _PONG = 0, 1, 2, 8, 9, 10
_STDIN, _STDOUT, _STDERR, _STATUS = range(4)


class Printed(NamedTuple):
    """What a command printed, its stderr, and the status, a JSON object of the API."""

    stdout: bytes
    stderr: bytes
    status: bytes

    @property
    def complaint(self) -> bytes:
        """What it said on stderr, or what the API says of its end."""
        try:
            status = json_codec.loads(self.status)
        except json_codec.Unreadable:
            status = None
        told = status.get("message") if isinstance(status, dict) else None
        return self.stderr or str(told or "").encode()


@dataclass
class _Stream:
    """A connection with what was read of it and not used yet. All raise KubectlError."""

    connection: socket.socket
    seconds: float
    given_up: threading.Event
    held: bytearray = field(default_factory=bytearray)

    def __post_init__(self) -> None:
        self._until = time.monotonic() + self.seconds
        self.connection.settimeout(_PAUSE)

    def more(self) -> None:
        """Read some more. Raises KubectlError at the end, too."""
        while True:
            self._look()
            try:
                chunk = self.connection.recv(_CHUNK)
            except TimeoutError:
                continue
            if not chunk:
                raise KubectlError("its answer was cut off")
            self.held += chunk
            return

    def take(self, size: int) -> bytes:
        """Return so many bytes."""
        while len(self.held) < size:
            self.more()
        found = bytes(self.held[:size])
        del self.held[:size]
        return found

    def head(self) -> bytes:
        """Return the head of an HTTP answer."""
        while (end := self.held.find(b"\r\n\r\n")) < 0:
            if len(self.held) > _LARGEST_HEAD:
                raise KubectlError("the API server's answer has no end of its head")
            self.more()
        return self.take(end + 4)

    def send(self, data: bytes) -> None:
        """Send all of it."""
        rest = memoryview(data)
        while rest:
            self._look()
            with contextlib.suppress(TimeoutError):
                rest = rest[self.connection.send(rest) :]

    def _look(self) -> None:
        """Raise KubectlError if nobody waits for it any more."""
        if self.given_up.is_set():
            raise KubectlError("it was interrupted")
        if time.monotonic() > self._until:
            raise KubectlError(f"it did not answer within {self.seconds:g} s")


def run(  # noqa: PLR0913 - each is its own
    at: Path,
    target: tuple[str, str, str],
    command: Sequence[str],
    given: bytes,
    *,
    seconds: float,
    largest: int,
    given_up: threading.Event,
) -> Printed:
    """Run a command in `target`: a namespace, a pod, its container; `given` is stdin, one line.

    Raises KubectlError if that cannot be, takes longer, or prints more than `largest` bytes.
    """
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(seconds)
            connection.connect(str(at))
            stream = _Stream(connection, seconds, given_up)
            _upgrade(stream, _path(target, command, has_stdin=bool(given)))
            for begin in range(0, len(given), _SENT):
                stream.send(_frame(_BINARY, bytes([_STDIN]) + given[begin : begin + _SENT]))
            return _output(stream, largest)
    except OSError as error:
        raise KubectlError(f"the connection failed: {error.strerror or error}") from None


def _path(target: tuple[str, str, str], command: Sequence[str], *, has_stdin: bool) -> str:
    namespace, pod = (quote(one, safe="") for one in target[:2])
    flags = [("stdout", "true"), ("stderr", "true"), *([("stdin", "true")] if has_stdin else [])]
    container = ("container", target[2])
    query = urlencode([container, *[("command", one) for one in command], *flags])
    return f"/api/v1/namespaces/{namespace}/pods/{pod}/exec?{query}"


def _upgrade(stream: _Stream, path: str) -> None:
    """Make a WebSocket of the connection."""
    key = base64.b64encode(os.urandom(16))
    lines = (
        f"GET {path} HTTP/1.1",
        "Host: localhost",
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        f"Sec-WebSocket-Key: {key.decode()}",
        f"Sec-WebSocket-Protocol: {', '.join(_PROTOCOLS)}",
    )
    stream.send("\r\n".join([*lines, "", ""]).encode())
    first, *rest = stream.head().decode("latin-1").split("\r\n")
    headers = {
        name.lower(): value.strip() for name, _, value in (one.partition(":") for one in rest)
    }
    if first.split(" ")[1:2] != ["101"]:
        raise KubectlError(f"the API server does not let exec: {text.name(first)}")
    accepted = base64.b64encode(sha1(key + _MAGIC).digest()).decode()  # noqa: S324 - RFC 6455
    if headers.get("sec-websocket-accept") != accepted:
        raise KubectlError("the API server did not accept the WebSocket")
    if headers.get("sec-websocket-protocol") not in _PROTOCOLS:
        raise KubectlError("the API server speaks another protocol of exec")


def _output(stream: _Stream, largest: int) -> Printed:
    """Read to the end, the status."""
    found = {_STDOUT: bytearray(), _STDERR: bytearray(), _STATUS: bytearray()}
    channel: int | None = None  # of the message whose frames come
    while True:
        opcode, is_last, data = _next(stream)
        if opcode == _CLOSE:
            break
        if opcode == _PING:
            stream.send(_frame(_PONG, data))
        elif opcode in (_TEXT, _BINARY, _CONTINUED):
            if (opcode == _CONTINUED) != (channel is not None):
                raise KubectlError("its frames are in no order")
            if channel is None:
                channel, data = (data[0] if data else -1), data[1:]
            _keep(found.get(channel), data, channel, largest)
            channel = None if is_last else channel
    if not found[_STATUS]:
        raise KubectlError("its answer was cut off")
    return Printed(*map(bytes, found.values()))


def _keep(into: bytearray | None, data: bytes, channel: int, largest: int) -> None:
    """Add what came on a channel; what comes on others is nothing to us."""
    if into is None:
        return
    if channel == _STDOUT:
        into += data
        if len(into) > largest:
            raise KubectlError(f"it answered with more than {largest >> 20} MiB")
    else:
        into += data[: max(_LARGEST_SAID - len(into), 0)]


def _next(stream: _Stream) -> tuple[int, bool, bytes]:
    """Return the next frame: its opcode, whether it ends its message, and its data."""
    first, second = stream.take(2)
    size = second & 0x7F
    if size > 125:  # noqa: PLR2004 - RFC 6455: the length follows, in 2 or 8 bytes
        size = int.from_bytes(stream.take(2 if size == 126 else 8))  # noqa: PLR2004
    opcode, is_last = first & 0x0F, bool(first & 0x80)
    if (
        first & 0x70
        or second & 0x80
        or opcode not in (_CONTINUED, _TEXT, _BINARY, _CLOSE, _PING, _PONG)
    ):
        raise KubectlError("it sent a frame that none may send")
    if size > _LARGEST_FRAME or (opcode >= _CLOSE and (size > 125 or not is_last)):  # noqa: PLR2004
        raise KubectlError(f"it sent a frame of {size} bytes")
    return opcode, is_last, stream.take(size)


def _frame(opcode: int, data: bytes) -> bytes:
    """Return a frame as a client sends it: masked."""
    size = len(data)
    length = bytes([0x80 | size]) if size < 126 else b"\xfe" + size.to_bytes(2)  # noqa: PLR2004
    mask = secrets.token_bytes(4)
    pad = (mask * (size // 4 + 1))[:size]
    masked = (int.from_bytes(data) ^ int.from_bytes(pad)).to_bytes(size)
    return bytes([0x80 | opcode]) + length + mask + masked

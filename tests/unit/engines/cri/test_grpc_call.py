"""gRPC calls to real servers of HTTP/2: those that answer, and those that mean harm."""

import struct
import time
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runc_wrap.engines.cri import grpc_call
from runc_wrap.engines.handler import CallFailed
from tests.unit.engines.cri.http2_server import HEAD, STREAM, Peer, framed, served

PATIENCE = 60.0  # seconds that no call here needs
DATA, HEADERS, PUSH_PROMISE, WINDOW_UPDATE, CONTINUATION = 0, 1, 5, 8, 9
END_HEADERS = 4


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def answers(*parts: bytes, trailers: tuple[tuple[str, str], ...] = (("grpc-status", "0"),)) -> Any:
    def behave(peer: Peer) -> None:
        peer.head(*HEAD)
        for part in parts:
            peer.data(part)
        peer.head(*trailers, ends=True)

    return behave


def says(*fields: tuple[str, str]) -> Any:
    """Answer by headers alone."""
    return lambda peer: peer.head(*fields, ends=True)


@pytest.mark.parametrize("size", [0, 1, 300, 1 << 20])
def test_an_answer_is_returned_whole(size: int) -> None:
    message = bytes(size)
    with served(answers(framed(message))) as path:
        assert grpc_call.call(path, "/x/Y", b"", PATIENCE) == message


def goes_away(peer: Peer) -> None:
    peer.head(*HEAD)
    peer.http.close_connection(11)
    peer.send()


def resets(peer: Peer) -> None:
    peer.http.reset_stream(STREAM, 2)
    peer.send()


def headers_without_end(peer: Peer) -> None:
    peer.raw.sendall(frame(HEADERS, 0, STREAM, b""))
    while True:
        peer.raw.sendall(frame(CONTINUATION, 0, STREAM, bytes(1 << 14)))


def headers_that_swell(peer: Peer) -> None:
    """A field of 4000 bytes enters the table, and each byte after that means it again."""
    block = b"\x40\x01a\x7f\xa1\x1e" + b"b" * 4000 + b"\xbe" * 10000
    peer.raw.sendall(frame(HEADERS, END_HEADERS, STREAM, block))


def windows_that_overflow(peer: Peer) -> None:
    for _ in range(2):
        peer.raw.sendall(frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", (1 << 31) - 1)))


def more_than_the_window(peer: Peer) -> None:
    peer.head(*HEAD)
    while True:
        peer.raw.sendall(frame(DATA, 0, STREAM, bytes(1 << 14)))


def pushes(peer: Peer) -> None:
    promised = struct.pack(">I", 2) + peer.http.encoder.encode([(":path", "/x")])
    peer.raw.sendall(frame(PUSH_PROMISE, END_HEADERS, STREAM, promised))


def data_without_end(peer: Peer) -> None:
    peer.head(*HEAD)
    while True:
        peer.data(bytes(1 << 20))


def interim_answers_without_end(peer: Peer) -> None:
    block = b"\x08\x03100" + b"\x00\x01x\x7f\x91\x4d" + b"y" * 10000  # uncompressed
    while True:
        peer.raw.sendall(frame(HEADERS, END_HEADERS, STREAM, block))


GRPC = "application/grpc"


WRONG = [
    (says(*HEAD, ("grpc-status", "5"), ("grpc-message", "no %e2%82%ac")), "^no €$", 5),
    (says(*HEAD, ("grpc-status", "13")), "^gRPC status 13$", 13),
    (says(*HEAD, ("grpc-status", "9" * 5000)), "^gRPC status 9+$", None),
    (says(*HEAD, ("grpc-status", "-1")), "^gRPC status -1$", None),
    (says(*HEAD), "^gRPC status none$", None),
    (says((":status", "200"), ("content-type", "text/html")), "HTTP .*'text/html'", None),
    (says((":status", "200"), ("grpc-status", "0")), "HTTP status 200, content type ''", None),
    (says((":status", "503"), ("content-type", GRPC)), "HTTP status 503", None),
    (answers(trailers=(("grpc-status", "2"), ("grpc-message", "w" * 5000))), "^w{1000}$", 2),
    (answers(), "without one whole message", None),
    (answers(framed(b"ab")[:-1]), "without one whole message", None),
    (answers(framed(b"ab"), framed(b"c")), "without one whole message", None),
    (answers(b"\1" + framed(b"ab")[1:]), "without one whole message", None),
    (lambda _: None, "closed the connection", None),
    (goes_away, "ended the call, with HTTP/2's error 11$", None),
    (resets, "ended the call, with HTTP/2's error 2$", None),
    (headers_without_end, "Too many continuation frames", None),
    (headers_that_swell, "header", None),
    (windows_that_overflow, "window", None),
    (more_than_the_window, "flow control|Flow control|window", None),
    (pushes, "push", None),
    (data_without_end, "an answer of more than 16777216 bytes", None),
    (interim_answers_without_end, "an answer of more than 16777216 bytes", None),
]


@pytest.mark.parametrize(("behave", "told", "code"), WRONG)
def test_what_a_server_does_wrong_fails_the_call(behave: Any, told: str, code: int | None) -> None:
    with served(behave) as path, pytest.raises(CallFailed, match=told) as failed:
        grpc_call.call(path, "/x/Y", b"", PATIENCE)
    assert failed.value.code == code


def is_silent(peer: Peer) -> None:
    while True:
        peer.receive()


def trickles(peer: Peer) -> None:
    while True:
        peer.http.ping(b"12345678")
        peer.send()
        peer.receive()


def does_not_read(peer: Peer) -> None:
    """The answers to its questions fill the socket, where the client would wait for ever."""
    while True:
        peer.http.ping(b"12345678")
        peer.send()


def trickles_data(peer: Peer) -> None:
    peer.head(*HEAD)
    while True:
        peer.data(b"x")
        time.sleep(0.01)


@pytest.mark.parametrize("behave", [is_silent, trickles, does_not_read, trickles_data])
def test_a_server_that_never_ends_is_given_up(behave: Callable[[Peer], None]) -> None:
    begun = time.monotonic()
    is_late = pytest.raises(CallFailed, match=r"did not answer /x/Y within 0\.5 s")
    with served(behave) as path, is_late:
        grpc_call.call(path, "/x/Y", b"", 0.5)
    assert time.monotonic() - begun < PATIENCE


_BYTES = (st.integers(0, 11), st.integers(0, 255), st.integers(0, 3))
FRAMES = st.builds(frame, *_BYTES, st.binary(max_size=40))


@given(st.lists(FRAMES, max_size=6).map(b"".join) | st.binary(max_size=100))
def test_a_server_that_speaks_something_else_is_a_failed_call(sent: bytes) -> None:
    with served(lambda peer: peer.raw.sendall(sent)) as path, pytest.raises(CallFailed):
        grpc_call.call(path, "/x/Y", b"", PATIENCE)

"""Exec over a WebSocket with a server that may be hostile: bounded, and whole or nothing."""

from __future__ import annotations

import base64
import hashlib
import socket
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from runc_wrap.fleet import exec_stream
from runc_wrap.fleet.kubectl import KubectlError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from runc_wrap.fleet.exec_stream import Printed

MAGIC = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
DONE = b'{"metadata":{},"status":"Success"}'
LARGEST = 3 << 20
UPGRADED = (
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: {accept}\r\n"
    "Sec-WebSocket-Protocol: v5.channel.k8s.io\r\n\r\n"
)


def _frame(data: bytes, first: int = 0x82) -> bytes:
    size = len(data)
    if size < 126:
        return bytes([first, size]) + data
    if size < 1 << 16:
        return bytes([first, 126]) + size.to_bytes(2) + data
    return bytes([first, 127]) + size.to_bytes(8) + data


END = _frame(b"\x03" + DONE) + _frame(b"\x03\xe8", 0x88)


class Served:
    """What a server was sent."""

    def __init__(self) -> None:
        self.head = self.rest = b""


@contextmanager
def _serving(
    at: Path,
    answer: bytes,
    head: str = UPGRADED,
    *,
    stays: bool = False,
    is_deaf: bool = False,
    pause: float = 0,
) -> Iterator[Served]:
    """Answer one connection, then close it, or wait for the client to.

    After the answer nothing is read for `pause` seconds, by a deaf one until the body has ended.
    """
    found, ended = Served(), threading.Event()
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(at))
    listening.listen()

    def serve() -> None:
        connection, _ = listening.accept()
        with connection:
            while b"\r\n\r\n" not in found.head:
                found.head += connection.recv(1 << 16)
            found.head, _, found.rest = found.head.partition(b"\r\n\r\n")
            lines = found.head.split(b"\r\n")
            key = next(line.split()[1] for line in lines if b"WebSocket-Key" in line)
            accept = base64.b64encode(hashlib.sha1(key + MAGIC).digest()).decode()  # noqa: S324
            try:
                connection.sendall(head.replace("{accept}", accept).encode() + answer)
                ended.wait(None if is_deaf else pause)
                if not stays:
                    connection.shutdown(socket.SHUT_WR)
                while chunk := connection.recv(1 << 16):
                    found.rest += chunk
            except OSError:
                return  # the client went away

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield found
    finally:
        ended.set()
        thread.join()
        listening.close()


def _run(
    at: Path, given: bytes = b"", *, seconds: float = 60, given_up: threading.Event | None = None
) -> Printed:
    return exec_stream.run(
        at, ("ours", "pod-a", "c"), ["a b", "&c"], given, seconds=seconds, largest=LARGEST,
        given_up=given_up or threading.Event(),
    )  # fmt: skip


def test_channels_are_told_apart_and_pings_answered(tmp_path: Path) -> None:
    long = b"x" * 70_000
    answer = (
        _frame(b"\x01a") + _frame(b"\x02oh") + _frame(b"hi", 0x89) + _frame(b"\x01" + long)
        + _frame(b"") + _frame(b"\x09?") + _frame(b"", 0x8A) + END
    )  # fmt: skip
    with _serving(tmp_path / "s", answer) as served:
        found = _run(tmp_path / "s")
    assert found == (b"a" + long, b"oh", DONE)
    assert served.head.split(b"\r\n")[0] == (
        b"GET /api/v1/namespaces/ours/pods/pod-a/exec"
        b"?container=c&command=a+b&command=%26c&stdout=true&stderr=true HTTP/1.1"
    )
    assert _unmasked(served.rest) == [(0x8A, b"hi")]


def _unmasked(sent: bytes) -> list[tuple[int, bytes]]:
    found = []
    while sent:
        first, size, begin = sent[0], sent[1] & 0x7F, 2
        assert sent[1] & 0x80
        if size == 126:
            size, begin = int.from_bytes(sent[2:4]), 4
        mask, data = sent[begin : begin + 4], sent[begin + 4 : begin + 4 + size]
        found.append((first, bytes(one ^ mask[at % 4] for at, one in enumerate(data))))
        sent = sent[begin + 4 + size :]
    return found


def test_a_message_in_several_frames_is_one_of_its_channel(tmp_path: Path) -> None:
    answer = _frame(b"\x01a", 0x02) + _frame(b"\x02b", 0x00) + _frame(b"", 0x89)
    with _serving(tmp_path / "s", answer + _frame(b"c", 0x80) + END):
        assert _run(tmp_path / "s").stdout == b"a\x02bc"


def test_stdin_is_sent_whole_and_masked(tmp_path: Path) -> None:
    given = bytes(range(256)) * 300
    with _serving(tmp_path / "s", END) as served:
        _run(tmp_path / "s", given)
    assert b"stdin=true" in served.head
    messages = _unmasked(served.rest)
    assert {first for first, _ in messages} == {0x82}
    assert {data[:1] for _, data in messages} == {b"\x00"}
    assert b"".join(data[1:] for _, data in messages) == given
    assert given[:100] not in served.rest


FAILURE = b'\x03{"status":"Failure","message":"no such container"}'


def test_what_failed_is_said_by_the_status_unless_the_command_says_more(tmp_path: Path) -> None:
    with _serving(tmp_path / "a", _frame(FAILURE) + _frame(b"", 0x88)):
        assert _run(tmp_path / "a").complaint == b"no such container"
    with _serving(tmp_path / "b", _frame(b"\x02oh") + _frame(FAILURE) + _frame(b"", 0x88)):
        assert _run(tmp_path / "b").complaint == b"oh"
    for at, status in (("c", b"[]"), ("d", b"\xff"), ("e", b'{"message": null}')):
        with _serving(tmp_path / at, _frame(b"\x03" + status) + _frame(b"", 0x88)):
            assert _run(tmp_path / at).complaint == b""


HUGE = b"\x82\x7f\x7f" + b"\xff" * 7
BAD: dict[str, tuple[bytes, str]] = {
    "cut off": (_frame(b"\x01a"), "cut off"),
    "cut off within a frame": (_frame(b"\x01" + b"a" * 99)[:50], "cut off"),
    "closed without a status": (_frame(b"\x01a") + _frame(b"", 0x88), "cut off"),
    "masked": (b"\x82\x81maska", "a frame that none may send"),
    "reserved bits": (_frame(b"\x01a", 0xC2), "a frame that none may send"),
    "an unknown opcode": (_frame(b"\x01a", 0x83), "a frame that none may send"),
    "a frame of 2^63 bytes": (HUGE, "a frame of 9223372036854775807 bytes"),
    "a large ping": (_frame(b"x" * 200, 0x89), "a frame of 200 bytes"),
    "half a ping": (_frame(b"x", 0x09), "a frame of 1 bytes"),
    "a continuation of nothing": (_frame(b"a", 0x80), "in no order"),
    "a message within another": (_frame(b"\x01a", 0x02) + _frame(b"\x01a"), "in no order"),
    "too much": (_frame(b"\x01" + b"a" * ((1 << 20) - 1)) * 4, "more than 3 MiB"),
}
HEADS: dict[str, tuple[str, str]] = {
    "forbidden": ("HTTP/1.1 403 \x1b[31mNo\r\n\r\n", "does not let exec: HTTP/1.1 403"),
    "another key": (UPGRADED.replace("{accept}", "x"), "did not accept"),
    "another protocol": (UPGRADED.replace("v5", "v9"), "another protocol"),
    "no HTTP": ("\r\n\r\n", "does not let exec"),
    "without an end": ("HTTP/1.1 101 x\r\n" + "x" * (1 << 17), "no end of its head"),
    "closed": ("", "cut off"),
}


@pytest.mark.parametrize("kind", BAD)
def test_what_is_no_answer_is_refused(tmp_path: Path, kind: str) -> None:
    answer, why = BAD[kind]
    with _serving(tmp_path / "s", answer), pytest.raises(KubectlError, match=why):
        _run(tmp_path / "s")


@pytest.mark.parametrize("kind", HEADS)
def test_what_does_not_become_a_websocket_is_refused(tmp_path: Path, kind: str) -> None:
    head, why = HEADS[kind]
    with _serving(tmp_path / "s", b"", head), pytest.raises(KubectlError, match=why) as told:
        _run(tmp_path / "s")
    assert str(told.value).isprintable()


def test_stderr_without_an_end_is_kept_in_part(tmp_path: Path) -> None:
    with _serving(tmp_path / "s", _frame(b"\x02" + b"e" * 60_000) * 40 + END):
        assert len(_run(tmp_path / "s").stderr) == 1 << 16


def test_who_says_nothing_is_not_waited_for_for_ever(tmp_path: Path) -> None:
    with (
        _serving(tmp_path / "s", _frame(b"\x01a"), stays=True),
        pytest.raises(KubectlError, match=r"did not answer within 0\.5 s"),
    ):
        _run(tmp_path / "s", seconds=0.5)
    given_up = threading.Event()
    threading.Timer(0.3, given_up.set).start()
    before = time.monotonic()
    with (
        _serving(tmp_path / "t", _frame(b"\x01a"), stays=True),
        pytest.raises(KubectlError, match="interrupted"),
    ):
        _run(tmp_path / "t", seconds=3600, given_up=given_up)
    assert time.monotonic() - before < 600
    with pytest.raises(KubectlError, match="the connection failed: No such file"):
        _run(tmp_path / "none")


def test_who_does_not_read_stdin_is_not_waited_for_for_ever(tmp_path: Path) -> None:
    given = b"x" * (4 << 20)  # more than a socket holds
    with (
        _serving(tmp_path / "s", b"", is_deaf=True),
        pytest.raises(KubectlError, match=r"did not answer within 0\.5 s"),
    ):
        _run(tmp_path / "s", given, seconds=0.5)


def test_an_interruption_is_heard_while_stdin_is_sent(tmp_path: Path) -> None:
    given_up = threading.Event()
    threading.Timer(0.3, given_up.set).start()
    with (
        _serving(tmp_path / "s", b"", is_deaf=True),
        pytest.raises(KubectlError, match="interrupted"),
    ):
        _run(tmp_path / "s", b"x" * (4 << 20), seconds=600, given_up=given_up)


def test_stdin_reaches_who_reads_it_slowly_whole(tmp_path: Path) -> None:
    given = bytes(range(256)) * (1 << 12)
    with _serving(tmp_path / "s", END, pause=0.5) as served:
        _run(tmp_path / "s", given)
    assert b"".join(data[1:] for _, data in _unmasked(served.rest)) == given

"""The decide server's connections, and the packets of the protocol."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING, Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.node.agent import request
from runc_wrap.agent.decide import wire
from runc_wrap.agent.decide.decision_server import Connection, Server

if TYPE_CHECKING:
    from pathlib import Path

    from runc_wrap.agent.systemd_protocol import Watchdog


class Answering:
    """Makes a file for each request."""

    def __init__(self, made: Path) -> None:
        self.made = made

    def is_current(self) -> bool:
        return True

    def answer(self, *_: object) -> tuple[bytes, str]:
        self.made.touch()
        return b"an answer", str(self.made)


@pytest.mark.parametrize("moment", ["before the answer", "after it", "never"])
def test_a_file_that_no_launcher_took_is_removed(tmp_path: Path, moment: str) -> None:
    made = tmp_path / "made"
    launcher, ours = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with launcher, ours, listening:
        server = Server(cast("Any", Answering(made)), listening.fileno(), cast("Watchdog", None))
        connection = server.connections[ours.fileno()] = Connection(ours.fileno(), 1, ours)
        launcher.send(b"a request")
        if moment == "before the answer":
            launcher.close()
        server._read(connection)  # noqa: SLF001 - one turn, without the peer's uid
        if moment != "before the answer":
            assert made.exists(), "it may still be taken"
        if moment == "after it":
            launcher.close()
            server._read(connection)  # noqa: SLF001 - as above
        if moment == "never":
            connection.until = 0.0
            server._give_up_late_ones()  # noqa: SLF001 - as above
        assert not made.exists()
        assert server.connections == {}
        server.listening.close()
        server.poll.close()


_words = st.lists(st.binary(max_size=9).map(lambda raw: raw.replace(b"\0", b"x")), max_size=6)


@given(_words, st.sampled_from(wire.KINDS))
def test_a_request_preserves_its_words(raw: list[bytes], kind: str) -> None:
    packet = request(kind, *map(os.fsdecode, raw), called_as="/x/\udcff")
    found = wire.parsed(packet)
    assert found
    assert (found.kind, found.called_as) == (kind, "/x/\udcff")
    assert [word.encode("utf-8", "surrogateescape") for word in found.words] == raw


@given(st.binary(max_size=60) | _words.map(b"\0".join).map(b"runc-wrap/1\0".__add__))
def test_invalid_bytes_are_not_a_request(packet: bytes) -> None:
    fields = packet.split(b"\0")
    is_one = len(fields) > 4 and fields[1] in (b"runc", b"crun")
    assert wire.parsed(packet) is None or is_one


@pytest.mark.parametrize(
    "packet",
    [
        b"",
        b"\0",
        request("runc", "create")[:-1],
        request("youki", "create"),
        request("runc").replace(b"/1", b"/2", 1),
        request("crun", "create", entry="/usr/bin/crun"),
        b"runc-wrap/1\0runc\0/usr/bin/runc\0",
        request("runc", "x" * wire.LARGEST),
    ],
)
def test_malformed_requests_are_rejected(packet: bytes) -> None:
    assert wire.parsed(packet) is None
    assert wire.parsed(request("runc", "create"))


@pytest.mark.parametrize("value", ["", "/run/user/0", "a=b", "\udcff"])
def test_a_request_says_where_the_runtime_may_keep_its_state(value: str) -> None:
    found = wire.parsed(request("crun", "create", entry=f"XDG_RUNTIME_DIR={value}"))
    assert found
    assert found.run_directory == value


def test_answers_are_nul_terminated_fields() -> None:
    assert wire.COLD == b"runc-wrap/1\0cold\0"
    assert wire.packet("go", "/b\udcff", 7, 8) == b"runc-wrap/1\0go\0/b\xff\x007\x008\0"
    wanted = b"runc-wrap/1\0rename\0/b\x007\x008\0/t\0/r\x009\0"
    assert wire.packet("rename", "/b", 7, 8, "/t", "/r", 9) == wanted

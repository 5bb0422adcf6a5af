"""A launcher that does not take the file made for it leaves none beside its config."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any, cast

import pytest

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

"""A runtime's message with a seccomp listener: ContainerProcessState of the OCI runtime-spec.

runc and crun connect and send one JSON object with the listener beside it; the connection may stay
open until the runtime ends. Only root may. Once a listener has come it is kept whatever else is
wrong: without one the container's calls fail.
"""

from __future__ import annotations

import array
import os
import socket
import struct

from runc_wrap.agent.observe.argument_rules import METADATA, checked
from runc_wrap.hotpath import json_codec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from runc_wrap.agent.observe.argument_rules import Groups

    Json = dict[str, Any]

LARGEST = 4 << 20  # bytes: the state carries the container's annotations
SECONDS = 10.0  # for a message to be whole
_CHUNK = 64 << 10
_MOST_FDS = 8
_CREDENTIALS = struct.Struct("=iii")
_LONGEST = 4096  # characters of an id or a path that are kept


class Arrival:
    """One connection: `fds` are what came with it, `until` when it is given up.

    `number` is the connection's and its listener's; `is_kept` says that the keeper has the latter.
    """

    def __init__(self, connection: socket.socket, until: float, number: int = 0) -> None:
        self.connection = connection
        self.until = until
        self.fds: list[int] = []
        self.number = number
        self.is_kept = False
        self.is_whole = False
        self._told: Json | None = None
        self._text = bytearray()
        self._heard = 0

    def hear(self) -> None:
        """Take in what there is; `is_whole` afterwards says that nothing more will come.

        It stays in the connection until this is called again, as the keeper has a copy of that:
        were this process killed, its successor would hear it anew. By then a listener is kept.
        """
        try:
            while self._heard:
                self._heard -= len(self.connection.recv(self._heard))
            data, fds = self._receive()
        except BlockingIOError:
            return
        except OSError:
            data, fds = b"", []
        self.fds += fds
        self._text += data
        self._heard = len(data)
        if self.fds and self._text[-2:].rstrip().endswith(b"}"):
            self._told = _object(self._text)
        self.is_whole = not data or len(self._text) > LARGEST or self._told is not None

    def _receive(self) -> tuple[bytes, list[int]]:
        room = socket.CMSG_SPACE(_MOST_FDS * 4)
        flags = socket.MSG_CMSG_CLOEXEC | socket.MSG_PEEK
        data, ancillary, _, _ = self.connection.recvmsg(_CHUNK, room, flags)
        fds = array.array("i")
        for level, kind, value in ancillary:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                fds.frombytes(value[: len(value) - len(value) % fds.itemsize])
        return data, list(fds)

    @property
    def listener(self) -> int | None:
        """Return the listener that came, None if there is none."""
        return self.fds[0] if self.fds else None

    def end(self) -> None:
        """Close the connection, and what came that is no listener."""
        for fd in self.fds[1:]:
            os.close(fd)
        self.connection.close()

    def state(self) -> Json:
        """Return {id, bundle, pid, metadata} as far as they were told."""
        told = self._told or {}
        state = told.get("state")
        state = state if isinstance(state, dict) else {}
        words = {"id": state.get("id"), "bundle": state.get("bundle")}
        words = {name: word[:_LONGEST] for name, word in words.items() if isinstance(word, str)}
        metadata = told.get("metadata")
        pid = told.get("pid")
        return {
            "id": words.get("id", ""),
            "bundle": words.get("bundle", ""),
            "pid": pid if type(pid) is int else 0,
            "metadata": metadata if isinstance(metadata, str) else "",
        }


def _object(text: bytearray) -> Json | None:
    try:
        found = json_codec.loads(bytes(text))
    except json_codec.Unreadable:
        return None
    return found if isinstance(found, dict) else {}


def given(by: socket.socket) -> tuple[int, int] | None:
    """Return the number and the descriptor of a connection that the keeper gives, None if none."""
    try:
        said, fds, _, _ = socket.recv_fds(by, 32, 1, socket.MSG_CMSG_CLOEXEC)
    except OSError:
        return None
    return (int(said), fds[0]) if said and fds else None


def begun(number: int, fd: int, until: float) -> Arrival | None:
    """Return the connection as an arrival, None (and closed) if it is not root's."""
    connection = socket.socket(fileno=fd)
    raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    if _CREDENTIALS.unpack(raw)[1] != 0:
        connection.close()
        return None
    connection.settimeout(0)
    return Arrival(connection, until, number)


def allowed_by_arguments(metadata: str) -> dict[tuple[int, int], Groups]:
    """Return what listener's metadata say of calls that a profile allows by their arguments."""
    word, _, text = metadata.partition(" ")
    if word != METADATA or not text:
        return {}
    try:
        return checked(json_codec.loads(text.encode("utf-8", "surrogateescape")))
    except (json_codec.Unreadable, ValueError, TypeError):
        return {}

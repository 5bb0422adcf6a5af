"""A runtime's message with a seccomp listener: ContainerProcessState of the OCI runtime-spec.

runc and crun connect and send one JSON object together with the listener; the connection may stay
open until the runtime ends. Only root may connect. A listener that has come is kept whatever is
wrong with the message: without it the container's calls fail.
"""

import array
import os
import select
import socket
import time
from collections.abc import Callable, Iterable
from typing import Any

from runc_wrap.agent.descriptor_store import ARRIVING, DescriptorStore
from runc_wrap.hotpath import json_codec

Json = dict[str, Any]

LARGEST = 4 << 20  # bytes: the state carries the container's annotations
SECONDS = 10.0  # for a message to be whole
_CHUNK = 64 << 10
_MOST_FDS = 8
_LONGEST = 4096  # characters of an id or a path that are kept


class Arrival:
    """The connection `fd`: `fds` came with it, `until` is when it is given up.

    `number` names the connection and its listener; `is_kept`: the listener is stored.
    """

    def __init__(self, number: int, fd: int) -> None:
        self.number = number
        self.connection = socket.socket(fileno=fd)
        self.connection.settimeout(0)
        self.until = time.monotonic() + SECONDS
        self.fds: list[int] = []
        self.is_kept = False
        self.is_whole = False
        self._message: Json | None = None
        self._text = bytearray()
        self._peeked = 0

    def read(self) -> None:
        """Read what has come; `is_whole` is set once nothing more will come.

        What was read stays in the connection until the next call. The descriptor store has the
        connection, so if this process is killed before the listener is kept, its successor reads
        the message again.
        """
        try:
            while self._peeked:
                self._peeked -= len(self.connection.recv(self._peeked))
            data, fds = self._receive()
        except BlockingIOError:
            return
        except OSError:
            data, fds = b"", []
        self.fds += fds
        self._text += data
        self._peeked = len(data)
        if self.fds and self._text[-2:].rstrip().endswith(b"}"):
            self._message = _object(self._text)
        self.is_whole = not data or len(self._text) > LARGEST or self._message is not None

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
        """Return the listener that came, None if none has come."""
        return self.fds[0] if self.fds else None

    def end(self) -> None:
        """Close the connection, and all descriptors but the listener."""
        for fd in self.fds[1:]:
            os.close(fd)
        self.connection.close()

    def state(self) -> Json:
        """Return {id, bundle, pid, metadata}, empty or 0 where the message lacks one."""
        message = self._message or {}
        state = message.get("state")
        state = state if isinstance(state, dict) else {}
        pid = message.get("pid")
        return {
            "id": _text(state, "id")[:_LONGEST],
            "bundle": _text(state, "bundle")[:_LONGEST],
            "pid": pid if type(pid) is int else 0,
            "metadata": _text(message, "metadata"),
        }


class Arrivals:
    """The connections whose message is incomplete, watched by `poll`.

    `take` is called with each finished one after its connection is closed; `keep` with the number
    and the listener of each once that has come, before anything else is done with it.
    """

    def __init__(
        self, poll: select.epoll, take: Callable[[Arrival], None], keep: Callable[[int, int], None]
    ) -> None:
        self._poll = poll
        self._take = take
        self._keep = keep
        self.by_fd: dict[int, Arrival] = {}

    def add(self, arrival: Arrival, listener: int | None = None) -> None:
        """Read a connection from now on; `listener` came through it before and is already kept."""
        if listener is not None:
            arrival.fds, arrival.is_kept = [listener], True
        fd = arrival.connection.fileno()
        self.by_fd[fd] = arrival
        self._poll.register(fd, select.EPOLLIN)
        self.read(fd)

    def read(self, fd: int) -> None:
        """Read what has come through a connection."""
        arrival = self.by_fd[fd]
        arrival.read()
        if arrival.listener is not None and not arrival.is_kept:
            self._keep(arrival.number, arrival.listener)
            arrival.is_kept = True
        if arrival.is_whole:
            self._settle(fd)

    def give_up_late_ones(self) -> None:
        """Take the connections whose time is up, complete or not."""
        now = time.monotonic() if self.by_fd else 0.0
        for fd, arrival in [*self.by_fd.items()]:
            if arrival.until <= now:
                self._settle(fd)

    def due(self) -> list[float]:
        """Return when connections are to be given up, on the monotonic clock."""
        return [arrival.until for arrival in self.by_fd.values()]

    def _settle(self, fd: int) -> None:
        arrival = self.by_fd.pop(fd)
        self._poll.unregister(fd)  # closing is not enough: it may be open elsewhere
        arrival.end()
        self._take(arrival)


def _text(found: Json, name: str) -> str:
    value = found.get(name)
    return value if isinstance(value, str) else ""


def _object(text: bytearray) -> Json | None:
    try:
        found = json_codec.loads(bytes(text))
    except json_codec.Unreadable:
        return None
    return found if isinstance(found, dict) else {}


class Acceptor:
    """Accepts runtimes' connections at notify.sock, which is `listening`.

    `taken` are the numbers that are in use.

    A connection brings a container's listener, once. So it is stored before anything is read from
    it, and if this process is killed meanwhile, its successor reads it.
    """

    def __init__(self, listening: int, store: DescriptorStore, taken: Iterable[int]) -> None:
        self.listening = socket.socket(fileno=os.dup(listening))
        self.listening.settimeout(0)
        self._store = store
        self._next = 1 + max(taken, default=0)

    def accept(self) -> tuple[int, int] | None:
        """Return the next connection's number and descriptor, None if none waits.

        Raises OSError if there is no room for it; then the socket stays readable.
        """
        number = self._next
        try:
            fd, _ = self.listening._accept()  # type: ignore[attr-defined]  # noqa: SLF001 - accept() makes an object of socket's
        except (BlockingIOError, ConnectionAbortedError):
            return None
        # the runtime may have hung up already
        self._store.put(f"{ARRIVING}{number}", fd, until_closed=True)
        self._next += 1
        return number, fd

"""Answers root's commands that wait until all calls made before are on disk.

PREFIX/var/agent/evidence.sock takes connections; connecting is the question. The answer is one
packet, "runc-wrap/1" and until when everything is written (seconds since the epoch), each
NUL-terminated. One write answers all that wait, at the earliest SOONEST after the last answer.
"""

from __future__ import annotations

import _socket
import posix
import time

from runc_wrap.host import socket_peers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runc_wrap.agent.record.recorder import Recorder

NAME = "evidence"  # of agent.service_lifecycle.KINDS
VERSION = "runc-wrap/1"
SECONDS = 1.5  # until a question is answered with what is written; commands wait for two
SOONEST = 0.1  # seconds between answers
MOST = 16  # waiting connections; more wait in the socket's queue


class Questions:
    """The socket, which outlives this process: its successor answers there in turn."""

    def __init__(self, fd: int) -> None:
        self._listening = _socket.socket(fileno=posix.dup(fd))
        self._listening.settimeout(0)
        self._waiting: list[tuple[float, _socket.socket]] = []
        self._last = 0.0  # on the monotonic clock

    def fileno(self) -> int:
        """Return the descriptor that is readable when a command asks."""
        return self._listening.fileno()

    def close(self) -> None:
        """Stop answering: commands that wait ask the next process."""
        self._listening.close()
        for _, connection in self._waiting:
            connection.close()
        self._waiting = []

    @property
    def asked(self) -> float | None:
        """When the last waiting command asked; None if none waits or it is too soon to answer."""
        is_due = self._waiting and time.monotonic() - self._last >= SOONEST
        return self._waiting[-1][0] if is_due else None

    @property
    def is_late(self) -> bool:
        """Return whether a command has waited for as long as it may."""
        return bool(self._waiting) and not 0 <= time.time() - self._waiting[0][0] < SECONDS

    def due(self) -> list[float]:
        """Return when to look again, on the monotonic clock; [] if no command waits."""
        return [max(time.monotonic() + 0.005, self._last + SOONEST)] if self._waiting else []

    def take(self) -> None:
        """Accept connections; close those that are not root's or this agent's own user's."""
        while len(self._waiting) < MOST:
            try:
                fd, _ = self._listening._accept()  # type: ignore[attr-defined]  # noqa: SLF001 - accept() makes an object of socket's
            except OSError:
                return
            connection = _socket.socket(fileno=fd)
            connection.settimeout(0)
            if socket_peers.uid_of(connection) in (0, posix.geteuid()):
                self._waiting.append((time.time(), connection))
            else:
                connection.close()

    def answer_due(self, recorder: Recorder | None) -> None:
        """Answer commands that wait for earlier calls to be written, once they are."""
        if (asked := self.asked) is None:
            return
        if not recorder:
            self.answer(0.0)
        elif recorder.has_all(asked):
            self.answer(recorder.write_all())
        elif self.is_late:
            recorder.write_all()
            self.answer(recorder.has_until)

    def answer(self, until: float) -> None:
        """Answer all waiting connections; ignore those that were closed."""
        packet = f"{VERSION}\0{until:.3f}\0".encode()
        for _, connection in self._waiting:
            _send(connection, packet)
            connection.close()
        self._waiting = []
        self._last = time.monotonic()
        self.take()  # connections for which there was no room


def _send(connection: _socket.socket, packet: bytes) -> None:
    try:
        connection.send(packet, _socket.MSG_NOSIGNAL)
    except OSError:  # it was closed
        return

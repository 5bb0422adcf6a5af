"""Answers commands that wait until the evidence is on disk (node.flush_request).

PREFIX/var/agent/evidence.sock takes connections of root's commands that wait until all calls made
before are on disk; connecting is the question. The answer is one packet, "runc-wrap/1" and until
when everything is written (seconds since the epoch), each NUL-terminated. One write answers all
that wait, at the earliest SOONEST after the last answer.

The socket outlives this process: its successor goes on there.
"""

import os
import socket
import time

from runc_wrap.agent.record.exec_notices import VERSION
from runc_wrap.host import socket_peers

EVIDENCE = "evidence"  # of agent.service_lifecycle.KINDS
SECONDS = 1.5  # until a question is answered with what is written; commands wait for two
SOONEST = 0.1  # seconds between answers


class Questions:
    """Commands that wait until what came before is written; they connect to `listening`."""

    def __init__(self, fd: int) -> None:
        self.listening = socket.socket(fileno=os.dup(fd))
        self.listening.settimeout(0)
        self._waiting: list[tuple[float, socket.socket]] = []
        self._last = 0.0  # on the monotonic clock

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
        while True:
            try:
                connection, _ = self.listening.accept()
            except OSError:
                return
            connection.settimeout(0)
            if socket_peers.uid_of(connection) in (0, os.geteuid()):
                self._waiting.append((time.time(), connection))
            else:
                connection.close()

    def answer(self, until: float) -> None:
        """Answer all waiting connections; ignore those that were closed."""
        packet = f"{VERSION}\0{until:.3f}\0".encode()
        for _, connection in self._waiting:
            try:
                connection.send(packet, socket.MSG_NOSIGNAL)
            except OSError:  # it was closed
                continue
            finally:
                connection.close()
        self._waiting = []
        self._last = time.monotonic()

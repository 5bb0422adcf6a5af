"""Runtimes' connections at notify.sock: the keeper accepts and holds them.

A connection brings a container's seccomp listener, once. If the evidence worker accepted it, it
would end with that worker, and the container's calls would fail with ENOSYS. So the keeper holds it
under the name arriving-N until the worker reports that it has taken everything; the successor of a
killed worker gets it again. Nothing is read here.
"""

from __future__ import annotations

import _socket
import errno
import posix
import time

from runc_wrap.agent.systemd_stored_names import ARRIVING, LISTENER, number_of

ARRIVALS = "arrivals"  # the worker's end of the socket through which it gets connections
_SHUT = 0.5  # seconds without accepting after descriptors have run out
MOST = 96  # connections held; others wait in the socket's queue
_KIND = _socket.SOCK_SEQPACKET | _socket.SOCK_CLOEXEC | _socket.SOCK_NONBLOCK


class Acceptor:
    """`held` are all of the keeper's descriptors by name; connections are added there."""

    def __init__(self, held: dict[str, int]) -> None:
        self.held = held
        self.shut_until = 0.0  # on the monotonic clock; 0: it is not
        self.fd = held["notify"]
        self._listening = _socket.socket(fileno=posix.dup(self.fd))
        self._listening.settimeout(0)
        self._next = 1 + max(
            number_of(name, kind) for name in held for kind in (LISTENER, ARRIVING)
        )
        self._ends: tuple[_socket.socket, _socket.socket] | None = None

    @property
    def has_room(self) -> bool:
        """Return whether one more connection can be held."""
        if self.shut_until > time.monotonic():
            return False
        self.shut_until = 0.0
        return sum(bool(number_of(name, ARRIVING)) for name in self.held) < MOST

    def close(self) -> None:
        """Close its own sockets; the held connections stay open."""
        for one in (self._listening, *(self._ends or ())):
            one.close()

    def worker_end(self) -> int:
        """Return the end for the next worker, which gets the held connections by name."""
        for end in self._ends or ():
            end.close()
        self._ends = _socket.socketpair(_socket.AF_UNIX, _KIND)
        return self._ends[1].fileno()

    def admit(self) -> None:
        """Accept waiting connections, and pass each to the worker."""
        while self.has_room:
            try:
                fd, _ = self._listening._accept()  # type: ignore[attr-defined]  # noqa: SLF001 - accept() makes an object of socket's
            except OSError as error:
                if error.errno in (errno.EMFILE, errno.ENFILE):  # the socket stays readable
                    self.shut_until = time.monotonic() + _SHUT
                return
            number, self._next = self._next, self._next + 1
            self.held[f"{ARRIVING}{number}"] = fd
            self._give(number, fd)

    def _give(self, number: int, fd: int) -> None:
        rights = [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, fd.to_bytes(4, "little"))]
        try:
            if self._ends:
                self._ends[0].sendmsg([b"%d" % number], rights, _socket.MSG_DONTWAIT)
        except OSError:
            return  # the next worker gets it

"""What launchers tell of each `exec`: who calls the runtime to have somebody join a container.

PREFIX/var/agent/exec.sock takes datagrams, one for each: "runc-wrap/1" and the words that the
launcher was called with, each ended by NUL, as many as fit (launcher/ask.c). Nobody waits: what
does not fit into the queue (net.unix.max_dgram_qlen) is dropped, and who joins is then known only
by where it is (evidence.attribution.membership). When it was sent and by whom is the kernel's word
(unix(7), SO_PASSCRED): root of the first user namespace alone is 0 here.
"""

from __future__ import annotations

import os
import socket
import struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

NAME = "exec"  # of agent.sockets
VERSION = "runc-wrap/1"
LONGEST = 4096  # bytes, as launcher/ask.c has it
_MOST = 64  # at once
_WHO, _WHEN = struct.Struct("=iII"), struct.Struct("@ll")  # struct ucred, struct timespec
_SO_TIMESTAMPNS = 35
_ROOM = socket.CMSG_SPACE(_WHO.size) + socket.CMSG_SPACE(_WHEN.size)

Told = tuple[int, float, list[str]]  # the sender's pid, when, and its words without argv[0]


class Executions:
    """The keeper's socket, read by each evidence worker in turn."""

    def __init__(self, fd: int) -> None:
        self._socket = socket.socket(fileno=os.dup(fd))
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self._socket.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)

    def fileno(self) -> int:
        """Return the descriptor that is readable when something was told."""
        return self._socket.fileno()

    def close(self) -> None:
        """Read no more; the keeper keeps the socket."""
        self._socket.close()

    def take(self) -> Iterator[Told]:
        """Yield what root has told since; what is anybody else's, or is none, is passed over."""
        for _ in range(_MOST):
            try:
                text, others, flags, _ = self._socket.recvmsg(LONGEST, _ROOM, socket.MSG_DONTWAIT)
            except OSError:  # BlockingIOError: that was all
                return
            told = _told(text, {kind: value for _, kind, value in others})
            if told and not flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC):
                yield told


def _told(text: bytes, kernels: dict[int, bytes]) -> Told | None:
    who, when = kernels.get(socket.SCM_CREDENTIALS), kernels.get(_SO_TIMESTAMPNS)
    version, *words = text.decode("utf-8", "surrogateescape").split("\0")
    if not who or not when or version != VERSION or not words or words.pop():
        return None
    pid, uid, _ = _WHO.unpack(who)
    seconds, nanoseconds = _WHEN.unpack(when)
    return (pid, seconds + nanoseconds / 1e9, words[1:]) if pid > 0 and uid == 0 else None

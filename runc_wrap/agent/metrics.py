"""Answering a scrape without becoming heavy: a short-lived child does it; the agent never waits.

prometheus_client costs 13 MB and 70 ms; the child pays that and is gone. It is another program
(posix_spawn), so it has none of the agent's descriptors: a copy of a seccomp listener that outlives
the agent would leave a workload's calls without an answer. Lean: the agent has this in memory.
"""

from __future__ import annotations

import posix
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from socket import socket

AT_ONCE = 2  # children
_BUSY = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
_PROGRAM = (
    "import sys; sys.path.insert(0, sys.argv[1]); "
    "from runc_wrap.agent.scrape import main; main(sys.argv[2])"
)
_running: set[int] = set()


def serve(connection: socket, prefix: str) -> None:
    """Have an accepted connection answered, and close it here. Raises nothing for its sake."""
    try:
        reap()
        if len(_running) < AT_ONCE:
            _running.add(_child(connection.fileno(), prefix))
        else:
            connection.setblocking(False)  # noqa: FBT003 - its only parameter
            connection.send(_BUSY)
    except OSError:
        pass  # whoever scrapes sees the connection end
    finally:
        connection.close()


def reap() -> None:
    """Let go of the children that ended; worth calling when SIGCHLD says so."""
    for pid in tuple(_running):
        try:
            ended, _ = posix.waitpid(pid, posix.WNOHANG)
        except ChildProcessError:  # somebody else has waited for it
            ended = pid
        if ended:
            _running.discard(pid)


def _child(connection: int, prefix: str) -> int:
    """Start the program that answers; its standard input is the connection."""
    root = __file__.rpartition("/runc_wrap/agent/")[0]
    null = posix.open("/dev/null", posix.O_RDWR | posix.O_CLOEXEC)
    try:
        return posix.posix_spawn(
            sys.executable,
            [sys.executable, "-I", "-c", _PROGRAM, root, prefix],
            {b"LC_CTYPE": b"C.UTF-8"},
            file_actions=[
                (posix.POSIX_SPAWN_DUP2, connection, 0),
                (posix.POSIX_SPAWN_DUP2, null, 1),
                (posix.POSIX_SPAWN_DUP2, null, 2),
            ],
            setsigmask=[],
            setsigdef=[1, 2, 13, 14, 15],  # HUP INT PIPE ALRM TERM
        )
    finally:
        posix.close(null)

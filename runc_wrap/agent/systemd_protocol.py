"""systemd's protocol for services: descriptors handed over at the start, and messages.

sd_listen_fds(3), sd_notify(3), sd_watchdog_enabled(3). Other supervisors speak it, too, or nothing.
"""

from __future__ import annotations

import _socket
import posix
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import NoReturn

    Descriptors = list[tuple[str, int]]  # open ones, and their names

FIRST = 3  # SD_LISTEN_FDS_START
READY = b"READY=1"
_ALIVE = b"WATCHDOG=1"
_LONG = 8 if sys.maxsize > 1 << 32 else 4  # bytes
_A_SECOND = (1).to_bytes(_LONG, sys.byteorder) + bytes(_LONG)  # struct timeval


def received(environment: Mapping[bytes, bytes]) -> Descriptors:
    """Return the descriptors that were handed to this process, now closed on exec."""
    if number(environment, b"LISTEN_PID") != posix.getpid():
        return []
    names = environment.get(b"LISTEN_FDNAMES", b"").decode("utf-8", "replace").split(":")
    found = []
    for at in range(number(environment, b"LISTEN_FDS")):
        posix.set_inheritable(FIRST + at, False)  # noqa: FBT003 - takes it by position only
        found.append((names[at] if at < len(names) else "unknown", FIRST + at))
    return found


def number(environment: Mapping[bytes, bytes], name: bytes) -> int:
    """Return a variable that is a number, 0 if it is none."""
    text = environment.get(name, b"")
    return int(text) if text.isdigit() else 0


def become(
    argv: Sequence[str], handed: Descriptors, environment: Mapping[bytes, bytes]
) -> NoReturn:
    """Exec a program with these descriptors, and none of this process' others but 0, 1 and 2.

    Raises OSError; then this process' descriptors are no longer what they were.
    """
    import fcntl  # noqa: PLC0415 - only processes that become others need it

    aside = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, FIRST + len(handed)) for _, fd in handed]
    for at, fd in enumerate(aside, FIRST):
        posix.dup2(fd, at, inheritable=True)
    variables = {
        b"LISTEN_PID": str(posix.getpid()).encode(),
        b"LISTEN_FDS": str(len(handed)).encode(),
        b"LISTEN_FDNAMES": ":".join(name for name, _ in handed).encode(),
    }
    posix.execve(argv[0], [*argv], {**environment, **variables})


class Supervisor:
    """The supervisor that this process notifies; none without a NOTIFY_SOCKET."""

    def __init__(self, environment: Mapping[bytes, bytes]) -> None:
        address = environment.get(b"NOTIFY_SOCKET", b"")
        self._address = b"\0" + address[1:] if address.startswith(b"@") else address
        self._socket: _socket.socket | None = None

    def send(self, message: bytes, fds: Sequence[int] = (), *, waits: bool = False) -> bool:
        """Send a message; return whether it was taken, which this process' end does not undo.

        If it `waits`, then for a second at most for room in the socket's queue. A socket that was
        replaced is connected to anew.
        """
        rights = b"".join(fd.to_bytes(4, "little") for fd in fds)
        ancillary = [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, rights)] if fds else []
        for _ in range(2 if self._address else 0):
            try:
                flags = 0 if waits else _socket.MSG_DONTWAIT
                self._connected().sendmsg([message], ancillary, flags)
            except BlockingIOError:
                return False
            except OSError:
                self.close()
            else:
                return True
        return False

    def _connected(self) -> _socket.socket:
        if self._socket is None:
            kind = _socket.SOCK_DGRAM | _socket.SOCK_CLOEXEC
            self._socket = _socket.socket(_socket.AF_UNIX, kind)
            # The kernel waits, not Python: one system call, in which a descriptor is handed over.
            self._socket.setsockopt(_socket.SOL_SOCKET, _socket.SO_SNDTIMEO, _A_SECOND)
            self._socket.connect(self._address)
        return self._socket

    def close(self) -> None:
        """Close the connection; the next message makes another."""
        if self._socket:
            self._socket.close()
            self._socket = None


class Watchdog:
    """Tells a supervisor twice within its timeout (WatchdogSec=) that this process works."""

    def __init__(self, supervisor: Supervisor, environment: Mapping[bytes, bytes]) -> None:
        is_ours = environment.get(b"WATCHDOG_PID", b"") in (b"", b"%d" % posix.getpid())
        self._every = number(environment, b"WATCHDOG_USEC") / 2e6 if is_ours else 0.0
        self._supervisor = supervisor
        self._due = time.monotonic()

    def due(self) -> list[float]:
        """Return when `tell_due` has something to do, on the monotonic clock; [] for never."""
        return [self._due] if self._every else []

    def tell_due(self) -> None:
        """Tell the supervisor, if it is time."""
        if self._every and self._due <= time.monotonic():
            self._supervisor.send(_ALIVE)
            self._due = time.monotonic() + self._every

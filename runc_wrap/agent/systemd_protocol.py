"""systemd's protocol for services: descriptors handed over at the start, and messages.

sd_listen_fds(3), sd_notify(3). systemd uses it with the keeper, and the keeper with its workers,
so that there is one protocol. Names that are not systemd's begin with X_.
"""

from __future__ import annotations

import _socket
import posix

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from typing import NoReturn

FIRST = 3  # SD_LISTEN_FDS_START
READY = b"READY=1"
STOPPING = b"STOPPING=1"
CHANGED = b"X_RELEASE=changed"  # worker to keeper: this is no longer the installed release
_LARGEST = 4096  # bytes of a message
_MOST = 16  # descriptors of a message
_CREDENTIALS = 12  # bytes of struct ucred: pid, uid, gid


class Named:
    """An open descriptor, and its name between keeper, workers and systemd."""

    __slots__ = ("fd", "name")

    def __init__(self, name: str, fd: int) -> None:
        self.name = name
        self.fd = fd


class Message:
    """A process' message: the kernel vouches for `pid` and `uid`, the sender chose the rest."""

    __slots__ = ("fds", "lines", "pid", "uid")

    def __init__(self, pid: int, uid: int, lines: list[bytes], fds: list[int]) -> None:
        self.pid = pid
        self.uid = uid
        self.lines = lines
        self.fds = fds

    def value(self, key: bytes) -> str:
        """Return the value of a line KEY=value, "" for none."""
        for line in self.lines:
            name, _, value = line.partition(b"=")
            if name == key:
                return value.decode("utf-8", "replace")
        return ""


def received(environment: Mapping[bytes, bytes]) -> list[Named]:
    """Return the descriptors that were handed to this process, now closed on exec."""
    count = _number(environment.get(b"LISTEN_FDS", b""))
    if _number(environment.get(b"LISTEN_PID", b"")) != posix.getpid():
        return []
    names = environment.get(b"LISTEN_FDNAMES", b"").decode("utf-8", "replace").split(":")
    found = []
    for at in range(count):
        posix.set_inheritable(FIRST + at, False)  # noqa: FBT003 - takes it by position only
        found.append(Named(names[at] if at < len(names) else "unknown", FIRST + at))
    return found


def _number(text: bytes) -> int:
    return int(text) if text.isdigit() else 0


def become(
    argv: Sequence[str], handed: Sequence[Named], environment: Mapping[bytes, bytes]
) -> NoReturn:
    """Exec a program with these descriptors, and none of this process' others but 0, 1 and 2.

    Raises OSError. The descriptors are then where `arranged` puts them; others may be closed.
    """
    _arrange([each.fd for each in handed])
    variables = {
        b"LISTEN_PID": str(posix.getpid()).encode(),
        b"LISTEN_FDS": str(len(handed)).encode(),
        b"LISTEN_FDNAMES": ":".join(each.name for each in handed).encode(),
    }
    posix.execve(argv[0], [*argv], {**environment, **variables})


def arranged(handed: Iterable[Named]) -> list[Named]:
    """Return where descriptors are after a `become` that failed."""
    return [Named(each.name, FIRST + at) for at, each in enumerate(handed)]


def _arrange(fds: Iterable[int]) -> None:
    """Put descriptors in a row from FIRST on, inheritable."""
    import fcntl  # noqa: PLC0415 - only processes that start others need it

    given = [*fds]
    beyond = FIRST + len(given)
    aside = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, beyond) for fd in given]
    for at, fd in enumerate(aside):
        posix.dup2(fd, FIRST + at, inheritable=True)


def send(address: str, message: bytes, fds: Sequence[int] = (), seconds: float = 0.0) -> bool:
    """Send a message to a NOTIFY_SOCKET, "" for none. Return whether it was taken.

    A socket queues some ten messages (net.unix.max_dgram_qlen): wait up to `seconds` for room.
    """
    if not address:
        return False
    to = "\0" + address[1:] if address.startswith("@") else address
    rights = b"".join(fd.to_bytes(4, "little") for fd in fds)
    ancillary = [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, rights)] if fds else []
    kind = _socket.SOCK_DGRAM | _socket.SOCK_CLOEXEC
    sender = _socket.socket(_socket.AF_UNIX, kind)
    try:
        sender.settimeout(seconds)
        sender.connect(to)  # only a connected socket can wait for room
        sender.sendmsg([message], ancillary)
    except OSError:
        return False
    finally:
        sender.close()
    return True


def listen(path: str) -> _socket.socket:
    """Return a socket that takes messages at `path`, each with its sender's credentials."""
    kind = _socket.SOCK_DGRAM | _socket.SOCK_CLOEXEC | _socket.SOCK_NONBLOCK
    taker = _socket.socket(_socket.AF_UNIX, kind)
    taker.setsockopt(_socket.SOL_SOCKET, _socket.SO_PASSCRED, 1)
    taker.bind(path)
    posix.chmod(path, 0o600)
    return taker


def receive(taker: _socket.socket) -> Message | None:
    """Return the next message, None if there is none now."""
    try:
        space = _socket.CMSG_SPACE(_CREDENTIALS) + _socket.CMSG_SPACE(4 * _MOST)
        data, ancillary, _, _ = taker.recvmsg(_LARGEST, space, _socket.MSG_CMSG_CLOEXEC)
    except OSError:
        return None
    pid, uid, fds = 0, -1, []
    for level, kind, value in ancillary:
        if (level, kind) == (_socket.SOL_SOCKET, _socket.SCM_CREDENTIALS):
            pid, uid = (int.from_bytes(value[at : at + 4], "little") for at in (0, 4))
        elif (level, kind) == (_socket.SOL_SOCKET, _socket.SCM_RIGHTS):
            fds += [int.from_bytes(value[at : at + 4], "little") for at in range(0, len(value), 4)]
    return Message(pid, uid, data.split(b"\n"), fds)

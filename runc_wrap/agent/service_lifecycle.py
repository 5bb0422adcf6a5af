"""The life of both services: their sockets, one service for a prefix, signals, the next release.

Listening sockets are handed over by systemd or bound here.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # typeshed has only signal, which costs enum
import _socket
import errno
import fcntl
import posix
import sys
import time

from runc_wrap.agent import start_command, systemd_protocol
from runc_wrap.agent.service_log import say, warn

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import NoReturn

    from runc_wrap.agent.systemd_protocol import Descriptors

# name -> type; each is PREFIX/var/agent/NAME.sock
KINDS = {
    "decide": _socket.SOCK_SEQPACKET,
    "notify": _socket.SOCK_STREAM,
    "exec": _socket.SOCK_DGRAM,  # agent.record.exec_notices; the next: flush_answers
    "evidence": _socket.SOCK_SEQPACKET,
}
_LOCK = "lock"  # PREFIX/var/agent/ROLE.lock
_LONGEST = 107  # bytes of sun_path without its NUL (unix(7))
_BACKLOG = 4096  # the kernel's own bound, net.core.somaxconn, is no higher
_PREDECESSOR_SECONDS = 1.0  # for a service that is ending to let go of sockets and lock
_SIGNALS = (_signal.SIGCHLD, _signal.SIGINT, _signal.SIGTERM)


def begin(prefix: str, role: str, names: Sequence[str]) -> dict[str, int]:
    """Return by name what was handed over, the lock, and all sockets of these names.

    Exits with 2 if the service cannot start.
    """
    posix.umask(0o077)
    held = {_name(prefix, name, fd): fd for name, fd in systemd_protocol.received(posix.environ)}
    longest = max((path(prefix, name) for name in KINDS), key=len)
    if len(longest.encode("utf-8", "surrogateescape")) > _LONGEST:
        _fail(f"{longest} is longer than {_LONGEST} bytes: take a shorter --prefix.")
    directory = f"{prefix}/var/agent"  # which only root may enter
    try:
        _make_directory(directory)
        if _LOCK not in held:
            is_only_one = any(name in held for name in names)  # systemd sees to that
            held[_LOCK] = _lock(f"{directory}/{role}.{_LOCK}", is_locked=not is_only_one)
        for name in [name for name in names if name not in held]:
            held[name] = _listening(prefix, name)
    except OSError as error:
        _fail(f"{directory}: {error.strerror}. Run it as root.")
    for name in held.keys() & KINDS.keys():
        posix.set_blocking(held[name], False)
    return held


def _fail(why: str) -> NoReturn:
    warn(why)
    sys.exit(2)


class Release:
    """The release that this process belongs to."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._own = start_command.own_release(prefix)

    def is_installed(self) -> bool:
        """Return whether it is the installed release, which alone knows its policy's form."""
        return start_command.release(self._prefix) == self._own


def begin_anew(prefix: str, role: str, held: Descriptors) -> NoReturn:
    """Become the installed release's service, with these descriptors."""
    words = start_command.command_anew(prefix, role)
    say("another release is installed; it takes over.")
    # until the new program makes its `Signals`
    _signal.pthread_sigmask(_signal.SIG_BLOCK, _SIGNALS)
    try:
        systemd_protocol.become(words, held, posix.environ)
    except OSError as error:
        warn(f"{words[0]}: {error.strerror}; the supervisor starts it again.")
        sys.exit(1)


class Signals:
    """Catches signals from its creation on; `fd` is readable when some have come."""

    def __init__(self, *numbers: int) -> None:
        self.fd, writer = posix.pipe2(posix.O_CLOEXEC | posix.O_NONBLOCK)
        _signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        for number in numbers:
            _signal.signal(number, _nothing)
        _signal.pthread_sigmask(_signal.SIG_UNBLOCK, _SIGNALS)

    def take(self) -> set[int]:
        """Return the signals that have come since the last call."""
        try:
            return set(posix.read(self.fd, 4096))
        except BlockingIOError:
            return set()


def _nothing(_number: int, _frame: object) -> None:
    """Do nothing: the wake-up descriptor has received it."""


def path(prefix: str, name: str) -> str:
    """Return a socket's path."""
    return f"{prefix}/var/agent/{name}.sock"


def withdraw(prefix: str, name: str) -> None:
    """Remove a socket's path, so that nobody connects; whoever listens there stays unused."""
    try:
        posix.unlink(path(prefix, name))
    except FileNotFoundError:
        return


def _name(prefix: str, given: str, fd: int) -> str:
    """Return a descriptor's name: by a socket's path, as systemd names all of a unit alike."""
    try:
        looked_at = _socket.socket(fileno=fd)
    except OSError:  # not a socket but a stored descriptor
        return given
    try:
        listens = looked_at.getsockopt(_socket.SOL_SOCKET, _socket.SO_ACCEPTCONN)
        is_whole = listens or looked_at.type == _socket.SOCK_DGRAM
        address = looked_at.getsockname() if is_whole else ""  # accepted ones have it, too
    finally:
        looked_at.detach()
    return next((name for name in KINDS if address == path(prefix, name)), given)


def _make_directory(directory: str) -> None:
    try:
        posix.mkdir(directory, 0o700)
    except FileExistsError:
        posix.chmod(directory, 0o700)


def _lock(name: str, *, is_locked: bool) -> int:
    """Return the lock, which shows whose this process is (node.container_state.lost_listeners).

    One that a device blocks and that cannot be killed would keep it locked, so it is not locked
    where systemd sees to it that there is only one.
    """
    flags = posix.O_RDWR | posix.O_CREAT | posix.O_CLOEXEC | posix.O_NOFOLLOW
    descriptor = posix.open(name, flags, 0o600)
    until = time.monotonic() + _PREDECESSOR_SECONDS
    while is_locked:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > until:
                from runc_wrap.host import locks  # noqa: PLC0415 - only here

                whose = locks.holder(descriptor)
                _fail(f"another one runs here: {whose} holds {name}.")
            time.sleep(0.05)
        else:
            break
    return descriptor


def _listening(prefix: str, name: str) -> int:
    """Return a new socket; first remove one on which no process listens."""
    place, kind = path(prefix, name), KINDS[name]
    until = time.monotonic() + _PREDECESSOR_SECONDS
    while _answers(place, kind):
        if time.monotonic() > until:
            _fail(f"another program listens at {place}.")
        time.sleep(0.05)
    withdraw(prefix, name)
    made = _socket.socket(_socket.AF_UNIX, kind | _socket.SOCK_CLOEXEC)
    before = posix.umask(0o177)
    try:
        made.bind(place)
    finally:
        posix.umask(before)
    if kind != _socket.SOCK_DGRAM:
        made.listen(_BACKLOG)
    return made.detach()


def _answers(name: str, kind: int) -> bool:
    caller = _socket.socket(_socket.AF_UNIX, kind | _socket.SOCK_CLOEXEC)
    caller.settimeout(0)
    try:
        caller.connect(name)
    except OSError as error:
        return error.errno not in (errno.ECONNREFUSED, errno.ENOENT)
    finally:
        caller.close()
    return True

"""The agent's listening sockets: handed over by systemd or bound here. One agent for a prefix."""

from __future__ import annotations

import _socket
import errno
import fcntl
import posix
import time

from runc_wrap.agent import agent_paths, systemd_protocol
from runc_wrap.agent.systemd_protocol import Named

# name -> type; each is PREFIX/var/agent/NAME.sock
KINDS = {
    "decide": _socket.SOCK_SEQPACKET,
    "notify": _socket.SOCK_STREAM,
    "metrics": _socket.SOCK_STREAM,
    "exec": _socket.SOCK_DGRAM,  # agent.record.exec_notices
    "evidence": _socket.SOCK_SEQPACKET,  # agent.record.write_requests
}
LOCK = "lock"
_LONGEST = 107  # bytes of sun_path without its NUL (unix(7))
_BACKLOG = 4096  # the kernel's own bound, net.core.somaxconn, is no higher
_WORKER_ENDS = 1.0  # seconds for the workers of a killed agent to end
_LOCK_SECONDS = 1.0  # seconds that an agent which is ending may still hold the lock


File = tuple[int, int]  # device and inode
Bound = dict[str, File]  # the sockets bound here, by name


class Unusable(Exception):
    """The agent cannot start; the message says why."""


def path(prefix: str, name: str) -> str:
    """Return a socket's path."""
    return f"{agent_paths.directory(prefix)}/{name}.sock"


def take(prefix: str, given: list[Named]) -> tuple[dict[str, int], Bound]:
    """Return all descriptors by name, `given` ones included, and the sockets bound here.

    Raises Unusable.
    """
    held = {_name(prefix, each): each.fd for each in given}
    longest = max((path(prefix, name) for name in KINDS), key=len)
    if len(longest.encode("utf-8", "surrogateescape")) > _LONGEST:
        raise Unusable(
            f"{longest} is longer than the {_LONGEST} bytes that a socket's path can have. "
            "Install runc-wrap beneath a shorter path."
        )
    try:
        _make_directory(agent_paths.directory(prefix))
        if LOCK not in held:
            held[LOCK] = _locked(f"{agent_paths.directory(prefix)}/{LOCK}")
        bound: Bound = {}
        for name in [name for name in KINDS if name not in held]:
            held[name] = _listening(path(prefix, name), KINDS[name])
            bound[name] = _identity(path(prefix, name))
    except OSError as error:
        raise Unusable(
            f"{agent_paths.directory(prefix)}: {error.strerror}. Run it as root."
        ) from None
    for name in KINDS:
        posix.set_blocking(held[name], False)
    return held, bound


def _name(prefix: str, given: Named) -> str:
    """Return a descriptor's name: by a socket's path, as systemd names all of a unit alike."""
    try:
        looked_at = _socket.socket(fileno=given.fd)
    except OSError:  # not a socket but a stored descriptor
        return given.name
    try:
        listens = looked_at.getsockopt(_socket.SOL_SOCKET, _socket.SO_ACCEPTCONN)
        is_whole = listens or looked_at.type == _socket.SOCK_DGRAM
        address = looked_at.getsockname() if is_whole else ""  # accepted ones have it, too
    finally:
        looked_at.detach()
    return next((name for name in KINDS if address == path(prefix, name)), given.name)


def _make_directory(directory: str) -> None:
    try:
        posix.mkdir(directory, 0o700)
    except FileExistsError:
        posix.chmod(directory, 0o700)


def _locked(name: str) -> int:
    flags = posix.O_RDWR | posix.O_CREAT | posix.O_CLOEXEC | posix.O_NOFOLLOW
    descriptor = posix.open(name, flags, 0o600)
    until = time.monotonic() + _LOCK_SECONDS
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > until:
                raise Unusable(_another(name, descriptor)) from None
            time.sleep(0.05)
        else:
            return descriptor


def _another(name: str, descriptor: int) -> str:
    from runc_wrap.host import locks  # noqa: PLC0415 - only an agent that cannot start needs it

    return f"another agent runs here: {locks.holder(descriptor)} holds {name}."


def _listening(name: str, kind: int) -> int:
    _clear(name, kind)
    made = _socket.socket(_socket.AF_UNIX, kind | _socket.SOCK_CLOEXEC)
    before = posix.umask(0o177)
    try:
        made.bind(name)
    finally:
        posix.umask(before)
    if kind != _socket.SOCK_DGRAM:
        made.listen(_BACKLOG)
    return made.detach()


def _clear(name: str, kind: int) -> None:
    """Remove a socket on which no process listens. Raises Unusable if one does."""
    until = time.monotonic() + _WORKER_ENDS
    while _answers(name, kind):
        if time.monotonic() > until:
            raise Unusable(f"another program listens at {name}.")
        time.sleep(0.05)
    try:
        posix.unlink(name)
    except FileNotFoundError:
        return


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


def _identity(name: str) -> File:
    found = posix.stat(name, follow_symlinks=False)
    return found.st_dev, found.st_ino


def take_messages(prefix: str) -> tuple[_socket.socket, str, Bound]:
    """Return the keeper's own socket, its path, and its entry in `Bound`. Raises OSError.

    If the directory was removed under a running agent, another agent may already use the name.
    """
    name = "keeper"
    if _answers(path(prefix, name), _socket.SOCK_DGRAM):
        name = f"keeper-{posix.getpid()}"
    address = path(prefix, name)
    _clear(address, _socket.SOCK_DGRAM)
    return systemd_protocol.listen(address), address, {name: _identity(address)}


def remove(prefix: str, bound: Bound) -> None:
    """Remove the sockets that this agent bound, but none that replaced them."""
    for name, own in bound.items():
        try:
            if _identity(path(prefix, name)) == own:
                posix.unlink(path(prefix, name))
        except OSError:
            continue


def as_text(bound: Bound) -> str:
    """Return the bound sockets as text, for a successor."""
    return " ".join(f"{name}:{device}:{inode}" for name, (device, inode) in bound.items())


def from_text(text: str) -> Bound:
    """Return the bound sockets that `as_text` wrote; malformed parts are left out."""
    parts = [one.split(":") for one in text.split()]
    return {
        one[0]: (int(one[1]), int(one[2]))
        for one in parts
        if len(one) == 3 and one[1].isdecimal() and one[2].isdecimal()  # noqa: PLR2004 - as above
    }

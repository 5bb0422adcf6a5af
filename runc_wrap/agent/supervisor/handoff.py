"""How a new keeper takes over what lingers after an agent that was stopped.

    PREFIX/var/agent/lingering.sock    SOCK_SEQPACKET, root's alone

The keeper asks; what lingers sends each descriptor by its name (as to a NOTIFY_SOCKET), the names
of the sockets that are the agent's to remove, and an end. It is over once the keeper says that it
has all; without that word it goes on.
"""

from __future__ import annotations

import _socket
import posix
import time

from runc_wrap.agent import agent_paths, systemd_protocol
from runc_wrap.agent.systemd_protocol import Named
from runc_wrap.agent.systemd_stored_names import LINGERING

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

_ASKED, _END, _TAKEN = b"X_HAND_OVER", b"X_END", b"X_TAKEN"
_PATIENCE = 2.0  # seconds for the other side to say the next thing
_PAUSE = 0.02  # seconds between asking twice
_MOST = 2048  # messages
_KIND = _socket.SOCK_SEQPACKET | _socket.SOCK_CLOEXEC


class Refused(Exception):
    """Something lingers and hands nothing over; the message is for the administrator."""


def _path(prefix: str) -> str:
    return f"{agent_paths.directory(prefix)}/{LINGERING}.sock"


def listen(prefix: str) -> int:
    """Return a listening socket; while it is there, creates do without the agent."""
    remove(prefix)
    made = _socket.socket(_socket.AF_UNIX, _KIND)
    before = posix.umask(0o177)
    try:
        made.bind(_path(prefix))
    finally:
        posix.umask(before)
    made.listen(1)
    return made.detach()


def take(prefix: str, known: set[str]) -> tuple[list[Named], str]:
    """Return what lingered, but for names that are known, and its sockets (sockets.as_text).

    Nothing where nothing lingers, or what does is about to end: then it says nothing, and soon is
    not there to be asked. Raises Refused.
    """
    until = time.monotonic() + _PATIENCE
    while True:
        caller = _socket.socket(_socket.AF_UNIX, _KIND)
        caller.settimeout(_PATIENCE)
        try:
            caller.connect(_path(prefix))
        except OSError:  # nobody: the lock says the rest
            caller.close()
            return [], ""
        try:
            caller.send(_ASKED)
            found, bound = _received(caller)
            caller.send(_TAKEN)
            break
        except OSError:
            if time.monotonic() > until:
                raise Refused(_REFUSED) from None
            time.sleep(_PAUSE)
        finally:
            caller.close()
    remove(prefix)
    for each in found:
        if each.name in known:
            posix.close(each.fd)
    return [each for each in found if each.name not in known], bound


_REFUSED = (
    "what lingers after the last agent, for containers in mode observe, hands their listeners not "
    "over. End it with SIGTERM: their calls that a profile denies fail with ENOSYS from then on."
)


def _received(caller: _socket.socket) -> tuple[list[Named], str]:
    found: list[Named] = []
    for _ in range(_MOST):
        message = systemd_protocol.receive(caller)
        if message is None or message.lines == [b""]:
            break
        if _END in message.lines:
            return found, message.value(b"X_BOUND")
        found += [Named(message.value(b"FDNAME"), fd) for fd in message.fds[:1]]
    raise OSError("it said nothing more")


def give(listening: int, held: Sequence[Named], bound: str) -> bool:
    """Hand all over to a keeper that asks; return whether it has taken it. Waits a little."""
    door = _socket.socket(fileno=posix.dup(listening))
    try:
        door.settimeout(0)
        fd, _ = door._accept()  # type: ignore[attr-defined]  # noqa: SLF001 - accept() makes an object of socket's
    except OSError:
        return False
    finally:
        door.close()
    asker = _socket.socket(fileno=fd)
    try:
        asker.settimeout(_PATIENCE)
        return asker.recv(64) == _ASKED and _given(asker, held, bound)
    except OSError:
        return False
    finally:
        asker.close()


def _given(asker: _socket.socket, held: Sequence[Named], bound: str) -> bool:
    for each in held:
        rights = [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, each.fd.to_bytes(4, "little"))]
        asker.sendmsg([f"FDSTORE=1\nFDNAME={each.name}".encode()], rights)
    asker.send(_END + f"\nX_BOUND={bound}".encode())
    return asker.recv(64) == _TAKEN


def remove(prefix: str) -> None:
    """Remove the socket of what lingers."""
    try:
        posix.unlink(_path(prefix))
    except FileNotFoundError:
        return

"""How a new keeper takes over from the draining process of an agent that was stopped.

    PREFIX/var/agent/lingering.sock    SOCK_SEQPACKET, for root only

The keeper asks; the draining process sends each descriptor by name (as to a NOTIFY_SOCKET), the
names of the sockets that the agent has to remove, and an end. It ends once the keeper confirms that
it has everything; without the confirmation it goes on.
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
_PATIENCE = 2.0  # seconds for the other side's next message
_PAUSE = 0.02  # seconds between asking twice
_MOST = 2048  # messages
_KIND = _socket.SOCK_SEQPACKET | _socket.SOCK_CLOEXEC


class Refused(Exception):
    """A draining process hands nothing over; the message is for the administrator."""


def _path(prefix: str) -> str:
    return f"{agent_paths.directory(prefix)}/{LINGERING}.sock"


def listen(prefix: str) -> int:
    """Return a listening socket; while it exists, creates do without the agent."""
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
    """Return a draining process' descriptors, except known names, and its sockets as text.

    Nothing if there is no such process, or it is about to end: then it does not answer, and soon
    no longer accepts. Raises Refused.
    """
    until = time.monotonic() + _PATIENCE
    while True:
        caller = _socket.socket(_socket.AF_UNIX, _KIND)
        caller.settimeout(_PATIENCE)
        try:
            caller.connect(_path(prefix))
        except OSError:  # none: the lock shows whether an agent runs
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
    "the draining process of the last agent, for containers in mode observe, does not hand over "
    "their listeners. End it with SIGTERM: from then on their calls that a profile denies fail "
    "with ENOSYS."
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
    raise OSError("it sent nothing more")


def give(listening: int, held: Sequence[Named], bound: str) -> bool:
    """Hand everything over to a keeper that asks; return whether it confirmed. Waits briefly."""
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
    """Remove the draining process' socket."""
    try:
        posix.unlink(_path(prefix))
    except FileNotFoundError:
        return

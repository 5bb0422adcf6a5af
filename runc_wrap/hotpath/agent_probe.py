"""Whether an agent takes seccomp listeners: asked at a create in mode observe, and only there.

Without one the runtime would fail the create (runc: "failed to connect with seccomp agent").
"""

import _socket

_LINGERING = "/lingering.sock"  # beside notify.sock
_OTHER_TYPE = 91  # EPROTOTYPE; where it has another number, connect() to nobody is an error too
_NOBODY = " No agent listens, so the mode is audit instead of observe."


def hears(path: str) -> bool:
    """Return whether somebody accepts connections at this socket, as far as we may connect to it.

    One with a full queue does not: a runtime would wait there. What lingers after an agent accepts,
    for processes that join its containers, and records nothing: it is nobody.
    """
    return _accepts(path) and not _is_bound(path.rpartition("/")[0] + _LINGERING)


def _is_bound(path: str) -> bool:
    """Return whether a seqpacket socket is open there, without connecting (unix(7))."""
    probe = _socket.socket(_socket.AF_UNIX, _socket.SOCK_DGRAM | _socket.SOCK_CLOEXEC)
    try:
        probe.connect(path)
    except OSError as error:
        return error.errno == _OTHER_TYPE
    finally:
        probe.close()
    return True


def _accepts(path: str) -> bool:
    probe = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC)
    try:
        probe.settimeout(0)
        probe.connect(path)
    except (OSError, ValueError, TypeError):  # ValueError and TypeError: a path that none can be
        return False
    finally:
        probe.close()
    return True


def told(reason: str) -> str:
    """Return a decision's reason where observe was asked for and nobody listens."""
    return reason + _NOBODY

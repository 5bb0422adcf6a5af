"""Checks whether an agent takes seccomp listeners: at creates in mode observe only.

Without one the runtime would fail the create (runc: "failed to connect with seccomp agent").
"""

import _socket

_LINGERING = "/lingering.sock"  # beside notify.sock
_OTHER_TYPE = 91  # EPROTOTYPE; on ports with another number, connect() to no socket fails as well
_NO_AGENT = " No agent listens, so the mode is audit instead of observe."


def has_agent(path: str) -> bool:
    """Return whether a process accepts connections at this socket, if we may connect to it.

    A socket with a full queue does not count: a runtime would wait there. A draining agent accepts,
    for processes that join its containers, but records nothing: it counts as absent.
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
    except (OSError, ValueError, TypeError):  # ValueError and TypeError: an impossible path
        return False
    finally:
        probe.close()
    return True


def without_agent(reason: str) -> str:
    """Return the reason of a decision for observe when no agent listens."""
    return reason + _NO_AGENT

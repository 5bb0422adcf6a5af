"""Checks whether an agent takes seccomp listeners: at creates in mode observe only.

Without one the runtime would fail the create (runc: "failed to connect with seccomp agent").
"""

import _socket

_NO_AGENT = " No agent listens, so the mode is audit instead of observe."


def has_agent(path: str) -> bool:
    """Return whether a process accepts connections at this socket, if we may connect to it.

    A socket with a full queue does not count: a runtime would wait there.
    """
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

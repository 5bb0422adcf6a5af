"""Checks whether an agent takes seccomp listeners: at creates that observe or record only.

Without one the runtime would fail the create (runc: "failed to connect with seccomp agent").
"""

import _socket


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

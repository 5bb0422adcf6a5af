"""The process at the other end of a unix socket."""

import _socket

_SECONDS = 2.0  # for a socket to take a connection


def uid_of(connection: _socket.socket) -> int:
    """Return the uid of the process at the other end. Raises OSError."""
    return int.from_bytes(_credentials(connection)[4:8], "little")


def listener(address: str, kind: int = _socket.SOCK_STREAM) -> int:
    """Return the process that listens at a unix socket, 0 if none takes a connection in time.

    `kind` is the socket's: SOCK_STREAM or SOCK_SEQPACKET. It is who called listen(), and 0 if our
    pid namespace does not see it.
    """
    connection = _socket.socket(_socket.AF_UNIX, kind | _socket.SOCK_CLOEXEC)
    connection.settimeout(_SECONDS)
    try:
        connection.connect(address)
        return int.from_bytes(_credentials(connection)[:4], "little")
    except OSError:
        return 0
    finally:
        connection.close()


def _credentials(connection: _socket.socket) -> bytes:
    """Return struct ucred: pid, uid, gid (unix(7))."""
    return connection.getsockopt(_socket.SOL_SOCKET, _socket.SO_PEERCRED, 12)

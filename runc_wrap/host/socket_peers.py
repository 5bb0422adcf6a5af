"""The process at the other end of a socket: its uid for unix and loopback TCP, its pid for unix.

For TCP, sock_diag(7) answers one request for one pair of addresses, regardless of the number of
sockets (the cost of reading /proc/net/tcp grows with them).
"""

from __future__ import annotations

import _socket

NOBODY_KNOWN = -1
_SECONDS = 2.0  # for a socket to take a connection
_SOCK_DIAG, _BY_FAMILY, _REQUEST = 4, 20, 1  # NETLINK_SOCK_DIAG, SOCK_DIAG_BY_FAMILY, NLM_F_REQUEST
_ANY_STATE = 0xFFFFFFFF
_NO_COOKIE = b"\xff" * 8
_HEADER, _ADDRESS = 16, 16
_SIZE = _HEADER + 56  # with struct inet_diag_req_v2
_STATE = _HEADER + 1  # in struct inet_diag_msg
_UID = _HEADER + 4 + 48 + 12  # behind the id and three numbers; the socket's inode follows
_ESTABLISHED = 1
_TCP = 6


def uid_of(connection: _socket.socket) -> int:
    """Return the uid of the connecting process, NOBODY_KNOWN if the kernel does not report it."""
    try:
        if connection.family == _socket.AF_UNIX:
            return int.from_bytes(_credentials(connection)[4:8], "little")
        return _queried(connection)
    except (OSError, ValueError):
        return NOBODY_KNOWN


def pid_of(connection: _socket.socket) -> int:
    """Return the process at the other end of a unix socket: who called listen(), for its client.

    0 if it is in no pid namespace of ours. Raises OSError.
    """
    return int.from_bytes(_credentials(connection)[:4], "little")


def listener(address: str, kind: int = _socket.SOCK_STREAM) -> int:
    """Return the process that listens at a unix socket, 0 if none takes a connection in time.

    `kind` is the socket's: SOCK_STREAM or SOCK_SEQPACKET.
    """
    connection = _socket.socket(_socket.AF_UNIX, kind | _socket.SOCK_CLOEXEC)
    connection.settimeout(_SECONDS)
    try:
        connection.connect(address)
        return pid_of(connection)
    except OSError:
        return 0
    finally:
        connection.close()


def _credentials(connection: _socket.socket) -> bytes:
    """Return struct ucred: pid, uid, gid (unix(7))."""
    return connection.getsockopt(_socket.SOL_SOCKET, _socket.SO_PEERCRED, 12)


def _queried(connection: _socket.socket) -> int:
    ours, theirs = connection.getsockname(), connection.getpeername()
    kernel = _socket.socket(_socket.AF_NETLINK, _socket.SOCK_RAW | _socket.SOCK_CLOEXEC, _SOCK_DIAG)
    try:
        kernel.settimeout(0)
        kernel.send(_request(connection.family, theirs, ours))
        answer = kernel.recv(4096)  # the kernel has answered before send() returns
    finally:
        kernel.close()
    if len(answer) < _UID + 8 or int.from_bytes(answer[4:6], "little") != _BY_FAMILY:
        return NOBODY_KNOWN
    if answer[_STATE] != _ESTABLISHED or not any(answer[_UID + 4 : _UID + 8]):
        return NOBODY_KNOWN  # a socket that its process has closed is reported with uid 0
    return int.from_bytes(answer[_UID : _UID + 4], "little")


def _request(family: int, source: tuple[str, int], target: tuple[str, int]) -> bytes:
    """Return the request for the socket that is bound to `source` and connected to `target`."""
    header = _SIZE.to_bytes(4, "little") + _BY_FAMILY.to_bytes(2, "little")
    header += _REQUEST.to_bytes(2, "little") + bytes(8)
    selector = bytes((family, _TCP, 0, 0)) + _ANY_STATE.to_bytes(4, "little")
    ports = source[1].to_bytes(2, "big") + target[1].to_bytes(2, "big")
    addresses = _packed(family, source[0]) + _packed(family, target[0])
    return header + selector + ports + addresses + bytes(4) + _NO_COOKIE


def _packed(family: int, address: str) -> bytes:
    return _socket.inet_pton(family, address).ljust(_ADDRESS, b"\0")

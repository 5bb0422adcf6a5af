"""Whose connection it is: the uid at the other end of a unix or a loopback TCP socket.

Of TCP the kernel tells by sock_diag(7): one question for one pair of addresses, whatever number of
sockets there is (reading /proc/net/tcp would cost by all of them).
"""

from __future__ import annotations

import _socket

NOBODY_KNOWN = -1
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
    """Return the uid of who connected, NOBODY_KNOWN where the kernel does not tell."""
    try:
        if connection.family == _socket.AF_UNIX:
            raw = connection.getsockopt(_socket.SOL_SOCKET, _socket.SO_PEERCRED, 12)
            return int.from_bytes(raw[4:8], "little")
        return _asked(connection)
    except (OSError, ValueError):
        return NOBODY_KNOWN


def _asked(connection: _socket.socket) -> int:
    ours, theirs = connection.getsockname(), connection.getpeername()
    kernel = _socket.socket(_socket.AF_NETLINK, _socket.SOCK_RAW | _socket.SOCK_CLOEXEC, _SOCK_DIAG)
    try:
        kernel.settimeout(0)
        kernel.send(_question(connection.family, theirs, ours))
        said = kernel.recv(4096)  # the kernel has answered before send() returns
    finally:
        kernel.close()
    if len(said) < _UID + 8 or int.from_bytes(said[4:6], "little") != _BY_FAMILY:
        return NOBODY_KNOWN
    if said[_STATE] != _ESTABLISHED or not any(said[_UID + 4 : _UID + 8]):
        return NOBODY_KNOWN  # who has closed it already is told as uid 0
    return int.from_bytes(said[_UID : _UID + 4], "little")


def _question(family: int, source: tuple[str, int], target: tuple[str, int]) -> bytes:
    """Return the message that asks for the socket bound to `source` and connected to `target`."""
    header = _SIZE.to_bytes(4, "little") + _BY_FAMILY.to_bytes(2, "little")
    header += _REQUEST.to_bytes(2, "little") + bytes(8)
    asked = bytes((family, _TCP, 0, 0)) + _ANY_STATE.to_bytes(4, "little")
    ports = source[1].to_bytes(2, "big") + target[1].to_bytes(2, "big")
    addresses = _packed(family, source[0]) + _packed(family, target[0])
    return header + asked + ports + addresses + bytes(4) + _NO_COOKIE


def _packed(family: int, address: str) -> bytes:
    return _socket.inet_pton(family, address).ljust(_ADDRESS, b"\0")

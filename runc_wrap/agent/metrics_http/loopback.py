"""The TCP address of `agent --metrics`: loopback only, as metrics name workloads."""

from __future__ import annotations

import ipaddress
import socket

_WAITING = 1024  # as many as are accepted in a second (agent.metrics_http.http_server)


def listen(address: str) -> socket.socket:
    """Return a listening socket, non-blocking, closed on exec.

    Raises ValueError with a sentence unless it is a loopback address and port, OSError if taken.
    """
    host, port = _parsed(address)
    family = socket.AF_INET6 if host.version == 6 else socket.AF_INET  # noqa: PLR2004 - IPv6
    made = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((str(host), port))
        made.listen(_WAITING)
    except BaseException:
        made.close()
        raise
    return made


def _parsed(address: str) -> tuple[ipaddress.IPv4Address | ipaddress.IPv6Address, int]:
    host, _, port = address.rpartition(":")
    try:
        found = ipaddress.ip_address(host.removeprefix("[").removesuffix("]"))
        number = int(port) if port.isascii() and port.isdecimal() else -1
    except ValueError:
        number, found = -1, ipaddress.IPv4Address(0)
    if not 0 <= number < 1 << 16 or not found.is_loopback:
        raise ValueError(f"{address!r} is no loopback address and port, as 127.0.0.1:9555 is")
    return found, number

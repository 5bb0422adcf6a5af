"""The kernel's process connector (linux/cn_proc.h): a netlink socket, and the form of its messages.

It takes CAP_NET_ADMIN and the initial namespaces.
"""

from __future__ import annotations

import array
import errno
import os
import socket
import struct
from typing import TYPE_CHECKING

from runc_wrap.host import procfs

if TYPE_CHECKING:
    from collections.abc import Iterator

_BUFFER = 4 << 20
_NETLINK_CONNECTOR, _CN_IDX_PROC, _CN_VAL_PROC, _LISTEN = 11, 1, 1, 1
_HEADER, _CN = 16, 20  # struct nlmsghdr, struct cn_msg
EVENT = _HEADER + _CN
WHAT = struct.Struct("=IIQ")  # struct proc_event: what, cpu, timestamp_ns (CLOCK_MONOTONIC)
FOUR, TWO = struct.Struct("=iiii"), struct.Struct("=ii")
BODY = EVENT + WHAT.size
FORK, EXEC, EXIT = 1, 2, 0x80000000
_NLMSG_DONE = 3
_SO_ATTACH_FILTER = 26
_SO_RCVBUFFORCE = 33


class NoConnector(OSError):
    """The process connector cannot be used; the text says why."""


def connector() -> socket.socket:
    """Return a socket that receives forks, execs and exits. Raises NoConnector."""
    if not all(map(procfs.is_initial, procfs.INITIAL)):
        raise NoConnector(errno.EPERM, "the process connector is for the initial namespaces alone")
    try:
        made = socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM, _NETLINK_CONNECTOR)
    except OSError as error:
        raise NoConnector(error.errno, f"no process connector: {error.strerror}") from None
    try:
        made.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER)
        _attach_filter(made)
        made.bind((0, _CN_IDX_PROC))
        made.send(_listen())
        made.setblocking(False)  # noqa: FBT003 - socket's own
    except OSError as error:
        made.close()
        raise NoConnector(error.errno, f"no process connector: {error.strerror}") from None
    return made


def _listen() -> bytes:
    body = struct.pack("=IIIIHHI", _CN_IDX_PROC, _CN_VAL_PROC, 0, 0, 4, 0, _LISTEN)
    return struct.pack("=IHHII", _HEADER + len(body), _NLMSG_DONE, 0, 0, os.getpid()) + body


def _attach_filter(of: socket.socket) -> None:
    """Have the kernel pass on forks, execs and exits of processes only, not of threads."""
    program = array.array("B", b"".join(_filter()))
    where, length = program.buffer_info()
    of.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("HL", length // 8, where))


def _filter() -> Iterator[bytes]:
    """Yield the instructions of linux/filter.h; words are loaded in network order."""
    load, to_x, go, equal, equal_x, back = 0x20, 0x07, 0x05, 0x15, 0x1D, 0x06
    lines = [
        (load, 0, 0, EVENT),
        (equal, 10, 0, socket.htonl(EXEC)),
        (equal, 0, 4, socket.htonl(FORK)),
        (load, 0, 0, BODY + 8),  # child_pid
        (to_x, 0, 0, 0),
        (load, 0, 0, BODY + 12),  # child_tgid
        (go, 0, 0, 4),
        (equal, 0, 5, socket.htonl(EXIT)),
        (load, 0, 0, BODY),  # process_pid
        (to_x, 0, 0, 0),
        (load, 0, 0, BODY + 4),  # process_tgid
        (equal_x, 0, 1, 0),
        (back, 0, 0, 0xFFFFFFFF),
        (back, 0, 0, 0),
    ]
    for code, jump, other, value in lines:
        yield struct.pack("=HBBI", code, jump, other, value)

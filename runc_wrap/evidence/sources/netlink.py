"""Audit records live from the kernel, by the audit multicast group: beside auditd or without it.

Lean: the resident worker imports this. Sources of fact: linux:include/uapi/linux/audit.h and
linux:kernel/audit.c (kauditd_send_multicast_skb: one record a datagram, as text, to the initial
network namespace only; CAP_AUDIT_READ to join, CAP_AUDIT_CONTROL to ask for the status).
"""

from __future__ import annotations

import errno
import os
import socket
import struct
import sys
import time

from runc_wrap.evidence import records
from runc_wrap.evidence.model import AUDIT, Lost, Sighting
from runc_wrap.evidence.sources import Unavailable

AUDIT_GET, AUDIT_LIST_RULES = 1000, 1013
MOST = 4096  # datagrams that one read() takes, so that its caller gets to do other things

_NETLINK_AUDIT = 9
_SOL_NETLINK, _ADD_MEMBERSHIP, _READLOG = 270, 1, 1
_RECEIVE = 16 * 1024 * 1024  # bytes that the kernel may queue for us: some 20,000 records
_LARGEST = 64 * 1024
_HEADER = struct.Struct("=IHHII")  # struct nlmsghdr: length, type, flags, sequence, port
_REQUEST, _ACK = 1, 4
_ERROR, _DONE = 2, 3
_STATUS_LOST = 6  # the place of `lost` among struct audit_status' 32-bit words
_MEMORY, _MEMORY_BYTES = 55, 36  # SO_MEMINFO; its first word is how much is queued (sock_diag.h)
_OVERRUN = "at least one record: they came faster than they were read"
_PATIENCE = 1.0  # seconds for the kernel's answer
_ANSWERS = 4096  # messages in one answer


class Live:
    """What the kernel logs from now on. Raises Unavailable where that is not to be had.

    `fileno` becomes readable when there is something; `read` never waits.
    """

    def __init__(self) -> None:
        self._overrun = False
        self._socket = opened()
        try:
            # Without a port of its own a socket passes for the kernel's, and gets nothing.
            self._socket.bind((0, 0))
            _enlarge(self._socket)
            self._socket.setsockopt(_SOL_NETLINK, _ADD_MEMBERSHIP, _READLOG)
        except OSError as error:
            self._socket.close()
            raise Unavailable(f"the kernel's audit multicast: {error.strerror}") from None

    def fileno(self) -> int:
        """Return the descriptor to wait on."""
        return self._socket.fileno()

    def close(self) -> None:
        """Leave the group."""
        self._socket.close()

    def read(self, most: int = MOST) -> list[Sighting | Lost]:
        """Return what has come, at most so many records; what else there is, the next time."""
        found: list[Sighting | Lost] = []
        for _ in range(most):
            queued = self._queued() if self._overrun else 0
            try:
                datagram, sender = self._socket.recvfrom(_LARGEST)
            except BlockingIOError:
                found += self._hole()
                break
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
                found += self._hole()  # of the last time, if its place was not seen
                self._overrun = True
                continue
            item = _item(datagram) if sender[0] == 0 else None  # port 0 is the kernel
            if item:
                found.append(item)
            if self._overrun and not 0 < self._queued() < queued:
                found += self._hole()
        return found

    def _queued(self) -> int:
        raw = self._socket.getsockopt(socket.SOL_SOCKET, _MEMORY, _MEMORY_BYTES)
        return int.from_bytes(raw[:4], sys.byteorder)

    def _hole(self) -> list[Lost]:
        """Tell of an overrun in its place among the records.

        It is told by an error before what was queued till then, and nothing more is queued until
        all of that is read (linux:net/netlink/af_netlink.c, NETLINK_S_CONGESTED): the hole is where
        the queue is empty, or no shorter for having been read.
        """
        if not self._overrun:
            return []
        self._overrun = False
        return [Lost(time.time(), 1, AUDIT, _OVERRUN)]


def kernel_lost() -> int | None:
    """Return how many audit records the kernel has dropped since boot; None if it does not say."""
    answer = asked(AUDIT_GET)
    words = [message for kind, message in answer or () if kind == AUDIT_GET]
    if not words or len(words[0]) < 4 * (_STATUS_LOST + 1):
        return None
    lost: int = struct.unpack_from("=I", words[0], 4 * _STATUS_LOST)[0]
    return lost


def asked(kind: int) -> list[tuple[int, bytes]] | None:
    """Return the kernel's answer to a request without content: types and contents; None if none.

    Waits at most a second for each message.
    """
    try:
        with opened() as asking:
            asking.settimeout(_PATIENCE)
            asking.sendto(_HEADER.pack(_HEADER.size, kind, _REQUEST | _ACK, 1, 0), (0, 0))
            return _answer(asking, kind)
    except (OSError, Unavailable):
        return None


def opened() -> socket.socket:
    """Return a socket to the kernel's audit. Raises Unavailable if the kernel has none."""
    try:
        return socket.socket(
            socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, _NETLINK_AUDIT
        )
    except OSError as error:
        reason = os.strerror(error.errno or 0)
        raise Unavailable(
            f"the kernel has no audit (built without, or audit=0): {reason}"
        ) from None


def _answer(asking: socket.socket, kind: int) -> list[tuple[int, bytes]] | None:
    """Read an answer: a status is one message, rules end with DONE; an ACK comes before either."""
    found: list[tuple[int, bytes]] = []
    for _ in range(_ANSWERS):
        datagram, sender = asking.recvfrom(_LARGEST)
        if sender[0] != 0 or len(datagram) < _HEADER.size:
            continue
        _, got, _, _, _ = _HEADER.unpack_from(datagram)
        content = datagram[_HEADER.size :]
        if got == _DONE:
            return found
        if got == _ERROR and content[:4] != bytes(4):
            return None
        if got == kind:
            found.append((got, content))
            if kind == AUDIT_GET:
                return found
    return None


def _enlarge(receiver: socket.socket) -> None:
    try:
        receiver.setsockopt(socket.SOL_SOCKET, 33, _RECEIVE)  # SO_RCVBUFFORCE, CAP_NET_ADMIN
    except PermissionError:
        receiver.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE)


def _item(datagram: bytes) -> Sighting | Lost | None:
    if len(datagram) < _HEADER.size or _HEADER.unpack_from(datagram)[1] != records.TYPE:
        return None
    found = records.payload(datagram[_HEADER.size :].rstrip(b"\0\n"))
    return found or Lost(time.time(), 1, AUDIT, "a damaged SECCOMP record from the kernel")

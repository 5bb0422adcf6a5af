"""Live audit records from the kernel's audit multicast group, with or without auditd.

Sources of fact: linux:include/uapi/linux/audit.h and
linux:kernel/audit.c (kauditd_send_multicast_skb: one record a datagram, as text, to the initial
network namespace only; CAP_AUDIT_READ to join, CAP_AUDIT_CONTROL to ask for the status).

The kernel queues records here until they take twice _RECEIVE; then it drops and counts all new ones
until the queue is empty (linux:net/netlink/af_netlink.c, NETLINK_S_CONGESTED, sk_drops). A filter
lets only SECCOMP records into the queue, so that only those are counted. Serial numbers would say
less: they count records of all types.
"""

import array
import errno
import socket
import struct
import time
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from runc_wrap.evidence.sightings import AUDIT, LossSpan, Sighting
from runc_wrap.evidence.sources import Unavailable, audit_record

AUDIT_GET, AUDIT_LIST_RULES = 1000, 1013
MOST = 4096  # datagrams that one read() takes, so that its caller can do other work

_NETLINK_AUDIT = 9
_SOL_NETLINK, _ADD_MEMBERSHIP, _READLOG = 270, 1, 1
_RECEIVE = 32 * 1024 * 1024  # bytes; the kernel reserves twice that: some 80,000 records
_LARGEST = 64 * 1024
_LARGEST_RECORD = 16 * 1024  # linux:MAX_AUDIT_MESSAGE_LENGTH is 8970
_HEADER = struct.Struct("=IHHII")  # struct nlmsghdr: length, type, flags, sequence, port
_REQUEST, _ACK = 1, 4
_ERROR, _DONE = 2, 3
# indexes of struct audit_status' 32-bit words
STATUS_PID, STATUS_RATE_LIMIT, STATUS_LOST, STATUS_BACKLOG, STATUS_WAITS = 3, 4, 6, 7, 9
_MEMORY, _WORDS = 55, struct.Struct("=9I")  # SO_MEMINFO: linux/sock_diag.h lists its words
_QUEUED, _DROPS = 0, 8
_ATTACH_FILTER = 26  # SO_ATTACH_FILTER
_FILTER = (  # SECCOMP records only; half words are loaded in network order
    (0x28, 0, 0, 4),  # nlmsg_type
    (0x15, 0, 1, socket.htons(audit_record.TYPE)),
    (0x06, 0, 0, 0xFFFFFFFF),
    (0x06, 0, 0, 0),
)
_OVERRUN = "they came faster than they were read"
_LATE = 1.0  # seconds by which a record may come later than one that was begun after it
_PASSED = 0.25  # seconds: a record proves that those this much older have come
_STAMP = 16 + len("audit(")  # offset of a record's time in a datagram
_STAMP_END = _STAMP + len("1700000000.000")
_PATIENCE = 1.0  # seconds for the kernel's answer
_ANSWERS = 4096  # messages in one answer


class Live:
    """Records that the kernel logs from now on. Raises Unavailable if it cannot be joined.

    `fileno` is readable when there is something; `read` never waits.
    """

    def __init__(self) -> None:
        self._overrun = False
        self._is_dry = False
        self._drops = 0
        self._last = b"%.3f" % time.time()  # the time of the last record that was read
        self._socket = opened()
        try:
            # Without its own port a socket counts as the kernel's, and receives nothing.
            self._socket.bind((0, 0))
            _enlarge(self._socket)
            attach_filter(self._socket, _FILTER)
            self._socket.setsockopt(_SOL_NETLINK, _ADD_MEMBERSHIP, _READLOG)
        except OSError as error:
            self._socket.close()
            why = f"the kernel's audit records cannot be read: {error.strerror}"
            raise Unavailable(f"{why}; the node's root may") from None

    def has_told(self, when: float) -> bool:
        """Return whether everything logged by then was read; valid a moment after that time."""
        if self._is_dry:
            words = status()
            return len(words) <= STATUS_BACKLOG or not words[STATUS_BACKLOG]
        return self.last > when + _PASSED

    @property
    def last(self) -> float:
        """The time of the last record read, or of the start if none was."""
        try:
            return float(self._last)
        except ValueError:
            return 0.0

    def fileno(self) -> int:
        """Return the descriptor to wait on."""
        return self._socket.fileno()

    def close(self) -> None:
        """Leave the group."""
        self._socket.close()

    def read(self, most: int = MOST) -> list[Sighting | LossSpan]:
        """Return records that have come, at most so many; the next call returns more."""
        items = (one if isinstance(one, LossSpan) else _item(one) for one in self._taken(most))
        return [item for item in items if item]

    def counts(self, most: int = MOST) -> "list[Counted | LossSpan]":
        """Return the same with equal records grouped: parsing each would take far longer."""
        found: list[Counted | LossSpan] = []
        groups: dict[tuple[bytes, bytes], list[bytes]] = {}  # the first, the others' serials
        for one in self._taken(most):
            if isinstance(one, LossSpan):
                found += [*_counted(groups), one]
                groups.clear()
                continue
            head, _, body = one.partition(b"): ")
            stamp, _, serial = head.rpartition(b":")
            group = groups.setdefault((stamp, body), [one])
            if group[0] is not one:
                group.append(serial)
        return found + _counted(groups)

    def _taken(self, most: int) -> Iterator[bytes | LossSpan]:
        """Yield the kernel's datagrams, and each loss in its place among them."""
        receive = self._socket.recvfrom
        self._is_dry = False
        for _ in range(most):
            queued = self._memory(_QUEUED) if self._overrun else 0
            try:
                datagram, sender = receive(_LARGEST_RECORD)
            except BlockingIOError:
                self._is_dry = True
                yield from self._hole()
                return
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
                yield from self._hole()  # an earlier loss whose place was not found
                self._overrun = True
                continue
            if sender[0] == 0:  # port 0 is the kernel
                self._last = datagram[_STAMP:_STAMP_END]
                yield datagram
            if self._overrun and not 0 < self._memory(_QUEUED) < queued:
                yield from self._hole()

    def _memory(self, word: int) -> int:
        raw = self._socket.getsockopt(socket.SOL_SOCKET, _MEMORY, _WORDS.size)
        found: int = _WORDS.unpack(raw)[word]
        return found

    def _hole(self) -> list[LossSpan]:
        """Return an overrun in its place among the records: it lasts from the last one until now.

        The kernel reports it by an error before the datagrams queued until then, and queues nothing
        more until all of those are read: the loss is where the queue is empty, or where reading
        does not shorten it.
        """
        if not self._overrun:
            return []
        self._overrun = False
        before, self._drops = self._drops, self._memory(_DROPS)
        dropped = (self._drops - before) % (1 << 32)
        begin = max(self.last - _LATE, 0.0)
        return [LossSpan(time.time(), max(dropped, 1), AUDIT, _OVERRUN, begin)]


class Counted(NamedTuple):
    """Records that differ only in their serials: same time, process, call and instruction.

    `one` is the first, `last` the serial of the last.
    """

    one: Sighting
    times: int
    last: int


def _counted(groups: dict[tuple[bytes, bytes], list[bytes]]) -> list[Counted | LossSpan]:
    found: list[Counted | LossSpan] = []
    for first, *others in groups.values():
        item, times = _item(first), 1 + len(others)
        if isinstance(item, Sighting):
            last = int(others[-1]) if others and others[-1].isdigit() else item.serial
            found.append(Counted(item, times, last))
        elif item:
            found.append(item._replace(records=times))
    return found


def kernel_lost() -> int | None:
    """Return how many audit records the kernel has dropped since boot; None if unknown."""
    words = status()
    return words[STATUS_LOST] if len(words) > STATUS_LOST else None


def status() -> tuple[int, ...]:
    """Return the words of struct audit_status, () if the kernel does not answer."""
    answer = asked(AUDIT_GET)
    found = [message for kind, message in answer or () if kind == AUDIT_GET]
    return struct.unpack_from(f"={len(found[0]) // 4}I", found[0]) if found else ()


def asked(kind: int) -> list[tuple[int, bytes]] | None:
    """Return the kernel's answer to a request without content: (type, content) each, or None.

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
    """Return a socket to the kernel's audit. Raises Unavailable if the kernel has no audit."""
    try:
        kind = socket.SOCK_RAW | socket.SOCK_NONBLOCK
        return socket.socket(socket.AF_NETLINK, kind, _NETLINK_AUDIT)
    except OSError as error:
        raise Unavailable(f"the kernel has no audit (or audit=0): {error.strerror}") from None


def _answer(asking: socket.socket, kind: int) -> list[tuple[int, bytes]] | None:
    """Read an answer: a status is one message, rules end with DONE; an ACK precedes both."""
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


def attach_filter(of: socket.socket, lines: Sequence[tuple[int, int, int, int]]) -> None:
    """Have the kernel queue only what these instructions (linux/filter.h) let through."""
    program = array.array("B", b"".join(struct.pack("=HBBI", *line) for line in lines))
    where, _ = program.buffer_info()
    of.setsockopt(socket.SOL_SOCKET, _ATTACH_FILTER, struct.pack("HL", len(lines), where))


def _item(datagram: bytes) -> Sighting | LossSpan | None:
    if len(datagram) < _HEADER.size or _HEADER.unpack_from(datagram)[1] != audit_record.TYPE:
        return None
    found = audit_record.payload(datagram[_HEADER.size :].rstrip(b"\0\n"))
    return found or LossSpan(time.time(), 1, AUDIT, "a damaged SECCOMP record from the kernel")

"""The kernel's process connector (linux/cn_proc.h): its netlink socket and messages, and losses.

It reports each fork, exec and exit with its time. It takes CAP_NET_ADMIN and the initial
namespaces.
"""

import errno
import os
import socket
import struct
import time
from collections.abc import Callable

from runc_wrap.evidence.sightings import COARSE, LossSpan
from runc_wrap.evidence.sources import audit_netlink
from runc_wrap.host import procfs

SOURCE = "processes"
_OVERRUN = "at least one: more processes came and went than fit"

_BUFFER = 4 << 20
_NETLINK_CONNECTOR, _CN_IDX_PROC, _CN_VAL_PROC, _LISTEN = 11, 1, 1, 1
_HEADER, _CN = 16, 20  # struct nlmsghdr, struct cn_msg
_EVENT = _HEADER + _CN
_WHAT = struct.Struct("=IIQ")  # struct proc_event: what, cpu, timestamp_ns (CLOCK_MONOTONIC)
_FOUR, _TWO = struct.Struct("=iiii"), struct.Struct("=ii")
_BODY = _EVENT + _WHAT.size
_FORK, _EXEC, _EXIT = 1, 2, 0x80000000
_NLMSG_DONE = 3
_SO_RCVBUFFORCE = 33


def connector() -> socket.socket:
    """Return a socket that receives forks, execs and exits. Raises OSError."""
    if not all(map(procfs.is_initial, procfs.INITIAL)):
        raise OSError(errno.EPERM, "it is for the initial namespaces alone")
    made = socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM, _NETLINK_CONNECTOR)
    try:
        made.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER)
        audit_netlink.attach_filter(made, _filter())
        made.bind((0, _CN_IDX_PROC))
        body = struct.pack("=IIIIHHI", _CN_IDX_PROC, _CN_VAL_PROC, 0, 0, 4, 0, _LISTEN)
        head = struct.pack("=IHHII", _HEADER + len(body), _NLMSG_DONE, 0, 0, os.getpid())
        made.send(head + body)
        made.setblocking(False)  # noqa: FBT003 - socket's own
    except OSError:
        made.close()
        raise
    return made


def _filter() -> list[tuple[int, int, int, int]]:
    """Return instructions that pass on forks, execs and exits of processes, not of threads.

    Words are loaded in network order.
    """
    load, to_x, go, equal, equal_x, back = 0x20, 0x07, 0x05, 0x15, 0x1D, 0x06
    return [
        (load, 0, 0, _EVENT),
        (equal, 10, 0, socket.htonl(_EXEC)),
        (equal, 0, 4, socket.htonl(_FORK)),
        (load, 0, 0, _BODY + 8),  # child_pid
        (to_x, 0, 0, 0),
        (load, 0, 0, _BODY + 12),  # child_tgid
        (go, 0, 0, 4),
        (equal, 0, 5, socket.htonl(_EXIT)),
        (load, 0, 0, _BODY),  # process_pid
        (to_x, 0, 0, 0),
        (load, 0, 0, _BODY + 4),  # process_tgid
        (equal_x, 0, 1, 0),
        (back, 0, 0, 0xFFFFFFFF),
        (back, 0, 0, 0),
    ]


class ProcessNews:
    """What the connector reports, in its order. `fileno` is readable when there is something.

    `problem` says why there is no connector, "" if there is one; without one `fileno` is -1.
    `latest` is the time of the latest message, 0.0 for none; `taken` their number; `is_dry`: all
    were read. `scan` is called after a loss.
    """

    def __init__(
        self,
        forked: Callable[[int, int, float], None],
        executed: Callable[[int, float], None],
        exited: Callable[[int, float], None],
        scan: Callable[[], None],
    ) -> None:
        self._forked, self._executed, self._exited, self._scan = forked, executed, exited, scan
        self.latest = 0.0
        self.is_dry = True
        self.taken = 0
        self._hole_since = 0.0  # the time of the last news before a loss; 0.0: none was lost
        self._began = time.time()
        self.problem = ""
        self._socket: socket.socket | None = None
        try:
            self._socket = connector()
        except OSError as error:
            self.problem = f"no process connector: {error.strerror}"

    def fileno(self) -> int:
        """Return the connector's descriptor, -1 if there is none."""
        return self._socket.fileno() if self._socket else -1

    def close(self) -> None:
        """Close the connector."""
        if self._socket:
            self._socket.close()

    def read(self, most: int = 1 << 30) -> list[LossSpan]:
        """Read at most `most` messages of the kernel; return the losses for want of room.

        `is_dry` says whether those were all. After a loss /proc is scanned, but only once the queue
        is empty: until then the kernel queues nothing more. The loss lasts from the last message
        before it to the end of the scan. Processes that started and ended meanwhile are unknown,
        and so are their children.
        """
        lost: list[LossSpan] = []
        self.is_dry = self._socket is None
        for _ in range(most if self._socket else 0):
            try:
                message = self._socket.recv(4096)  # type: ignore[union-attr]  # not in this loop
            except BlockingIOError:
                self.is_dry = True
                break
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
                begin = self.latest or self._began
                lost.append(LossSpan(time.time(), 1, SOURCE, _OVERRUN, begin))
                self._hole_since = self._hole_since or begin
                continue
            self.taken += 1
            self.take(message)
        if self._hole_since and self.is_dry:
            begin, self._hole_since = self._hole_since, 0.0
            self._scan()
            lost.append(LossSpan(time.time(), 0, SOURCE, _OVERRUN, begin))
        return lost

    def has_told(self, when: float) -> bool:
        """Return whether all news up to then was read."""
        return self.is_dry or self.latest > when + COARSE

    def take(self, message: bytes) -> None:
        """Take in one message of the connector."""
        if len(message) < _BODY + _FOUR.size:
            return
        what, _, ticks = _WHAT.unpack_from(message, _EVENT)
        when = self.latest = ticks / 1e9 + _offset()
        if what == _FORK:
            _, parent, child, process = _FOUR.unpack_from(message, _BODY)
            if child == process:
                self._forked(parent, child, when)
        elif what == _EXEC:
            _, process = _TWO.unpack_from(message, _BODY)
            self._executed(process, when)
        elif what == _EXIT:
            thread, process = _TWO.unpack_from(message, _BODY)
            if thread == process:
                self._exited(process, when)


def _offset() -> float:
    return procfs.began(time.CLOCK_MONOTONIC)

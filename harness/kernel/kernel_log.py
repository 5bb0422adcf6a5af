"""What the kernel itself logged or denied, and for which workload, without our own code.

Every workload is started with a unique login uid (/proc/PID/loginuid). Processes inherit it
forever, and the kernel writes it into each audit record as `auid=`: so a record is attributed
without pid, process tree or timing, however short the process lived.

Records come from audit's multicast group. After a run a marker is sent through the same queue, so
the end is known without waiting. Records that the socket could not hold are counted.
"""

import errno
import itertools
import os
import re
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import NamedTuple

from harness.node.requirements import unmet

LOGGED, ERRNO = 0x7FFC0000, 0x50000  # SECCOMP_RET_LOG, SECCOMP_RET_ERRNO
X86_64, I386 = 0xC000003E, 0x40000003
_NETLINK_AUDIT, _READLOG, _SO_RCVBUFFORCE = 9, 1, 33
_SECCOMP, _USER_AVC = 1326, 1107  # the kernel takes USER_AVC even while auditing is off
_REQUEST_ACK = 1 | 4
_HEADER = struct.Struct("=IHHII")
_ROOM = 64 * 1024 * 1024
_FIELDS = re.compile(
    rb"auid=(\d+) .*?\bpid=(\d+) comm=(\S+) exe=.* arch=(\w+) syscall=(\d+) .* code=0x([0-9a-f]+)"
)
_AUIDS = itertools.count(1_000_000 + os.getpid() * 1000)
_AS = 'echo "$0" >/proc/self/loginuid && exec "$@"'


class Said(NamedTuple):
    """One record: its workload's login uid, and the call."""

    auid: int
    pid: int
    comm: str  # as the record has it: quoted, or hexadecimal
    arch: int
    number: int
    code: int


@dataclass
class Told:
    """The records of a block; complete once the block has ended."""

    records: list[Said] = field(default_factory=list)
    overruns: int = 0

    def of(self, auid: int, code: int) -> list[Said]:
        """Return the records of one workload with this SECCOMP_RET_*."""
        return [one for one in self.records if (one.auid, one.code) == (auid, code)]

    def calls(self, auid: int, code: int) -> set[tuple[int, int]]:
        """Return the same as a set of (arch, number)."""
        return {(one.arch, one.number) for one in self.of(auid, code)}


def new_auid() -> int:
    """Return a login uid that is unique in this run."""
    return next(_AUIDS)


def as_workload(auid: int) -> list[str]:
    """Return the words that start a program with this login uid, in place."""
    return ["sh", "-c", _AS, str(auid)]


def parse(text: bytes) -> Said | None:
    """Return the parsed text of one record, None if it is not a seccomp record."""
    found = _FIELDS.search(text)
    if found is None:
        return None
    auid, pid, comm, arch, number, code = found.groups()
    return Said(int(auid), int(pid), comm.decode(), int(arch, 16), int(number), int(code, 16))


@contextmanager
def told() -> Iterator[Told]:
    """Collect the kernel's records while the block runs, in a separate thread."""
    result = Told()
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_AUDIT) as audit:
        try:
            audit.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _ROOM)
            audit.bind((0, _READLOG))
        except PermissionError:
            unmet("needs CAP_AUDIT_READ")
        marker = os.urandom(16).hex()
        reader = threading.Thread(target=_read, args=(audit, marker.encode(), result), daemon=True)
        reader.start()
        try:
            yield result
        finally:
            _mark(marker)
            reader.join(60)
        assert not reader.is_alive(), "the marker did not come back: is auditing off (audit=0)?"


def settle() -> None:
    """Wait until the kernel has delivered all records so far."""
    with told():
        pass


def _read(audit: socket.socket, marker: bytes, into: Told) -> None:
    audit.settimeout(60)
    while True:
        try:
            message = audit.recv(9000)
        except TimeoutError:
            return
        except OSError as error:
            if error.errno != errno.ENOBUFS:
                raise
            into.overruns += 1
            continue
        kind = int.from_bytes(message[4:6], "little")
        if _is_mark(message, marker):
            return
        if kind == _SECCOMP and (record := parse(message[_HEADER.size :])):
            into.records.append(record)


def _is_mark(message: bytes, marker: bytes) -> bool:
    """Return whether this is the record that `_mark` sent."""
    return int.from_bytes(message[4:6], "little") == _USER_AVC and marker in message


def _mark(marker: str) -> None:
    """Send a marker until audit accepts it: its queue may be full."""
    text = f"marker={marker}\0".encode()
    head = _HEADER.pack(_HEADER.size + len(text), _USER_AVC, _REQUEST_ACK, 1, 0)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_AUDIT) as audit:
        audit.bind((0, 0))
        audit.settimeout(10)
        audit.send(head + text)
        answer = audit.recv(9000)
    (status,) = struct.unpack_from("=i", answer, _HEADER.size)
    assert status == 0, f"audit refused the marker: {os.strerror(-status)}"

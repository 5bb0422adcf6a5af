"""The live audit source, with a socket pair in the kernel's place."""

from __future__ import annotations

import errno
import struct
from typing import TYPE_CHECKING

from runc_wrap.evidence import records
from runc_wrap.evidence.model import Lost
from runc_wrap.evidence.sources import netlink

if TYPE_CHECKING:
    import pytest

LENGTH = 700  # bytes that a record takes in the queue


class Congested:
    """A netlink socket: after an overrun nothing is queued until the queue is empty."""

    def __init__(self, before: list[bytes], after: list[bytes], sender: int = 0) -> None:
        self.error = True
        self.sender = sender  # a port; the kernel's is 0
        self.queue = before
        self.after = after

    def recvfrom(self, _size: int) -> tuple[bytes, tuple[int, int]]:
        if self.error:
            self.error = False
            raise OSError(errno.ENOBUFS, "No buffer space available")
        if not self.queue:
            raise BlockingIOError
        found = self.queue.pop(0)
        if not self.queue:  # from here on there is room
            self.queue, self.after = self.after, []
        return found, (self.sender, 0)

    def getsockopt(self, *_words: int) -> bytes:
        return struct.pack("=9I", LENGTH * len(self.queue), *[0] * 8)


def record(serial: int) -> bytes:
    text = (
        f"audit(1700000000.{serial:03}:{serial}): auid=0 uid=0 gid=0 ses=1 subj=unconfined pid=7 "
        'comm="x" exe="/x" sig=0 arch=c000003e syscall=39 compat=0 ip=0x1 code=0x7ffc0000'
    ).encode()
    return struct.pack("=IHHII", 16 + len(text), records.TYPE, 0, 0, 0) + text


def live(monkeypatch: pytest.MonkeyPatch, before: int, after: int, sender: int = 0) -> netlink.Live:
    made = netlink.Live.__new__(netlink.Live)
    queue = [record(serial) for serial in range(1, before + 1)]
    later = [record(serial) for serial in range(101, after + 101)]
    monkeypatch.setattr(made, "_socket", Congested(queue, later, sender), raising=False)
    monkeypatch.setattr(made, "_overrun", False, raising=False)
    return made


def test_an_overrun_is_told_where_records_are_missing_and_not_before_what_was_queued(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for most in (2, 100):  # also in several turns
        source = live(monkeypatch, 5, 1)
        found = [one for _ in range(5) for one in source.read(most)]
        told = ["lost" if isinstance(one, Lost) else one.serial for one in found]
        assert told == [1, 2, 3, 4, 5, "lost", 101]


def test_an_overrun_before_silence_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    found = live(monkeypatch, 1, 0).read()
    assert [isinstance(one, Lost) for one in found] == [False, True]


def test_what_another_process_sends_is_no_record_of_the_kernels(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whoever has CAP_NET_ADMIN in our network namespace may send to the group."""
    forged = live(monkeypatch, 3, 1, sender=4711).read()
    assert [isinstance(one, Lost) for one in forged] == [True]  # only the overrun, our own word
    genuine = live(monkeypatch, 3, 1).read()
    assert [isinstance(one, Lost) for one in genuine].count(False) == 4

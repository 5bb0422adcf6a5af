"""The live audit source, with a socket pair instead of the kernel."""

import errno
import struct
import time
from collections.abc import Callable

import pytest

from runc_wrap.evidence.sightings import LossSpan
from runc_wrap.evidence.sources import audit_netlink, audit_record

LENGTH = 700  # bytes that a record takes in the queue


class Congested:
    """A netlink socket: after an overrun nothing is queued until the queue is empty."""

    def __init__(self, before: list[bytes], after: list[bytes], sender: int = 0) -> None:
        self.error = True
        self.sender = sender  # a port; the kernel's is 0
        self.queue = before
        self.after = after
        self.dropped = 7

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
        return struct.pack("=9I", LENGTH * len(self.queue), *[0] * 7, self.dropped)


def record(serial: int) -> bytes:
    text = (
        f"audit(1700000000.{serial:03}:{serial}): auid=0 uid=0 gid=0 ses=1 subj=unconfined pid=7 "
        'comm="x" exe="/x" sig=0 arch=c000003e syscall=39 compat=0 ip=0x1 code=0x7ffc0000'
    ).encode()
    return struct.pack("=IHHII", 16 + len(text), audit_record.TYPE, 0, 0, 0) + text


Make = Callable[..., audit_netlink.Live]


@pytest.fixture
def live(monkeypatch: pytest.MonkeyPatch) -> Make:
    """Make a source of so many records before and after a loss, or of these."""

    def make(before: int | list[bytes], after: int = 0, sender: int = 0) -> audit_netlink.Live:
        made = audit_netlink.Live.__new__(audit_netlink.Live)
        made._drops, made._is_dry, made._last = 4, False, b"1699999999.000"  # noqa: SLF001 - as opened
        queue = before if isinstance(before, list) else [record(1 + at) for at in range(before)]
        fake = Congested(queue, [record(101 + at) for at in range(after)], sender)
        fake.error = not isinstance(before, list)
        monkeypatch.setattr(made, "_socket", fake, raising=False)
        monkeypatch.setattr(made, "_overrun", False, raising=False)
        return made

    return make


def test_an_overrun_is_reported_at_the_gap_and_after_the_queued_records(live: Make) -> None:
    for most in (2, 100):  # also in several turns
        source = live(5, 1)
        found = [one for _ in range(5) for one in source.read(most)]
        told = ["lost" if isinstance(one, LossSpan) else one.serial for one in found]
        assert told == [1, 2, 3, 4, 5, "lost", 101]
    assert [isinstance(one, LossSpan) for one in live(1, 0).read()] == [False, True]


def test_a_message_from_another_process_is_not_a_kernel_record(live: Make) -> None:
    """Whoever has CAP_NET_ADMIN in our network namespace may send to the group."""
    forged = live(3, 1, sender=4711).read()
    assert [isinstance(one, LossSpan) for one in forged] == [True]  # only the overrun, our own word
    assert [isinstance(one, LossSpan) for one in live(3, 1).read()].count(False) == 4


def test_a_gap_lasts_from_the_last_record_before_it_and_has_the_kernels_count(live: Make) -> None:
    before = time.time()
    (_, lost, _) = live(1, 1).read()
    assert isinstance(lost, LossSpan)
    assert lost.records == 3  # the kernel's counter was at 4
    assert lost.begin == pytest.approx(1700000000.001 - 1.0)
    assert before <= lost.time <= time.time()


def test_records_that_differ_only_in_their_serials_are_counted_together(live: Make) -> None:
    queue = [again(record(1), serial) for serial in (1, 2, 3)]
    queue += [record(5), again(record(5), 6).replace(b"pid=7", b"pid=8"), again(record(5), 7)]
    found = [one for one in live(queue).counts() if isinstance(one, audit_netlink.Counted)]
    told = [(one.one.serial, one.times, one.last, one.one.pid) for one in found]
    assert told == [(1, 3, 3, 7), (5, 2, 7, 7), (6, 1, 6, 8)]


def test_counts_are_returned_before_the_gap_that_follows_them(live: Make) -> None:
    found = live(3, 2).counts()
    told = ["lost" if isinstance(one, LossSpan) else one.one.serial for one in found]
    assert told == [1, 2, 3, "lost", 101, 102]


def again(datagram: bytes, serial: int) -> bytes:
    """Return the same record with another serial."""
    head, _, rest = datagram.partition(b"): ")
    return head.rpartition(b":")[0] + b":%d): " % serial + rest

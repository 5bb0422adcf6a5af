"""Audit records from /dev/kmsg, the kernel's own log: a bounded ring, rate limited.

The kernel prints records only while no auditd is connected (linux:kernel/audit.c,
kauditd_printk_skb). Only facility 0 is the kernel's; what programs write to /dev/kmsg is not.
"""

import os
import time
from collections.abc import Iterator
from pathlib import Path

from runc_wrap.evidence.sightings import AUDIT, LossSpan, Sighting
from runc_wrap.evidence.sources import Unavailable
from runc_wrap.evidence.sources.line_stream import Lines

PATH = Path("/dev/kmsg")
_DIGITS = 20  # of a 64 bit sequence number
_LARGEST = 16 * 1024  # bytes of a record, twice the kernel's CONSOLE_EXT_LOG_MAX


class Ring:
    """The ring, from its oldest record on; to be read once."""

    def __init__(self, path: Path = PATH) -> None:
        self._path = path
        self._lines = Lines("/dev/kmsg")
        self._sequence: int | None = None

    def read(self, since: float, until: float) -> Iterator[Sighting | LossSpan]:  # noqa: ARG002 - gathering cuts
        """Yield the ring's records; does not wait for new ones. Raises Unavailable."""
        try:
            descriptor = os.open(self._path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            raise Unavailable(f"{self._path}: {error.strerror}") from None
        try:
            for record in _records(descriptor):
                yield from self._one(record)
        finally:
            os.close(descriptor)
        yield from self._lines.settle(time.time())

    def _one(self, record: bytes) -> list[Sighting | LossSpan]:
        line = record.partition(b"\n")[0]
        missed = self._missed(line)
        before = self._lines.time
        found = self._lines.feed(line + b"\n")
        if missed <= 0:
            return found
        why = "messages of all kinds, overwritten in the kernel's ring before they were read"
        return [LossSpan(time.time(), missed, AUDIT, why, before), *found]

    def _missed(self, line: bytes) -> int:
        """Return how many messages were missed between the last one and this."""
        number = line.split(b",", 2)[1:2]
        if not number or not number[0].isdigit():
            return 0
        before, self._sequence = self._sequence, int(number[0][:_DIGITS])
        return self._sequence - before - 1 if before is not None else 0


def _records(descriptor: int) -> Iterator[bytes]:
    while True:
        try:
            record = os.read(descriptor, _LARGEST)
        except BlockingIOError:
            return
        except BrokenPipeError:  # overrun: the next record's sequence number shows how large
            continue
        if not record:
            return
        yield record

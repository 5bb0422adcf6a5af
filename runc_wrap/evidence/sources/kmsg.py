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
_OVERWRITTEN = "messages of all kinds, overwritten in the kernel's ring before they were read"
_LARGEST = 16 * 1024  # bytes of a record, twice the kernel's CONSOLE_EXT_LOG_MAX


def read() -> Iterator[Sighting | LossSpan]:
    """Yield the ring's records; does not wait for new ones. Raises Unavailable."""
    try:
        descriptor = os.open(PATH, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise Unavailable(f"{PATH}: {error.strerror}") from None
    lines, before = Lines("/dev/kmsg"), None
    try:
        for record in _records(descriptor):
            line = record.partition(b"\n")[0]
            number = _sequence(line)
            if number is not None:
                if before is not None and number > before + 1:
                    missed = number - before - 1
                    yield LossSpan(time.time(), missed, AUDIT, _OVERWRITTEN, lines.time)
                before = number
            yield from lines.feed(line + b"\n")
    finally:
        os.close(descriptor)
    yield from lines.settle(time.time())


def _sequence(line: bytes) -> int | None:
    number = line.split(b",", 2)[1:2]
    return int(number[0][:_DIGITS]) if number and number[0].isdigit() else None


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

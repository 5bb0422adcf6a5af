"""Audit records from /dev/kmsg, the kernel's own log: a bounded ring, rate limited.

The kernel prints records only while no auditd is connected (linux:kernel/audit.c,
kauditd_printk_skb). Only facility 0 is the kernel's; what programs write to /dev/kmsg is not.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

from runc_wrap.evidence.sightings import AUDIT, LossSpan, Sighting
from runc_wrap.evidence.sources import Unavailable
from runc_wrap.evidence.sources.line_stream import Lines

if TYPE_CHECKING:
    from collections.abc import Iterator

PATH = Path("/dev/kmsg")
MOST = 65536  # records that one read() takes
_DIGITS = 20  # of a 64 bit sequence number
_LARGEST = 16 * 1024  # bytes of a record, twice the kernel's CONSOLE_EXT_LOG_MAX


class Ring:
    """The ring from its oldest record on; `read_new` continues where the last call ended."""

    def __init__(self, path: Path = PATH) -> None:
        self._path = path
        self._lines = Lines("/dev/kmsg")
        self._sequence: int | None = None
        self._descriptor = -1

    def fileno(self) -> int:
        """Return the descriptor to wait on; raises Unavailable if it cannot be opened."""
        if self._descriptor < 0:
            try:
                self._descriptor = os.open(self._path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            except OSError as error:
                raise Unavailable(f"{self._path}: {error.strerror}") from None
        return self._descriptor

    def close(self) -> None:
        """Close it; it may be opened again, from the ring's oldest record on."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
        self._descriptor = -1

    def read(self, since: float, until: float) -> Iterator[Sighting | LossSpan]:  # noqa: ARG002 - gathering cuts
        """Yield the ring's records. Raises Unavailable."""
        while found := self.read_new():
            yield from found

    def read_new(self) -> list[Sighting | LossSpan]:
        """Return records new since the last call, at most MOST; never waits."""
        found: list[Sighting | LossSpan] = []
        for _ in range(MOST):
            try:
                record = os.read(self.fileno(), _LARGEST)
            except BlockingIOError:
                break
            except BrokenPipeError:  # overrun: the next record's sequence number shows how large
                continue
            if not record:
                break
            found += self._one(record)
        return found + self._lines.settle(time.time())

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

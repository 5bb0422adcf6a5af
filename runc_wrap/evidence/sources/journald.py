"""Audit records from systemd's journal, by journalctl: those printed and those sent by the kernel.

The journal has a record as `_TRANSPORT=kernel`, printed and so rate limited. If journald listens to
audit, it also has it as `_TRANSPORT=audit`, whose MESSAGE has no header: other fields have its
stamp. Only journald writes fields whose names begin with _ (systemd.journal-fields(7)).
"""

import os
import select
import time
from collections.abc import Iterator
from typing import Any

from runc_wrap.evidence.sightings import AUDIT, LossSpan, Sighting
from runc_wrap.evidence.sources import Unavailable, audit_record
from runc_wrap.evidence.sources.line_stream import UNPRINTED, Lines, LineSplitter
from runc_wrap.host import program
from runc_wrap.hotpath import json_codec

PATIENCE = 60.0  # seconds without output after which journalctl is ended
LONGEST = 256 * 1024  # bytes of an entry; a message that is not UTF-8 is an array of numbers
_CHUNK = 1024 * 1024
_HELD = 1024  # losses that are held back until it is known whether they are real
_WORDS = (
    "--quiet --no-pager --all --output=json --output-fields=MESSAGE,_TRANSPORT,_AUDIT_TYPE,"
    "_AUDIT_ID,_SOURCE_REALTIME_TIMESTAMP,_BOOT_ID _TRANSPORT=audit _AUDIT_TYPE=1326 "
    "+ _TRANSPORT=kernel"
).split()

Entry = dict[str, Any]


def read(since: float, patience: float = PATIENCE) -> Iterator[Sighting | LossSpan]:
    """Yield the journal's records. Raises Unavailable if journalctl is missing or fails.

    journalctl is killed after `patience` seconds without output, and a LossSpan reports it.
    """
    found = program.locate("journalctl")
    if found is None:
        raise Unavailable("the journal: journalctl is not installed")
    words = [str(found), *_WORDS, f"--since=@{max(0, int(since))}"]
    entries = _Entries()
    with program.reading(*words) as (process, output):
        while ready := select.select([output], [], [], patience)[0]:
            chunk = os.read(output.fileno(), _CHUNK)
            if not chunk:
                break
            yield from entries.feed(chunk)
        if not ready:
            process.kill()
            why = "at least one record: journalctl hung"
            yield LossSpan(time.time(), 1, AUDIT, why, entries.time)
        yield from entries.settle(time.time())
        status = process.wait()
    if status > 0:
        raise Unavailable(f"the journal: journalctl failed with status {status}")


class _Entries:
    """journalctl's output, entry by entry."""

    def __init__(self) -> None:
        self._split = LineSplitter(LONGEST)
        self._boot: object = None
        self._sent = False  # this boot's records were sent as well as printed
        self._unprinted: list[LossSpan] = []
        self._lines = Lines("the journal")
        self.time = 0.0

    def feed(self, chunk: bytes) -> Iterator[Sighting | LossSpan]:
        """Yield the records in the entries that this chunk completes."""
        for line in self._split.feed(chunk):
            yield from self._entry(line)

    def settle(self, until: float) -> list[Sighting | LossSpan]:
        """Return all that is held back: losses until then, and this boot's if they are real."""
        found = self._settled(self._lines.settle(max(self.time, until)))
        held = [] if self._sent else self._unprinted
        self._sent, self._unprinted = False, []
        return [*found, *held]

    def _entry(self, line: bytes) -> Iterator[Sighting | LossSpan]:
        try:
            entry = json_codec.loads(line)
        except json_codec.Unreadable:
            entry = None
        if not isinstance(entry, dict):
            why = "at least one record: an entry of the journal is unreadable or too long"
            yield LossSpan(self.time, 1, AUDIT, why)
            return
        if entry.get("_BOOT_ID") != self._boot:
            yield from self.settle(_when(entry))
            self._boot = entry.get("_BOOT_ID")
        sent = entry.get("_TRANSPORT") == "audit"
        for item in _sent(entry) if sent else self._printed(entry):
            self.time = item.time or self.time
            yield item
        self._sent |= sent

    def _printed(self, entry: Entry) -> list[Sighting | LossSpan]:
        # A message of several lines is one message: a program's newline begins no record.
        message = _message(entry).replace(b"\n", b" ")
        return self._settled(self._lines.feed(message + b"\n"))

    def _settled(self, items: list[Sighting | LossSpan]) -> list[Sighting | LossSpan]:
        found: list[Sighting | LossSpan] = []
        for item in items:
            if not isinstance(item, LossSpan) or item.why != UNPRINTED:
                found.append(item)
            elif len(self._unprinted) < _HELD:
                self._unprinted.append(item)
            else:
                last = self._unprinted[-1]
                self._unprinted[-1] = last._replace(records=last.records + item.records)
        return found


def _when(entry: Entry) -> float:
    """Return when journald received an entry, 0.0 if unknown."""
    try:
        return int(entry["__REALTIME_TIMESTAMP"]) / 1e6
    except (KeyError, TypeError, ValueError):
        return 0.0


def _sent(entry: Entry) -> list[Sighting | LossSpan]:
    message = _message(entry)
    try:
        time = int(entry["_SOURCE_REALTIME_TIMESTAMP"]) // 1000 / 1000
        serial = int(entry["_AUDIT_ID"])
    except (KeyError, TypeError, ValueError):
        return [LossSpan(0, 1, AUDIT, "a SECCOMP record in the journal without a stamp")]
    found = audit_record.fields(message.removeprefix(b"SECCOMP "), time, serial)
    return [found or LossSpan(time, 1, AUDIT, "damaged SECCOMP records in the journal")]


def _message(entry: Entry) -> bytes:
    """Return an entry's text: MESSAGE is a string, or an array of bytes if not plain UTF-8."""
    text = entry.get("MESSAGE")
    if isinstance(text, str):
        return text.encode("utf-8", "surrogatepass")
    try:
        return bytes(text) if isinstance(text, list) else b""
    except (TypeError, ValueError):
        return b""

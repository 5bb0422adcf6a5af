"""Reading the ledger, the record of decisions that the hot path appends to. Writes nothing.

    ledger.jsonl      what is being written
    ledger.1.jsonl    the one before
    ledger.2.jsonl    records of containers that were still there when those were rotated

A container's last record counts, unless it is the agent's on a create that the cold path had
decided before. A ledger may be damaged, and a rootless user's is that user's own word: lines that
are no record are counted and passed over, and nothing is read without a bound.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from runc_wrap.hotpath import json_codec
from runc_wrap.hotpath.ledger_file import is_late

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

Json = dict[str, Any]
Key = tuple[str, str]  # the runtime's root, the container's id

NEWEST_FIRST = ("ledger.jsonl", "ledger.1.jsonl", "ledger.2.jsonl")
LARGEST = 64 * 1024 * 1024  # bytes of one file, four times what rotation lets it have
LONGEST_LINE = 64 * 1024
_TEXTS = """
time engine root bundle namespace pod container image action mode profile digest rule reason via
declared ignored
""".split()


@dataclass(frozen=True, slots=True)
class Record:
    """One decision; what the line does not say, or says as another type, is None.

    `filters` is how many seccomp filters the decided config asks for; `line` the whole of it.
    """

    id: str
    time: str | None
    engine: str | None
    root: str | None
    bundle: str | None
    namespace: str | None
    pod: str | None
    container: str | None
    image: str | None
    action: str | None
    mode: str | None
    profile: str | None
    digest: str | None
    rule: str | None
    reason: str | None
    via: str | None
    declared: str | None
    ignored: str | None
    filters: int
    line: Json


@dataclass(frozen=True, slots=True)
class Ledger:
    """The last record of each container, and how many lines were none.

    `starts` tells when each was first decided and how often: an engine may start it again.
    """

    records: dict[Key, Record]
    damaged: int = 0
    starts: dict[Key, tuple[str | None, int]] = field(default_factory=dict)

    def of(self, root: str, container: str) -> Record | None:
        """Return the record that counts for a container, None if there is none."""
        return self.records.get((root, container))

    @property
    def roots(self) -> set[str]:
        """The runtimes' roots that occur."""
        return {root for root, _ in self.records if root}


def read(directory: Path, largest: int = LARGEST) -> Ledger:
    """Read one ledger; an absent one is empty. Raises OSError for one that cannot be read.

    Of each file at most the `largest` last bytes are read. The newest file is read first: a
    rotation in between then shows records twice and hides none.
    """
    texts = [_bounded(directory / name, largest) for name in NEWEST_FIRST]
    last: dict[Key, Json] = {}
    starts: dict[Key, tuple[str | None, int]] = {}
    damaged = 0
    for line in (line for text in reversed(texts) for line in text.split(b"\n") if line):
        found = parsed(line)
        if found is None:
            damaged += 1
        else:
            key = (found["root"] or "", found["id"])
            before = last.get(key, {})
            if is_late(found, before):
                continue
            first, often = starts.get(key, (_text(found.get("time")), 0))
            starts[key] = (first, often + (not replaces(found, before)))
            last[key] = found
    return Ledger({key: record(line) for key, line in last.items()}, damaged, starts)


def replaces(line: Json, before: Json) -> bool:
    """Return whether a line is for the same create as an earlier one of the agent's.

    The launcher did not follow the agent's answer and, with the same pid, took the cold path.
    """
    same = all(line.get(name) == before.get(name) for name in ("root", "id", "pid"))
    vias = (before.get("via"), line.get("via"))
    return same and vias == ("agent", "cold") and type(line.get("pid")) is int


def record(line: Json) -> Record:
    """Return a line's record; the line has an id."""
    texts = {name: _text(line.get(name)) for name in _TEXTS}
    filters = line.get("filters")
    if type(filters) is not int or filters < 0:
        filters = int(texts["action"] in ("inject", "keep"))
    return Record(id=line["id"], filters=filters, line=line, **texts)


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def parsed(line: bytes) -> Json | None:
    """Return a line's record as a dict, None if it is none."""
    if len(line) > LONGEST_LINE:
        return None
    try:
        found = json_codec.loads(line)
    except json_codec.Unreadable:
        return None
    if not isinstance(found, dict) or not isinstance(found.get("id"), str):
        return None
    root = _text(found.get("root"))
    return None if "\0" in f"{root}{found['id']}" else {**found, "root": root}


def opened(path: Path) -> int | None:
    """Open a regular file for reading, None if there is none. Raises OSError for other troubles."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_NOCTTY)
    except (FileNotFoundError, NotADirectoryError):
        return None
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return descriptor
    os.close(descriptor)
    return None


def _bounded(path: Path, largest: int) -> bytes:
    """Return the file's last bytes, at most `largest`; b"" for none and for no regular file."""
    descriptor = opened(path)
    if descriptor is None:
        return b""
    try:
        size = os.fstat(descriptor).st_size
        os.lseek(descriptor, max(0, size - largest), os.SEEK_SET)
        return b"".join(_chunks(descriptor, largest))
    finally:
        os.close(descriptor)


def _chunks(descriptor: int, left: int) -> Iterator[bytes]:
    while left and (part := os.read(descriptor, min(left, 1024 * 1024))):
        left -= len(part)
        yield part

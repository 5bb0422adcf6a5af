"""Audit records from files: audit.log or a syslog with its rotated files.

Files are opened newest first, so that a rotation in between may show one twice but never hide one,
and read oldest first. All stay open meanwhile, so that no inode number is reused.
"""

import gzip
import os
import re
import zlib
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from runc_wrap.evidence.sightings import AUDIT, LossSpan, Sighting
from runc_wrap.evidence.sources import Unavailable
from runc_wrap.evidence.sources.line_stream import Lines
from runc_wrap.host.files import Irregular
from runc_wrap.host.files import opened as open_regular
from runc_wrap.host.progress_meter import Meter

AUDIT_LOG = Path("/var/log/audit/audit.log")
MOST = 64  # files of one log that are read
CHUNK = 1024 * 1024
_ROUNDS = 16  # searches for files that rotation made meanwhile


@dataclass(frozen=True)
class _Opened:
    descriptor: int
    name: str
    identity: tuple[int, int]  # device and inode
    changed: float
    size: int


def read(path: Path, since: float, meter: Meter) -> Iterator[Sighting | LossSpan]:
    """Yield the records of a log: NAME, NAME.1, NAME.2.gz … or logrotate's NAME-20260131.

    Files last written before `since` are left out, and so is an unfinished last line. `meter`
    counts the bytes of the files. Raises Unavailable if the log cannot be opened.
    """
    seen: set[tuple[int, int]] = set()
    with ExitStack() as opened:
        for _ in range(_ROUNDS):
            files = [file for file in _open(path, opened) if file.identity not in seen]
            if seen:  # a file compressed meanwhile was read before
                files = [file for file in files if not file.name.endswith(".gz")]
            if not files:
                return
            seen |= {file.identity for file in files}
            files = [file for file in files if file.changed >= since]
            if len(files) > MOST:
                why = f"at least one record: of {path}, {MOST} files are read"
                yield LossSpan(0, 1, AUDIT, why)
            meter.total += sum(file.size for file in files[:MOST])
            for file in reversed(files[:MOST]):
                yield from _whole(file, meter)


def _open(path: Path, stack: ExitStack) -> list[_Opened]:
    """Open a log's files, newest first, each inode once. Raises Unavailable if there is none."""
    found: dict[tuple[int, int], _Opened] = {}
    try:
        for name in names(path):
            file = _opened(path.with_name(name), stack)
            if file:
                found.setdefault(file.identity, file)
    except OSError as error:
        raise Unavailable(f"{path}: {error.strerror}") from None
    if not found:
        raise Unavailable(f"{path}: no such regular file")
    return list(found.values())


def names(path: Path) -> list[str]:
    """Return the newest names of a log's files, newest first; MOST + 1 show that there are more."""
    form = re.compile(re.escape(path.name) + r"(?:\.(\d{1,4})|-(\d{8,10}))(?:\.gz)?")
    rotated = filter(None, map(form.fullmatch, os.listdir(path.parent)))  # noqa: PTH208 - names
    order = sorted(rotated, key=lambda name: (int(name[1] or 0), -int(name[2] or 0)))
    return [path.name, *(name[0] for name in order)][: MOST + 1]


def _opened(path: Path, stack: ExitStack) -> _Opened | None:
    try:
        descriptor = open_regular(path, follows=True)
    except (FileNotFoundError, Irregular):
        return None
    stack.callback(os.close, descriptor)
    status = os.fstat(descriptor)
    inode = (status.st_dev, status.st_ino)
    return _Opened(descriptor, path.name, inode, status.st_mtime, status.st_size)


def _whole(file: _Opened, meter: Meter) -> Iterator[Sighting | LossSpan]:
    lines = Lines(file.name)
    before = meter.done
    try:
        for chunk in _chunks(file):
            yield from lines.feed(chunk)
            meter.done = before + os.lseek(file.descriptor, 0, os.SEEK_CUR)
    except (OSError, EOFError, zlib.error):
        why = f"at least one record: {file.name} cannot be read to its end"
        yield LossSpan(file.changed, 1, AUDIT, why, min(lines.time, file.changed))
    yield from lines.settle(file.changed)


def _chunks(file: _Opened) -> Iterator[bytes]:
    with open(file.descriptor, "rb", 0, closefd=False) as raw:
        whole = gzip.GzipFile(fileobj=raw) if file.name.endswith(".gz") else raw
        while chunk := whole.read(CHUNK):
            yield chunk

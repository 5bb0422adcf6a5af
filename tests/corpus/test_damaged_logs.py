"""An audit.log with thousands of lines that are truncated, changed or not records."""

from __future__ import annotations

import json
import random
import re
import time
from typing import TYPE_CHECKING

import pytest

from harness.kernel import audit_records
from harness.node.requirements import program
from harness.shown import terminal
from tests.corpus.nodes import AUDIT, Program

if TYPE_CHECKING:
    from pathlib import Path

    from tests.corpus.nodes import Node

REAL, TORN, CHANGED, GARBAGE, LONG = 500, 3000, 4000, 2900, 100
UNSHARE, INIT_MODULE = 272, 175
NOBODY = 2**22 + 1  # above the largest pid
SECONDS = 200  # a reader that rereads such lines takes far longer
_SERIAL = 4_000_000_000  # beyond what the agent has counted
_NAMES = (
    (b"sh", b"/usr/bin/dash"),
    (b"\x1b[2J", b"/tmp/\x1b]0;x\x07"),
    (b"<b>x</b>", b"/tmp/<script>"),
    (b'" exe="/x" sy', b'/tmp/x" sig=0 arch=c000003e syscall=165'),
    (b"a\nb", b"/tmp/type=SECCOMP msg=audit(1.000:1):"),
    (b"\xff\x80", b"/tmp/" + b"\xff" * 255),
)
_PIECES = (
    b"type=SECCOMP msg=audit(",
    b"audit(1.000:1): ",
    b" pid=1 comm=",
    b"\x1b[2J",
    b"\x00",
    b"\r",
    b"\xff\xfe",
    b"\x1d",
    b"<script>",
    "\u202e".encode(),
    b'"',
    b"syscall=272 ",
)


def _record(number: int, pid: int, call: int, names: tuple[bytes, bytes]) -> bytes:
    head = b"audit(%d.%03d:%d): " % (time.time() + 1, number % 1000, _SERIAL + number)
    fields = audit_records.fields(*names).replace(b"pid=13117", b"pid=%d" % pid)
    return audit_records.SECCOMP + head + fields.replace(b"syscall=110", b"syscall=%d" % call)


def _changed(chance: random.Random, line: bytes) -> bytes:
    """Replace some bytes or pieces of records by others."""
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(len(line))
        piece = chance.choice((*_PIECES, chance.randbytes(chance.randint(1, 5))))
        line = line[:at] + piece + line[at + chance.randrange(len(piece) + 1) :]
    return line.replace(b"\n", b"")


def _garbage(chance: random.Random) -> bytes:
    """Return pieces of records and random bytes that do not begin like a record."""
    pieces = [chance.choice((*_PIECES, chance.randbytes(20))) for _ in range(chance.randint(0, 30))]
    return b"\x00" + b"".join(pieces).replace(b"\n", b"")


def _long(number: int, pid: int) -> bytes:
    """Return an overlong record, or one that is made to be reread."""
    whole = _record(number, pid, UNSHARE, _NAMES[0])
    if number % 2:
        return whole.replace(b'exe="', b'exe="' + b"x" * 100_000)
    return whole.replace(b" pid=", b" subj=" + b" pid=1 comm=AA exe=" * 700 + b"! pid=!")


def _write(path: Path, pid: int, seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311 - for a test
    numbers = iter(range(10**6))
    names = [_NAMES[at % len(_NAMES)] for at in range(max(REAL, TORN, CHANGED))]
    lines = [_record(next(numbers), pid, UNSHARE, names[at]) for at in range(REAL)]
    for at in range(TORN):
        whole = _record(next(numbers), pid, UNSHARE, names[at])
        lines.append(whole[: chance.randint(whole.index(b"auid="), whole.index(b" code="))])
    for at in range(CHANGED):
        whole = _record(next(numbers), NOBODY, INIT_MODULE, names[at])
        lines.append(_changed(chance, whole))
    lines += [_garbage(chance) for _ in range(GARBAGE)]
    lines += [_long(next(numbers), pid) for _ in range(LONG)]
    chance.shuffle(lines)
    path.write_bytes(b"".join(line + b"\n" for line in lines))


@pytest.mark.parametrize("kind", ["crun", "runc"])
def test_each_record_among_ten_thousand_damaged_lines_is_counted_and_damage_is_reported(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    node: Node = request.getfixturevalue(kind)
    bundle = node.bundle(AUDIT, Program("logged", ["sleep", "1000"]))
    pid = bundle.create(node.installed.wrapper)
    log = tmp_path / "audit.log"
    _write(log, pid, seed=len(kind))
    try:
        before = time.monotonic()
        done = node.installed.control("report", "--json", "--audit-log", log, ok=False)
        seconds = time.monotonic() - before
        table = node.installed.control("report", "--audit-log", log, ok=False)
    finally:
        bundle.delete(program(kind))
    assert (done.returncode, table.returncode) == (1, 1), done.stderr
    (found,) = [one for one in json.loads(done.stdout) if one["pod"] == "logged"]
    assert {one["syscall"]: one["count"] for one in found["calls"]} == {"unshare": REAL}
    assert sum(_lost(done.stderr)) in range(TORN + LONG, TORN + LONG + CHANGED + 1)
    for text in (done.stdout, done.stderr, table.stdout, table.stderr):
        assert terminal.acting(text.encode()) == []
    assert seconds < SECONDS


def _lost(stderr: str) -> list[int]:
    assert "damaged SECCOMP records in audit.log" in stderr
    return [int(number) for number in re.findall(r"note: (\d+) records were lost", stderr)]

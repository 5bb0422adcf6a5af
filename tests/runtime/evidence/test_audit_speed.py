"""A million audit lines: how fast, against a plain loop in the same run, and in how much memory."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import runc_wrap
from harness.kernel.audit_records import line

if TYPE_CHECKING:
    from _typeshed import SupportsWrite

# This process' own peak in KiB: ru_maxrss would begin with that of the process that started it.
_PEAK = """
def peak():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
"""
# Reads the same file with one fixed expression line by line, and as records in order; interleaved.
_READING = (
    _PEAK
    + r"""
import re, sys, time
from math import inf
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from runc_wrap.evidence.sources.merged_sources import gather
from runc_wrap.evidence.sources.log_files import Log
path = Path(sys.argv[1])
plain = re.compile(rb"type=SECCOMP msg=audit\((\d+)\.(\d+):(\d+)\).* pid=(\d+) .* syscall=(\d+)")
ours = theirs = 0.0
before = peak()
for _ in range(2):
    start = time.process_time()
    found = sum(1 for _ in gather([Log(path)], 0, inf))
    middle = time.process_time()
    with path.open("rb") as file:
        matched = sum(1 for line in file if plain.match(line))
    ours, theirs = ours + middle - start, theirs + time.process_time() - middle
print(found, matched, ours / 2, theirs / 2, peak() - before)
"""
)


def other(number: int) -> bytes:
    return line(number).replace(b"SECCOMP", b"SYSCALL") + b" tty=(none) items=1 key=(null)"


@pytest.mark.parametrize("share", [1, 2], ids=["all SECCOMP", "half of them"])
def test_a_million_lines_are_read_fast_and_in_bounded_memory(tmp_path: Path, share: int) -> None:
    log, count = tmp_path / "audit.log", 1_000_000
    with log.open("wb") as file:
        _fill(file, count, share)
    root = str(Path(runc_wrap.__file__).parents[1])
    argv = [sys.executable, "-c", _READING, str(log), root]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=250, check=True)
    found, matched, ours, theirs, grown = map(float, done.stdout.split())
    print(  # noqa: T201 - the measure
        f"{count / ours:,.0f} lines/s of CPU time, {grown / 1024:.0f} MiB"
    )
    assert found == matched == count / share
    assert grown < 64 * 1024, "in KiB; a million records as objects are some 300 MiB"
    assert ours < 12 * theirs


def _fill(file: SupportsWrite[bytes], count: int, share: int) -> None:
    for first in range(0, count, 1000):
        numbers = range(first, first + 1000)
        lines = [line(number) if number % share == 0 else other(number) for number in numbers]
        file.write(b"\n".join(lines) + b"\n")


_KEEPING = (
    _PEAK
    + """
import sys
sys.path.insert(0, sys.argv[1])
from runc_wrap.evidence.sightings import Sighting
before = peak()
kept = [Sighting(n + .5, n, n, 0, "a", "b", 1, 2, 3, None, "audit") for n in range(1_000_000)]
print(peak() - before)
"""
)


def test_the_memory_measurement_detects_a_million_stored_records() -> None:
    argv = [sys.executable, "-c", _KEEPING, str(Path(runc_wrap.__file__).parents[1])]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=120, check=True)
    assert int(done.stdout) > 64 * 1024

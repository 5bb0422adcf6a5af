"""A million audit lines are read in bounded memory, each record once."""

import subprocess
import sys
from pathlib import Path

import pytest

import runc_wrap
from harness.kernel.audit_records import line

COUNT, MOST = 1_000_000, 64 * 1024  # lines; KiB
# This process' own peak in KiB: ru_maxrss would begin with that of the process that started it.
_PEAK = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from runc_wrap.evidence.sightings import Sighting
from runc_wrap.evidence.sources import log_files
from runc_wrap.evidence.sources.merged_sources import gather
from runc_wrap.host.progress_meter import Meter
def peak():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
before = peak()
"""
_READING = """
log = log_files.read(Path(sys.argv[2]), 0, Meter())
print(sum(1 for _ in gather([log], 0, [])), peak() - before)
"""
_KEEPING = """
kept = [Sighting(n + .5, n, n, 0, "a", "b", 1, 2, 3, None, "audit") for n in range(1_000_000)]
print(len(kept), peak() - before)
"""


def _run(code: str, *words: str | Path) -> list[int]:
    root = Path(runc_wrap.__file__).parents[1]
    argv = [sys.executable, "-c", f"{_PEAK}{code}", root, *words]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=250, check=True)
    return [int(word) for word in done.stdout.split()]


@pytest.mark.parametrize("share", [1, 2], ids=["all SECCOMP", "half of them"])
def test_a_million_lines_are_read_in_bounded_memory(tmp_path: Path, share: int) -> None:
    log = tmp_path / "audit.log"
    with log.open("wb") as file:
        for number in range(COUNT):
            other = line(number).replace(b"SECCOMP", b"SYSCALL") + b" tty=(none) items=1 key=(null)"
            file.write((other if number % share else line(number)) + b"\n")
    found, grown = _run(_READING, log)
    assert found == COUNT // share
    assert grown < MOST


def test_the_memory_measurement_detects_a_million_stored_records() -> None:
    assert _run(_KEEPING)[1] > MOST

"""When progress is shown, and what it counts."""

from __future__ import annotations

import gzip
import subprocess
import sys
from typing import TYPE_CHECKING

from runc_wrap.evidence.sources import log_files
from runc_wrap.host.meter import Meter

if TYPE_CHECKING:
    from pathlib import Path

SHORT = """
import os, sys, threading
sys.stderr.isatty = lambda: True
os.environ["TERM"] = "xterm"
from runc_wrap.cli import progress
with progress.shown("Working"):
    assert threading.active_count() == 2
assert threading.active_count() == 1
print([name for name in sys.modules if name.startswith("rich")])
"""


def test_what_is_done_in_a_moment_shows_nothing_and_loads_nothing() -> None:
    done = subprocess.run([sys.executable, "-c", SHORT], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("[]\n", "")


def test_a_meter_counts_what_is_done_of_all() -> None:
    meter = Meter()
    seen = [(item, meter.done, meter.total) for item in meter.counting("abc")]
    assert seen == [("a", 0, 3), ("b", 1, 3), ("c", 2, 3)]
    assert (meter.done, meter.total) == (3, 3)


def test_a_logs_bytes_are_counted_with_its_rotated_and_packed_files(tmp_path: Path) -> None:
    log = tmp_path / "audit.log"
    log.write_bytes(b"x\n" * 2_000_000)
    (tmp_path / "audit.log.1").write_bytes(b"y\n" * 10)
    packed = gzip.compress(bytes(range(256)) * 10)
    (tmp_path / "audit.log.2.gz").write_bytes(packed)
    meter = Meter()
    assert list(log_files.Log(log, meter).read(0, float("inf"))) == []
    assert meter.total == 4_000_000 + 20 + len(packed)
    assert meter.done == meter.total

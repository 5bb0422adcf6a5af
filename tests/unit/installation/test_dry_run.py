"""The dry run of a checkout: by path, with nothing but the standard library."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from runc_wrap.installation import dry_run

UNITS = Path(__file__).resolve().parents[3] / "deploy" / "systemd"


def test_it_starts_by_its_path_and_says_what_would_be_done(tmp_path: Path) -> None:
    words = [sys.executable, "-I", "-S", str(dry_run.__file__), "--prefix", str(tmp_path)]
    done = subprocess.run(
        [*words, "--units", str(UNITS)], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"would compile the policy in {tmp_path}/etc\n")

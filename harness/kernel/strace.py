"""strace on a running process."""

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

from harness.host.processes import wait_until
from harness.node.requirements import program


@contextlib.contextmanager
def traced(pid: int, log: Path, *words: str) -> Iterator[None]:
    """Trace until the end of the block or of the process."""
    argv = [program("strace"), "-qq", "-o", str(log), *words, "-p", str(pid)]
    process = subprocess.Popen(argv, stderr=subprocess.DEVNULL)

    def attached() -> bool:
        try:
            status = Path(f"/proc/{pid}/status").read_text()
        except (FileNotFoundError, ProcessLookupError):  # its first call was the last one
            return True
        return "TracerPid:\t0\n" not in status or "State:\tZ" in status

    try:
        wait_until(attached, "strace to attach")
        yield
    finally:
        process.terminate()
        process.wait(10)

"""Version 1 control groups for one process, gone after the block."""

import contextlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from harness.host.processes import wait_until
from harness.node.requirements import unmet

_ROOT = Path("/sys/fs/cgroup")


@contextlib.contextmanager
def limited(pid: int, controller: str, limits: Mapping[str, str]) -> Iterator[None]:
    """Move a process into a group with these limits; afterwards move it back."""
    parent = _ROOT / controller
    if not (parent / "cgroup.procs").exists():
        unmet(f"needs the {controller} controller of cgroup version 1")
    group = parent / f"runc-wrap-test-{os.getpid()}-{pid}"
    group.mkdir()
    try:
        for name, value in limits.items():
            (group / name).write_text(value)
        before = _of(pid, controller)
        (group / "cgroup.procs").write_text(str(pid))
        yield
        with contextlib.suppress(ProcessLookupError):  # it may have been killed
            (parent / before / "cgroup.procs").write_text(str(pid))
    finally:
        if (group / "memory.limit_in_bytes").exists():  # a process that waits for memory can end
            (group / "memory.limit_in_bytes").write_text("-1")
        wait_until(lambda: not (group / "cgroup.procs").read_text(), "the group to be empty")
        group.rmdir()


def _of(pid: int, controller: str) -> str:
    lines = Path(f"/proc/{pid}/cgroup").read_text().splitlines()
    named = {names: path for _, names, path in (line.split(":", 2) for line in lines)}
    return named.get(controller, "/").lstrip("/")

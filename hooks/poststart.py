"""An OCI poststart hook: compares a just-started container with its decision.

It reads the container's state from stdin (OCI runtime-spec, "State"). It records a mismatch in the
ledger by repeating the decision's line, so that a container's last line is still its decision. The
repeated line has `via` "hook", the time of the check, and

    "mismatch": {"pid", "expected": {"seccomp", "filters"}, "found": {"seccomp", "filters"}}

runc ends a container whose poststart hook fails; crun does so from 1.27 on. So the exit status is 0
even after a mismatch or an error. With `--fail`, a mismatch ends the container: the hook itself
kills the container's first process, and exits 1.

Every runc release up to 1.5.1 runs poststart hooks at the end of create, when the process may still
lack its filter. Then a background process waits for the start and checks.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from runc_wrap.hotpath import ledger_file
from runc_wrap.ledger import reader
from runc_wrap.node.container_state import container_processes, status

if TYPE_CHECKING:
    from collections.abc import Callable

    from runc_wrap.ledger.record import Record
    from runc_wrap.node.container_state.container_processes import Process

_LARGEST = 16 * 1024 * 1024
_SETTLING = 0.5  # seconds within which a started process executes the container's program
_WAITING = 600.0  # seconds to wait for a container's start
_PAUSE = 0.02


def main(prefix: str, options: list[str]) -> int:
    """Run the hook; return the exit status."""
    may_fail = "--fail" in options
    try:
        state = json.loads(sys.stdin.buffer.read(_LARGEST))
        record = decision(Path(prefix), state)
        if record is None or not record.filters:
            return 0
        handle = psutil.Process(int(state["pid"]))
        if is_confined(handle, record):
            return 0
        if not is_started(handle):
            in_background(lambda: check(prefix, handle, record, may_fail=may_fail))
            return 0
        return int(not check(prefix, handle, record, may_fail=may_fail) and may_fail)
    except Exception as error:  # noqa: BLE001 - a failed check must not end a container
        sys.stderr.write(f"runc-wrap: the poststart check failed: {error!r}\n")
        return 0


def decision(prefix: Path, state: dict[str, Any]) -> Record | None:
    """Return the newest record of this container whose bundle, if recorded, is this one."""
    records = reader.read(prefix / "var" / "ledger").records
    fitting = [
        record
        for (_, name), record in records.items()
        if name == state["id"] and record.bundle in (None, state["bundle"])
    ]
    return max(fitting, key=lambda record: record.time or "", default=None)


def is_started(handle: psutil.Process) -> bool:
    """Return whether the first process already runs the container's program, not the runtime."""
    return not handle.name().startswith(status.RUNTIMES_OWN)


def is_confined(handle: psutil.Process, record: Record) -> bool:
    """Return whether the process has its filter; an ended process counts as confined."""
    process = container_processes.look(handle)
    return process is None or _is_enough(process, record)


def _is_enough(process: Process, record: Record) -> bool:
    parent = container_processes.look(psutil.Process(process.parent)) if process.parent else None
    had = (parent.filters or 0) if parent else 0
    return status.is_enough(process.seccomp, process.filters, record.filters, had)


def check(prefix: str, handle: psutil.Process, record: Record, *, may_fail: bool) -> bool:
    """Wait for the start and check; record a mismatch. Return whether the two agree."""
    _until(lambda: not handle.is_running() or is_started(handle), _WAITING)
    _until(lambda: is_confined(handle, record), _SETTLING)
    process = container_processes.look(handle)
    if process is None or not handle.is_running() or _is_enough(process, record):
        return True
    ledger_file.append(prefix, mismatch(record, process))
    if may_fail:
        handle.kill()
    return False


def mismatch(record: Record, process: Process) -> dict[str, Any]:
    """Return the ledger's line."""
    found = {"seccomp": process.seccomp, "filters": process.filters}
    expected = {"seccomp": status.FILTERED, "filters": record.filters}
    return {
        **record.line,
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "via": "hook",
        "mismatch": {"pid": process.pid, "expected": expected, "found": found},
    }


def _until(condition: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(_PAUSE)


def in_background(work: Callable[[], object]) -> None:
    """Do the work in a detached process, which keeps no inherited descriptor open."""
    if os.fork():
        return
    try:
        os.setsid()
        null = os.open(os.devnull, os.O_RDWR)
        for descriptor in (0, 1, 2):
            os.dup2(null, descriptor)
        os.closerange(3, os.sysconf("SC_OPEN_MAX"))
        work()
    finally:
        os._exit(0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))

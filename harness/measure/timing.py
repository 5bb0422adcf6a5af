"""Timing one program from its start to its end, with as little overhead as possible."""

import os
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.host.processes import is_not_sealed

NULL = "/dev/null"
_TAIL = 2000  # characters of what was printed


class FailedError(Exception):
    """A timed program did not do its work."""


@dataclass(frozen=True)
class Timed:
    """One program's time: `seconds` of wall time, and CPU including the children it waited for."""

    seconds: float
    cpu: float
    status: int


def spawned(argv: Sequence[str], output: str = NULL) -> int:
    """Start one program; stdin is /dev/null, stdout and stderr a file. Return its pid.

    posix_spawn is a vfork: it does not copy this process' memory, however large that is.
    """
    actions = [
        (os.POSIX_SPAWN_OPEN, 0, NULL, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, output, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644),
        (os.POSIX_SPAWN_DUP2, 1, 2),
    ]
    python_ignores = [signal.SIGPIPE, signal.SIGXFSZ]
    return os.posix_spawn(
        argv[0], list(argv), os.environ, file_actions=actions, setsigdef=python_ignores
    )


def timed(argv: Sequence[str], output: str = NULL) -> Timed:
    """Run one program to its end."""
    begin = time.perf_counter_ns()
    _, status, usage = os.wait4(spawned(argv, output), 0)
    end = time.perf_counter_ns()
    cpu = usage.ru_utime + usage.ru_stime
    return Timed((end - begin) / 1e9, cpu, os.waitstatus_to_exitcode(status))


def seconds_of(argv: Sequence[str], log: str = NULL) -> float:
    """Return the wall time of a program that must succeed. Raises FailedError."""
    result = timed(argv, log)
    if result.status and is_not_sealed(_tail(log)):
        result = timed(argv, log)
    if result.status:
        raise FailedError(f"{' '.join(argv)} ended with {result.status}:\n{_tail(log)}")
    return result.seconds


def _tail(log: str) -> str:
    return Path(log).read_text(errors="replace")[-_TAIL:]

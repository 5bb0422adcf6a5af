"""Medians with their intervals, and comparisons within one round.

A round measures every variant once, shortly after one another: other load on the machine affects
all of them equally, so ratios and differences are taken within a round and only then summed up.
"""

import math
import os
import random
import signal
import statistics
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.host.processes import is_not_sealed
from harness.node.install import Installed
from runc_wrap.ledger import whole_ledger

PAUSE = 0.05  # seconds
WARM_UP = 2  # rounds
Rounds = list[dict[str, float]]  # one round: variant -> seconds


@dataclass(frozen=True)
class Summary:
    """A sample's median with its interval, in the unit of the sample."""

    low: float
    median: float
    high: float
    count: int


def sure(values: Sequence[float]) -> Summary:
    """Return the median with the ends of its 95 % confidence interval.

    By ranks: the true median lies between these two in 19 of 20 samples of six or more, whatever
    the distribution, as long as the machine does not drift.
    """
    ordered = sorted(values)
    away = 0.98 * math.sqrt(len(ordered))
    low = max(math.floor(len(ordered) / 2 - away), 0)
    high = min(math.ceil(len(ordered) / 2 + away), len(ordered) - 1)
    return Summary(ordered[low], statistics.median(ordered), ordered[high], len(ordered))


def ratios(rounds: Rounds, variant: str, base: str) -> list[float]:
    """Return variant / base of each round."""
    return [one[variant] / one[base] for one in rounds]


def differences(rounds: Rounds, variant: str, base: str) -> list[float]:
    """Return variant - base of each round, in seconds."""
    return [one[variant] - one[base] for one in rounds]


def orders(names: Sequence[str], count: int, seed: int) -> Iterator[list[str]]:
    """Yield the order of each round: the same for the same seed, and no variant always first."""
    generator = random.Random(seed)  # noqa: S311 - an order of measuring, no secret
    for _ in range(count):
        order = list(names)
        generator.shuffle(order)
        yield order


def interleaved(
    measures: Mapping[str, Callable[[], float]], count: int, seed: int, pause: float = PAUSE
) -> Rounds:
    """Measure each variant once a round. The first rounds, which fill caches, do not count.

    Each begins after a pause, in seconds. A process that is moved into a cgroup waits for an RCU
    grace period (10 to 20 ms), unless another was moved just before (linux
    kernel/rcu/sync.c): without the pause the faster variant would not wait, and the slower one
    would.
    """

    def rested(name: str) -> float:
        time.sleep(pause)
        return measures[name]()

    rounds = [
        {name: rested(name) for name in order}
        for order in orders(list(measures), WARM_UP + count, seed)
    ]
    return rounds[WARM_UP:]


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


MB = 1024.0  # /proc counts in KiB


def decided(installed: Installed, name: str) -> dict[str, int]:
    """Return who decided the containers whose id begins with `name`: "agent" or "cold"."""
    records = whole_ledger.read(installed.prefix / "var" / "ledger").records.values()
    return dict(Counter(record.via or "" for record in records if record.id.startswith(name)))


def resident(pids: Iterable[int]) -> float:
    """Return the memory of one program's processes, in MB; shared pages count once."""
    sizes = [_memory(one) for one in pids]
    return sum(private for private, _, _ in sizes) + max(shared for _, shared, _ in sizes)


def switches(pid: int) -> int:
    """Return how often a process has waited and was woken."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("\nvoluntary_ctxt_switches:")[2].split()[0])


def _memory(pid: int) -> tuple[float, float, float]:
    """Return private, shared and whole resident memory in MB (proc_pid_smaps_rollup)."""
    sizes = {}
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]:
        name, value = line.split()[:2]
        sizes[name] = int(value) / MB
    private = sizes["Private_Clean:"] + sizes["Private_Dirty:"]
    return private, sizes["Rss:"] - private, sizes["Rss:"]

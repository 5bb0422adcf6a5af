"""The agent of one installation: tested whether it decides, and measured."""

from __future__ import annotations

import os
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from harness.host.namespace_holder import parents_of_all
from harness.measure.timing import FailedError
from runc_wrap.ledger import whole_ledger

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from harness.node.install import Installed

TICKS = os.sysconf("SC_CLK_TCK")
PROCESSES = 2  # decide, observe
MB = 1024.0  # /proc counts in KiB


@dataclass(frozen=True)
class AtRest:
    """The memory and CPU of all of the agent's processes.

    `resident` in MB counts each shared page once: what is private to each, and of what is shared
    the largest; `summed` adds up VmRSS; `worked` is as `resident`, after so many more `creates`;
    `cpu` is seconds within `seconds`.
    """

    processes: int
    resident: float
    summed: float
    worked: float
    creates: int
    cpu: float
    seconds: float


def decided(installed: Installed, name: str) -> dict[str, int]:
    """Return who decided the containers whose id begins with `name`: "agent" or "cold"."""
    records = whole_ledger.read(installed.prefix / "var" / "ledger").records.values()
    return dict(Counter(record.via or "" for record in records if record.id.startswith(name)))


def at_rest(pids: Sequence[int], seconds: float, work: Callable[[], int]) -> AtRest:
    """Measure the idle services, with their children, for some seconds; then have them `work`.

    Raises FailedError if a process of it is missing.
    """
    before = {one: _cpu(one) for one in _family(pids)}
    if len(before) < PROCESSES:
        raise FailedError(f"the agent has {len(before)} processes of {PROCESSES}")
    time.sleep(seconds)
    after = {one: _cpu(one) for one in _family(pids)}
    rested, summed = resident(after), sum(whole for _, _, whole in map(_memory, after))
    creates = work()
    return AtRest(
        processes=len(after),
        resident=rested,
        summed=summed,
        worked=resident(_family(pids)),
        creates=creates,
        cpu=sum(spent - before.get(one, 0) for one, spent in after.items()),
        seconds=seconds,
    )


def resident(pids: Iterable[int]) -> float:
    """Return the memory of one program's processes, in MB; shared pages count once."""
    sizes = [_memory(one) for one in pids]
    return sum(private for private, _, _ in sizes) + max(shared for _, shared, _ in sizes)


def _family(pids: Sequence[int]) -> set[int]:
    parents = parents_of_all()
    found = {*pids}
    while more := {one for one, parent in parents.items() if parent in found} - found:
        found |= more
    return found


def _cpu(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS  # utime, stime (proc_pid_stat(5))


def _memory(pid: int) -> tuple[float, float, float]:
    """Return private, shared and whole resident memory in MB (proc_pid_smaps_rollup)."""
    sizes = {}
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]:
        name, value = line.split()[:2]
        sizes[name] = int(value) / MB
    private = sizes["Private_Clean:"] + sizes["Private_Dirty:"]
    return private, sizes["Rss:"] - private, sizes["Rss:"]

"""The agent of one installation: who decided, and what its processes take."""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from harness.node.install import Installed
from runc_wrap.ledger import whole_ledger

MB = 1024.0  # /proc counts in KiB


def decided(installed: Installed, name: str) -> dict[str, int]:
    """Return who decided the containers whose id begins with `name`: "agent" or "cold"."""
    records = whole_ledger.read(installed.prefix / "var" / "ledger").records.values()
    return dict(Counter(record.via or "" for record in records if record.id.startswith(name)))


def resident(pids: Iterable[int]) -> float:
    """Return the memory of one program's processes, in MB; shared pages count once."""
    sizes = [_memory(one) for one in pids]
    return sum(private for private, _, _ in sizes) + max(shared for _, shared, _ in sizes)


def _memory(pid: int) -> tuple[float, float, float]:
    """Return private, shared and whole resident memory in MB (proc_pid_smaps_rollup)."""
    sizes = {}
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]:
        name, value = line.split()[:2]
        sizes[name] = int(value) / MB
    private = sizes["Private_Clean:"] + sizes["Private_Dirty:"]
    return private, sizes["Rss:"] - private, sizes["Rss:"]

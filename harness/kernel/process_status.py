"""A process' state in the kernel, read on the host: nothing in the container can change it."""

import contextlib
from pathlib import Path

DISABLED, FILTER = 0, 2  # the values of Seccomp: in proc_pid_status(5)
AUDIT, CONNECTOR = 9, 11  # netlink(7)


def status(pid: int | str) -> dict[str, str]:
    """Return the fields of /proc/PID/status."""
    return parse_status(Path(f"/proc/{pid}/status").read_text())


def parse_status(text: str) -> dict[str, str]:
    """Return the fields of a status file, as printed by a process inside a container."""
    pairs = (line.partition(":") for line in text.splitlines() if ":" in line)
    return {name.strip(): value.strip() for name, _, value in pairs}


def netlink(pid: int) -> set[int]:
    """Return the protocols of a process' netlink sockets."""
    inodes = set()
    with contextlib.suppress(OSError):  # it has ended
        for link in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(OSError):  # closed meanwhile
                inodes.add(str(link.readlink()).removeprefix("socket:[").removesuffix("]"))
    lines = [line.split() for line in Path("/proc/net/netlink").read_text().splitlines()[1:]]
    return {int(line[1]) for line in lines if line[-1] in inodes}


def watches(pid: int) -> bool:
    """Return whether a process or its child receives audit records and process events."""
    family = [pid, *map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())]
    return any(netlink(one) >= {AUDIT, CONNECTOR} for one in family)


def seccomp(pid: int | str) -> int:
    """Return 0 (no filter) or 2 (filtered)."""
    return int(status(pid)["Seccomp"])


def seccomp_in(text: str) -> int:
    """Return the same from a printed status file."""
    return int(parse_status(text)["Seccomp"])

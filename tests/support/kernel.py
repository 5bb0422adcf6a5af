"""What the kernel says of a process, read on the host: nothing in the container can colour it."""

from pathlib import Path

DISABLED, FILTER = 0, 2  # the values of Seccomp: in proc_pid_status(5)


def status(pid: int | str) -> dict[str, str]:
    """Return the fields of /proc/PID/status."""
    return parse_status(Path(f"/proc/{pid}/status").read_text())


def parse_status(text: str) -> dict[str, str]:
    """Return the fields of a status file, as printed by a process inside a container."""
    pairs = (line.partition(":") for line in text.splitlines() if ":" in line)
    return {name.strip(): value.strip() for name, _, value in pairs}


def seccomp(pid: int | str) -> int:
    """Return 0 (no filter) or 2 (filtered)."""
    return int(status(pid)["Seccomp"])


def seccomp_in(text: str) -> int:
    """Return the same from a printed status file."""
    return int(parse_status(text)["Seccomp"])

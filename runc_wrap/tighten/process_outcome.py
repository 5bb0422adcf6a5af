"""What is asked for, and what came of it for each process."""

from __future__ import annotations

from typing import NamedTuple


class FilterRequest(NamedTuple):
    """A filter to add.

    `program` is struct sock_filter[] (8 bytes each, 4096 at most).
    `set_no_new_privs`: set it in processes that have neither it nor CAP_SYS_ADMIN; without that,
    the kernel lets these add no filter, and they are refused.
    """

    program: bytes
    set_no_new_privs: bool = False


class SeccompState(NamedTuple):
    """Seccomp and Seccomp_filters of /proc/PID/status; `filters` is None before Linux 5.9."""

    mode: int
    filters: int | None


class ProcessOutcome(NamedTuple):
    """What one process had and has, as the kernel reports it.

    `pid` is the host's; `start_time` is in clock ticks since boot; `before` and `after` are of
    the thread with the fewest filters. `stopped_seconds` is the longest that a thread stood still.
    `reason` is a sentence if a thread was not tightened, else None. A process that had the filter
    already has `before` equal to `after` and no reason.
    """

    pid: int
    start_time: int
    threads: int
    before: SeccompState
    after: SeccompState
    stopped_seconds: float
    reason: str | None

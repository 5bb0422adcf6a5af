"""A record of one call, a loss of records, and how exact their times are. Data only."""

from typing import NamedTuple

AUDIT, OBSERVE = "audit", "observe"
# data in the code of a call from observe: it installs a filter that may keep later calls from us;
# it was not made, as its caller was killed or interrupted before it was answered; the profile
# allows it, and it is only recorded
HIDES, UNMADE, RECORDED = 1, 2, 4
# Seconds that the kernel's coarse clock, which audit records and time(2) have, can be behind: six
# ticks of HZ=250, where a CPU is kept from its timer (linux:kernel/time/tick-sched.c,
# MAX_STALLED_JIFFIES), cut to ms
COARSE = 0.03
TICK = 0.011  # seconds: start times in /proc are cut to clock ticks

Args = tuple[int | None, ...]


class Sighting(NamedTuple):
    """One call that a filter logged, denied or sent to us.

    The workload chooses `comm` and `exe`: print them only through runc_wrap.safe_text.
    """

    time: float  # seconds since the epoch; audit's header has milliseconds
    serial: int  # of the audit record; 0 for observe
    pid: int  # the process (tgid), in the initial pid namespace
    uid: int
    comm: str
    exe: str  # "" where the record has none
    arch: int  # AUDIT_ARCH_* (linux:include/uapi/linux/audit.h)
    number: int  # of the call, x32's bit 0x40000000 included
    code: int  # SECCOMP_RET_* without data, but for HIDES, UNMADE and RECORDED
    args: Args | None  # six of 64 bits, None for unknown ones; None from audit: records have none
    source: str  # AUDIT or OBSERVE


class LossSpan(NamedTuple):
    """Records that the kernel or a reader is known to have dropped, between `begin` and `time`.

    `begin` is None for a single moment; `time` is 0 if unknown.
    """

    time: float
    records: int
    source: str
    why: str
    begin: float | None = None

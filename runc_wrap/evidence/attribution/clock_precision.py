"""By how much the kernel's times differ from each other: what comparing them has to allow for."""

# Seconds that the kernel's coarse clock, which audit records and time(2) have, can be behind: six
# ticks of HZ=250, where a CPU is kept from its timer (linux:kernel/time/tick-sched.c,
# MAX_STALLED_JIFFIES), cut to ms
COARSE = 0.03
TICK = 0.011  # seconds: start times in /proc are cut to clock ticks

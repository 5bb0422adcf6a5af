"""SECCOMP_RET_*: what a filter returns to the kernel (linux:include/uapi/linux/seccomp.h).

A code is an action in the upper half of 32 bits, and data in the lower: the errno of ERRNO, the
tracer's message of TRACE. The agent loads this too, so nothing else is here.
"""

ACTION_MASK = 0xFFFF0000
DATA_MASK = 0xFFFF
KILL_PROCESS = 0x80000000
KILL_THREAD = 0
TRAP = 0x30000
ERRNO = 0x50000
USER_NOTIF = 0x7FC00000
TRACE = 0x7FF00000
LOG = 0x7FFC0000
ALLOW = 0x7FFF0000

"""A filter's return values: the kernel's codes (linux/seccomp.h) and the runtime-spec's names.

A code is SECCOMP_RET_* in the upper half of 32 bits, and data in the lower: the errno of ERRNO,
the tracer's message of TRACE. Runtimes truncate the errno to 16 bits: runc by int16, crun and
libseccomp's SCMP_ACT_ERRNO by a mask.
"""

from errno import EPERM, errorcode

from runc_wrap.profiles.model import ProfileError
from runc_wrap.profiles.vocabulary import ACTIONS_WITH_ERRNO

ACTION_MASK = 0xFFFF0000
DATA_MASK = 0xFFFF
KILL_PROCESS = 0x80000000
KILL_THREAD = 0
ERRNO = 0x50000
ALLOW = 0x7FFF0000

_CODES = {
    "SCMP_ACT_KILL_PROCESS": KILL_PROCESS,
    "SCMP_ACT_KILL_THREAD": KILL_THREAD,
    "SCMP_ACT_KILL": KILL_THREAD,
    "SCMP_ACT_TRAP": 0x30000,
    "SCMP_ACT_ERRNO": ERRNO,
    "SCMP_ACT_NOTIFY": 0x7FC00000,
    "SCMP_ACT_TRACE": 0x7FF00000,
    "SCMP_ACT_LOG": 0x7FFC0000,
    "SCMP_ACT_ALLOW": ALLOW,
}
_NAMES = {code: name for name, code in _CODES.items() if name != "SCMP_ACT_KILL"}
# kernel/seccomp.c compares actions as signed numbers: smaller is more restrictive.
_SIGN = 1 << 31


def code(action: str, errno_ret: int | None = None) -> int:
    """Return the code that filters by runc or crun return for an action. Raises ProfileError."""
    if action not in _CODES:
        raise ProfileError(f"the action {action!r} is not known")
    number = EPERM if errno_ret is None else errno_ret
    return _CODES[action] | (number & DATA_MASK if action in ACTIONS_WITH_ERRNO else 0)


def describe(returned: int) -> str:
    """Return a code in words: "SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO(EPERM)"."""
    name = _NAMES.get(returned & ACTION_MASK, f"{returned:#010x}")
    data = returned & DATA_MASK
    if name not in ACTIONS_WITH_ERRNO:
        return name
    return f"{name}({errorcode.get(data, data)})"


def restriction(returned: int) -> int:
    """Return a sorting key: of several filters' results the kernel applies the smallest."""
    action = returned & ACTION_MASK
    return action - (_SIGN << 1) if action & _SIGN else action

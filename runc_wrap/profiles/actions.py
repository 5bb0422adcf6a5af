"""A filter's return codes by the runtime-spec's names of their actions.

Runtimes truncate the errno to 16 bits: runc by int16, crun and libseccomp's SCMP_ACT_ERRNO by a
mask.
"""

from errno import EPERM, errorcode

from runc_wrap.profiles import return_codes
from runc_wrap.profiles.return_codes import ACTION_MASK, DATA_MASK
from runc_wrap.profiles.runtime_spec_names import ACTIONS_WITH_ERRNO
from runc_wrap.profiles.source_profile import Profile, ProfileError, Rule

_CODES = {
    "SCMP_ACT_KILL_PROCESS": return_codes.KILL_PROCESS,
    "SCMP_ACT_KILL_THREAD": return_codes.KILL_THREAD,
    "SCMP_ACT_KILL": return_codes.KILL_THREAD,
    "SCMP_ACT_TRAP": return_codes.TRAP,
    "SCMP_ACT_ERRNO": return_codes.ERRNO,
    "SCMP_ACT_NOTIFY": return_codes.USER_NOTIF,
    "SCMP_ACT_TRACE": return_codes.TRACE,
    "SCMP_ACT_LOG": return_codes.LOG,
    "SCMP_ACT_ALLOW": return_codes.ALLOW,
}
_NAMES = {code: name for name, code in _CODES.items() if name != "SCMP_ACT_KILL"}
_UNDENIED = (return_codes.ALLOW, return_codes.LOG, return_codes.USER_NOTIF)
# kernel/seccomp.c compares actions as signed numbers: smaller is more restrictive.
_SIGN = 1 << 31


def code(action: str, errno_ret: int | None = None) -> int:
    """Return the code that filters by runc or crun return for an action. Raises ProfileError."""
    if action not in _CODES:
        raise ProfileError(f"the action {action!r} is not known")
    number = EPERM if errno_ret is None else errno_ret
    return _CODES[action] | (number & DATA_MASK if action in ACTIONS_WITH_ERRNO else 0)


def is_default(rule: Rule, profile: Profile) -> bool:
    """Tell whether a rule has the outcome of a profile's default: runtimes drop it."""
    default = code(profile.default_action, profile.default_errno_ret)
    return code(rule.action, rule.errno_ret) == default


def describe(returned: int) -> str:
    """Return a code in words: "SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO(EPERM)"."""
    name = _NAMES.get(returned & ACTION_MASK, f"{returned:#010x}")
    data = returned & DATA_MASK
    if name not in ACTIONS_WITH_ERRNO:
        return name
    return f"{name}({errorcode.get(data, data)})"


def denies(returned: int) -> bool:
    """Tell whether a code denies the call; without a tracer, TRACE does (ENOSYS)."""
    return returned & ACTION_MASK not in _UNDENIED


def restriction(returned: int) -> int:
    """Return a sorting key: of several filters' results the kernel applies the smallest."""
    action = returned & ACTION_MASK
    return action - (_SIGN << 1) if action & _SIGN else action

"""What a waiting call's arguments are: their width, clone3's flags, and which a profile allows.

The rules come in a listener's metadata, which runc_wrap.profiles.mode_profiles.observe_mode
describes and writes.
"""

from __future__ import annotations

from runc_wrap.hotpath import json_codec
from runc_wrap.hotpath.operators import MASKED_EQ, PREFIX, holds

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from runc_wrap.agent.observe.inspector import Purpose
    from runc_wrap.agent.observe.seccomp_unotify import Notification

    Args = tuple[int, ...]
    Groups = list[list[list[Any]]]

METADATA = "runc-wrap/1"
RECORDS = f"{METADATA} record"  # only calls that the profile allows are sent
ARGUMENTS = 6
_MASKED_NE = "MASKED_NE"  # which no filter has
_64BIT, _N32 = 0x80000000, 0x20000000  # linux/audit.h __AUDIT_ARCH_64BIT, _CONVENTION_MIPS64_N32
_X86_64, _X32_BIT = 0xC000003E, 0x40000000
_LOW, _WHOLE = (1 << 32) - 1, (1 << 64) - 1

# linux:scripts/syscall.tbl; calls newer than 5.0 have the same number everywhere, plus an offset
_CLONE3 = 435
_OFFSETS = (0, 0x40000000, 4000, 5000, 6000)  # x32, and mips' o32, n64 and n32
_CLONE3S = frozenset(_CLONE3 + offset for offset in _OFFSETS)
_LEAST, _WITH_TIDS = 64, 80  # CLONE_ARGS_SIZE_VER0 and _VER1 (linux:include/uapi/linux/sched.h)


def bits(arch: int, number: int) -> int:
    """Return the mask of an argument's bits that count in a call: 32 bits on 32-bit ABIs."""
    is_whole = arch & _64BIT and not arch & _N32 and not (arch == _X86_64 and number & _X32_BIT)
    return _WHOLE if is_whole else _LOW


def clone_args(call: Notification) -> int | None:
    """Return the address of a clone3's struct clone_args, None for other calls."""
    return call.args[0] if call.number & _LOW in _CLONE3S else None


def arguments(call: Notification, purpose: Purpose | None) -> Args | None:
    """Return a call's arguments, for clone3 its flags and set_tid_size in their place.

    None if these are not known. They are what the kernel will read if the call still waits
    afterwards, unless another thread changes them meanwhile. set_tid_size says for how many pid
    namespaces the caller chooses the new pid.
    """
    if clone_args(call) is None:
        return call.args
    size = call.args[1]
    if size < _LEAST:  # the call fails
        return (0, 0, *call.args[2:])
    flags, tids = purpose or (None, None)
    if size < _WITH_TIDS:  # the kernel reads less of the struct
        tids = 0
    return None if flags is None or tids is None else (flags, tids, *call.args[2:])


def allows(groups: Groups, args: Args, mask: int) -> bool:
    """Return whether one of the groups of comparisons holds."""
    return any(all(_compares(one, args, mask) for one in group) for group in groups)


def _compares(one: list[Any], args: Args, mask: int) -> bool:
    given, value = args[one[0]] & mask, one[2] & mask
    if one[1] == _MASKED_NE:
        return not holds(MASKED_EQ, given, value, one[3])
    return bool(holds(PREFIX + one[1], given, value, one[3]))


def allowed(metadata: str) -> dict[tuple[int, int], Groups]:
    """Return {(arch, number): groups} of a listener's metadata, {} for none and if it is damaged.

    The policy's compiler writes it, but it comes through the container's config.
    """
    word, _, text = metadata.partition(" ")
    if word != METADATA or not text or metadata == RECORDS:
        return {}
    found: dict[tuple[int, int], Groups] = {}
    try:
        for key, groups in json_codec.loads(text.encode("utf-8", "surrogateescape")).items():
            arch, _, number = key.partition(":")
            if not all(_is_comparison(one) for group in groups for one in group):
                return {}
            found[int(arch, 16), int(number)] = groups
    except (json_codec.Unreadable, ValueError, TypeError, AttributeError):
        return {}
    return found


def _is_comparison(one: object) -> bool:
    return (
        isinstance(one, list)
        and [type(part) for part in one] == [int, str, int, int]
        and 0 <= one[0] < ARGUMENTS
    )

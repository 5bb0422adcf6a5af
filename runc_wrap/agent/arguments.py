"""What of a call's arguments counts: which are kept, and what a profile allows by them. Pure, lean.

Arguments are registers: pointers, lengths and descriptors differ each time and mean nothing to a
reader, so only those stay that mean something small (flags, families, commands), others are 0. A
workload can still choose what stands in them; whoever tallies bounds that.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    Json = dict[str, Any]
    Args = tuple[int, ...]

METADATA = "runc-wrap/1"
ARGUMENTS = 6
_64BIT, _N32 = 0x80000000, 0x20000000  # linux/audit.h __AUDIT_ARCH_64BIT, _CONVENTION_MIPS64_N32
_X86_64, _X32_BIT = 0xC000003E, 0x40000000
_LOW, _WHOLE = (1 << 32) - 1, (1 << 64) - 1

# name -> the arguments that are kept (linux:include/linux/syscalls.h)
BY_NAME = {
    "add_key": (4,),
    "bpf": (0,),
    "clone": (0,),
    "fanotify_init": (0, 1),
    "fsmount": (1, 2),
    "fsopen": (1,),
    "fspick": (2,),
    "init_module": (),
    "finit_module": (2,),
    "io_uring_register": (1,),
    "io_uring_setup": (0,),
    "ioperm": (0, 1, 2),
    "iopl": (0,),
    "ipc": (0,),
    "kexec_file_load": (4,),
    "kexec_load": (3,),
    "keyctl": (0,),
    "mbind": (2, 5),
    "mount": (3,),
    "mount_setattr": (2,),
    "move_mount": (4,),
    "open_tree": (2,),
    "perf_event_open": (4,),
    "personality": (0,),
    "prctl": (0, 1),
    "ptrace": (0,),
    "quotactl": (0,),
    "quotactl_fd": (1,),
    "reboot": (0, 1, 2),
    "set_mempolicy": (0,),
    "setns": (1,),
    "socket": (0, 1, 2),
    "socketcall": (0,),
    "socketpair": (0, 1, 2),
    "syslog": (0,),
    "umount2": (1,),
    "unshare": (0,),
    "userfaultfd": (0,),
}


def bits(arch: int, number: int) -> int:
    """Return how much of an argument counts in a call, as a mask: 32 bits on 32-bit ABIs."""
    is_whole = arch & _64BIT and not arch & _N32 and not (arch == _X86_64 and number & _X32_BIT)
    return _WHOLE if is_whole else _LOW


def kept(args: Args, indexes: Sequence[int], mask: int) -> Args:
    """Return the arguments with those not to be kept as 0."""
    return tuple(args[index] & mask if index in indexes else 0 for index in range(ARGUMENTS))


def allows(groups: list[list[list[Any]]], args: Args, mask: int) -> bool:
    """Tell whether one of the groups of comparisons holds: runc_wrap.profiles.observing."""
    return any(all(_compares(*one, args, mask) for one in group) for group in groups)


def _compares(index: int, op: str, value: int, second: int, args: Args, mask: int) -> bool:  # noqa: PLR0913, PLR0917 - what the metadata have, and the call
    given, value, second = args[index] & mask, value & mask, second & mask
    if op == "MASKED_EQ":
        return given & value == second & value
    if op in {"EQ", "NE"}:
        return (given == value) == (op == "EQ")
    if op in {"LT", "GE"}:
        return (given < value) == (op == "LT")
    return (given > value) == (op == "GT")


def checked(told: object) -> dict[tuple[int, int], list[list[list[Any]]]]:
    """Return {(arch, number): groups} of metadata's JSON. Raises ValueError for another form.

    Who writes them is the policy's compiler, but they come through the container's config.
    """
    if not isinstance(told, dict):
        raise ValueError("it is no object")  # noqa: TRY004 - about others' text
    found = {}
    for key, groups in told.items():
        arch, _, number = key.partition(":")
        if not all(_is_comparison(one) for group in groups for one in group):
            raise ValueError("it has something that is no comparison")
        found[int(arch, 16), int(number)] = groups
    return found


def _is_comparison(one: object) -> bool:
    return (
        isinstance(one, list)
        and [type(part) for part in one] == [int, str, int, int]
        and 0 <= one[0] < ARGUMENTS
    )

"""Which calls a profile allows by their arguments, read from a listener's metadata.

runc_wrap.profiles.mode_profiles.observe_mode describes the form and writes it.
"""

from __future__ import annotations

from runc_wrap.hotpath.operators import MASKED_EQ, PREFIX, holds

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Args = tuple[int, ...]
    Groups = list[list[list[Any]]]

METADATA = "runc-wrap/1"
RECORDS = f"{METADATA} record"  # only calls that the profile allows are sent
ARGUMENTS = 6
_MASKED_NE = "MASKED_NE"  # which no filter has
_64BIT, _N32 = 0x80000000, 0x20000000  # linux/audit.h __AUDIT_ARCH_64BIT, _CONVENTION_MIPS64_N32
_X86_64, _X32_BIT = 0xC000003E, 0x40000000
_LOW, _WHOLE = (1 << 32) - 1, (1 << 64) - 1


def bits(arch: int, number: int) -> int:
    """Return the mask of an argument's bits that count in a call: 32 bits on 32-bit ABIs."""
    is_whole = arch & _64BIT and not arch & _N32 and not (arch == _X86_64 and number & _X32_BIT)
    return _WHOLE if is_whole else _LOW


def allows(groups: Groups, args: Args, mask: int) -> bool:
    """Return whether one of the groups of comparisons holds."""
    return any(all(_compares(one, args, mask) for one in group) for group in groups)


def _compares(one: list[Any], args: Args, mask: int) -> bool:
    given, value = args[one[0]] & mask, one[2] & mask
    if one[1] == _MASKED_NE:
        return not holds(MASKED_EQ, given, value, one[3])
    return bool(holds(PREFIX + one[1], given, value, one[3]))


def checked(rules: object) -> dict[tuple[int, int], Groups]:
    """Return {(arch, number): groups} of metadata's JSON. Raises ValueError for another form.

    The policy's compiler writes them, but they come through the container's config.
    """
    if not isinstance(rules, dict):
        raise ValueError("it is no object")  # noqa: TRY004 - about others' text
    found = {}
    for key, groups in rules.items():
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

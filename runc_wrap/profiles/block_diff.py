"""Comparing two linux.seccomp blocks call by call, whatever the order and grouping of their rules.

Blocks are those of the OCI runtime-spec, resolved for one container, as `profile_parser` accepts
them. An error number that is left out is EPERM, as for runc and crun (runc:libcontainer/seccomp,
crun:src/libcrun/seccomp.c).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from runc_wrap.profiles import actions

if TYPE_CHECKING:
    from collections.abc import Iterator

Json = dict[str, Any]
_WHOLE = ("listenerPath", "listenerMetadata")
_SETS = ("architectures", "flags")


class BlockDifference(NamedTuple):
    """What only one of two blocks has: `of` is 0 for the first block, 1 for the second."""

    of: int
    what: str


def differences(first: Json, second: Json) -> list[BlockDifference]:
    """Return what only one block has, sorted; [] if they have the same result for every call."""
    one, other = (frozenset([*_fields(block), *_rules(block)]) for block in (first, second))
    return [
        *(BlockDifference(0, line) for line in sorted(one - other)),
        *(BlockDifference(1, line) for line in sorted(other - one)),
    ]


def _rules(block: Json) -> Iterator[str]:
    """Yield each call's rule: "socket: SCMP_ACT_ALLOW if argument 0 SCMP_CMP_NE 0x28"."""
    for entry in block.get("syscalls") or ():
        outcome = _outcome(entry["action"], entry.get("errnoRet"))
        said = " and ".join(map(_comparison, sorted(entry.get("args") or (), key=_order)))
        for name in entry["names"]:
            yield f"{name}: {outcome}{said and f' if {said}'}"


def _outcome(action: str, errno_ret: int | None) -> str:
    return actions.describe(actions.code(action, errno_ret))


def _order(argument: Json) -> tuple[int, str, int, int]:
    return argument["index"], argument["op"], argument["value"], argument.get("valueTwo") or 0


def _comparison(argument: Json) -> str:
    index, op, value, two = _order(argument)
    return f"argument {index} {op} {value:#x}{f' {two:#x}' if two else ''}"


def _fields(block: Json) -> Iterator[str]:
    yield f"every other call: {_outcome(block['defaultAction'], block.get('defaultErrnoRet'))}"
    for name in _SETS:
        if block.get(name) is not None:
            yield f"{name}: {', '.join(sorted(block[name])) or 'none'}"
    for name in _WHOLE:
        if block.get(name):
            yield f"{name}: {block[name]}"

"""Comparing two linux.seccomp blocks call by call, whatever the order and grouping of their rules.

Blocks are those of the OCI runtime-spec, resolved for one container, as `profile_parser` accepts
them. An error number that is left out is EPERM, as for runc and crun (runc:libcontainer/seccomp,
crun:src/libcrun/seccomp.c).
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Any, NamedTuple

from runc_wrap.profiles.runtime_spec_names import ACTIONS_WITH_ERRNO

if TYPE_CHECKING:
    from collections.abc import Iterator

Json = dict[str, Any]
_WHOLE = ("listenerPath", "listenerMetadata")
_SETS = ("architectures", "flags")


class CallRule(NamedTuple):
    """One rule for one call; `args` has (index, op, value, value two) of each comparison."""

    call: str
    action: str
    errno: int | None
    args: tuple[tuple[int, str, int, int], ...]

    def __str__(self) -> str:
        """Return the rule in words: "socket: SCMP_ACT_ALLOW if argument 0 SCMP_CMP_NE 0x28"."""
        number = f" {self.errno}" if self.errno is not None else ""
        return f"{self.call}: {self.action}{number}{_in_words(self.args)}"


class BlockDifference(NamedTuple):
    """What only one of two blocks has: `of` is 0 for the first block, 1 for the second."""

    of: int
    what: str


def differences(first: Json, second: Json) -> list[BlockDifference]:
    """Return what only one block has, sorted; [] if they have the same result for every call."""
    return between(lines(first), lines(second))


def between(first: frozenset[str], second: frozenset[str]) -> list[BlockDifference]:
    """Return the lines that only one of two sets has, those of the first one first."""
    return [
        *(BlockDifference(0, line) for line in sorted(first - second)),
        *(BlockDifference(1, line) for line in sorted(second - first)),
    ]


def lines(block: Json) -> frozenset[str]:
    """Return a block as a set of lines, one for each call's rule and each other field."""
    return frozenset([*_fields(block), *map(str, call_rules(block))])


def call_rules(block: Json) -> frozenset[CallRule]:
    """Return the rules of a block, one for each call that they name."""
    return frozenset(rule for entry in block.get("syscalls") or () for rule in _split(entry))


def _split(entry: Json) -> Iterator[CallRule]:
    action = _action(entry["action"])
    number = _errno(action, entry.get("errnoRet"))
    args = tuple(sorted(map(_comparison, entry.get("args") or ())))
    for name in entry["names"]:
        yield CallRule(name, action, number, args)


def _action(name: str) -> str:
    """Return an action's name; one has two (libseccomp:include/seccomp.h.in)."""
    return "SCMP_ACT_KILL_THREAD" if name == "SCMP_ACT_KILL" else name


def _errno(action: str, given: int | None) -> int | None:
    if action not in ACTIONS_WITH_ERRNO:
        return None
    return errno.EPERM if given is None else given


def _comparison(argument: Json) -> tuple[int, str, int, int]:
    return argument["index"], argument["op"], argument["value"], argument.get("valueTwo") or 0


def _fields(block: Json) -> Iterator[str]:
    action = _action(block["defaultAction"])
    number = _errno(action, block.get("defaultErrnoRet"))
    yield f"every other call: {action}" + (f" {number}" if number is not None else "")
    for name in _SETS:
        if block.get(name) is not None:
            yield f"{name}: {', '.join(sorted(block[name])) or 'none'}"
    for name in _WHOLE:
        if block.get(name):
            yield f"{name}: {block[name]}"


def _in_words(args: tuple[tuple[int, str, int, int], ...]) -> str:
    said = [
        f"argument {index} {op} {value:#x}{f' {two:#x}' if two else ''}"
        for index, op, value, two in args
    ]
    return f" if {' and '.join(said)}" if said else ""

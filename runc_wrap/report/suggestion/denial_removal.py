"""Takes denials of a call out of a profile, or narrows them to arguments that were not seen.

Without the denial, a profile whose default lets calls through would allow the call with any
arguments. No rule compares one argument twice, since runtimes would accept either comparison: a
denial that already compares an argument cannot be narrowed by it, unless it compares for equality.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from runc_wrap.filters.evaluate.block_evaluation import compares
from runc_wrap.filters.evaluate.libseccomp_input import comparison
from runc_wrap.hotpath.operators import EQ, MASKED_EQ, NE
from runc_wrap.hotpath.rule_algebra import alternatives
from runc_wrap.profiles.arguments.argument_sets import complement
from runc_wrap.profiles.runtime_spec_names import ALLOW, LOG, TRACE

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

Json = dict[str, Any]
Arguments = list[Json]
Values = tuple[tuple[int, int], ...]  # (index, value)s of one kind of call

ANY: list[Values] = [()]
_OPEN = (ALLOW, LOG, TRACE)  # defaults that let calls through, or leave them to a tracer
_ALL_BITS = (1 << 64) - 1
_INT = (1 << 32) - 1
_COMMENT = "denied as before, but for the arguments that it was seen with"


def is_open(block: Mapping[str, Any]) -> bool:
    """Return whether a profile lets through calls that no rule denies."""
    return block["defaultAction"] in _OPEN


def are_there(block: Mapping[str, Any], name: str) -> bool:
    """Return whether entries deny a call."""
    return any(_denies(entry, name) for entry in block.get("syscalls") or ())


def taken_out(block: Mapping[str, Any], name: str) -> list[Json]:
    """Return the entries without a call's denials."""
    return [one for entry in block.get("syscalls") or () for one in _others(entry, name)]


def narrowed(block: Mapping[str, Any], name: str, seen: Sequence[Values]) -> list[Json] | None:
    """Return the entries with a call's denials narrowed by what was seen; None if impossible."""
    found: list[Json] = []
    for entry in block.get("syscalls") or ():
        found += _others(entry, name)
        if _denies(entry, name):
            pieces = _pieces(entry.get("args") or [], seen)
            if pieces is None:
                return None
            found += [{**entry, "names": [name], "args": p, "comment": _COMMENT} for p in pieces]
    return found


def _denies(entry: Json, name: str) -> bool:
    return entry["action"] != ALLOW and name in entry["names"]


def _others(entry: Json, name: str) -> Iterator[Json]:
    if not _denies(entry, name):
        yield entry
    elif names := [one for one in entry["names"] if one != name]:
        yield {**entry, "names": names}


def _pieces(args: Arguments, seen: Sequence[Values]) -> list[Arguments] | None:
    found: list[Arguments] = []
    for group in alternatives(args):
        rest = _rest(group, [values for values in seen if _holds(group, dict(values))])
        if rest is None:
            return None
        found += rest
    return found


def _holds(group: Arguments, values: dict[int, int]) -> bool:
    return all(compares(comparison(one), values[one["index"]], _ALL_BITS) for one in group)


def _rest(group: Arguments, seen: list[Values]) -> list[Arguments] | None:
    """Return comparisons for what a group matches and was not seen; None if impossible."""
    if not seen:
        return [group]
    if not all(map(_is_one_number, group)):
        return None
    used = [one["index"] for one in group]
    free = [[one for one in values if one[0] not in used] for values in seen]
    if len(seen) == 1:
        return [[*group, _compared(index, value, NE)] for index, value in free[0]]
    if len(free[0]) > 1:
        return None
    others = complement([[_compared(*one, EQ)] for values in free for one in values])
    return None if others is None else [[*group, *one] for one in others]


def _is_one_number(one: Json) -> bool:
    """Return whether a comparison matches a single number, of a register or of an int."""
    return bool(one["op"] == EQ or (one["op"] == MASKED_EQ and one["value"] & _INT == _INT))


def _compared(index: int, value: int, op: str) -> Json:
    return {"index": index, "value": value, "op": op}

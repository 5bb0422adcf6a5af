"""Sets of a call's arguments, so that rules can be subtracted from each other exactly. Pure.

A set is a list of patterns. A pattern gives some bits of some arguments: {index: block}, where a
mask says which bits. The difference of two patterns is some patterns, each of which compares an
argument once, as runtimes require.

libseccomp up to 2.6.0 compiles some sets of rules that compare ranges wrongly (its model says
which); of masks it makes no such chains. So `masked` writes rules as their patterns.
"""

from __future__ import annotations

from itertools import product
from math import prod
from typing import TYPE_CHECKING, Any

from runc_wrap.hotpath.operators import EQ, MASKED_EQ
from runc_wrap.hotpath.rule_algebra import alternatives, calls_of, renamed
from runc_wrap.profiles.arguments.negated_comparisons import index_of
from runc_wrap.profiles.arguments.number_ranges import blocks, meet, spans
from runc_wrap.profiles.arguments.parameter_widths import WHOLE
from runc_wrap.profiles.source_profile import ProfileError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from runc_wrap.hotpath.compiled_policy import CompiledRule
    from runc_wrap.profiles.arguments.number_ranges import Block

Json = dict[str, Any]
Pattern = dict[int, "Block"]
ArgumentSet = list[Pattern]

ALL: ArgumentSet = [{}]
_MOST = 1024  # patterns of a set
_MOST_OF_A_RULE = 512  # patterns
_MOST_RULES = 64  # of one call
_FULL = (1 << WHOLE) - 1


def of_rule(args: list[Json]) -> ArgumentSet:
    """Return the arguments for which a rule holds. Raises ProfileError for too many patterns.

    Where one argument is compared twice, runtimes make a rule of each (libseccomp_input).
    """
    if len(alternatives(args)) > 1:
        return [{index_of(one): block} for one in args for block in _blocks(one)]
    columns = [_blocks(one) for one in args]
    if prod(map(len, columns)) > _MOST_OF_A_RULE:
        raise ProfileError("its rules compare too many ranges")
    indexes = [index_of(one) for one in args]
    return [dict(zip(indexes, chosen, strict=True)) for chosen in product(*columns)]


def _blocks(one: Json) -> list[Block]:
    """Return the blocks for which a comparison holds."""
    if one["op"] == MASKED_EQ:
        return [(one["value"], (one.get("valueTwo") or 0) & one["value"])]
    if one["op"] == EQ:
        return [(_FULL, one["value"])]
    held = spans(one["op"], one["value"], _FULL)
    return [block for first, last in held for block in blocks(first, last, WHOLE)]


def minus(first: ArgumentSet, second: ArgumentSet) -> ArgumentSet:
    """Return what is in the first only. Raises ProfileError for too many patterns."""
    left = first
    for other in second:
        left = [piece for one in left for piece in _without(one, other)]
        if len(left) > _MOST:
            raise ProfileError(f"its rules tell more than {_MOST} cases apart")
    return left


def comparisons(pattern: Pattern) -> list[Json]:
    """Return a pattern as a rule's args."""
    return [
        {"index": index, "value": datum, "op": EQ}
        if mask == _FULL
        else {"index": index, "value": mask, "valueTwo": datum, "op": MASKED_EQ}
        for index, (mask, datum) in sorted(pattern.items())
        if mask
    ]


def masked(rules: list[CompiledRule], calls: Collection[str]) -> list[CompiledRule]:
    """Return a profile's rules, those for these calls with masks. Raises ProfileError."""
    found: list[CompiledRule] = []
    for entry in rules:
        chosen = [name for name in calls_of(entry) if name in calls]
        if not chosen or not (args := entry["rule"].get("args")):
            found.append(entry)
            continue
        others = renamed(entry, [name for name in calls_of(entry) if name not in calls])
        found += [others] if calls_of(others) else []
        rule = {**entry["rule"], "names": chosen}
        groups = map(comparisons, of_rule(args))
        found += [{**entry, "rule": {**rule, "args": group}} for group in groups]
    return found


def said(held: ArgumentSet, ways: Iterable[list[list[Json]] | None]) -> list[list[Json]]:
    """Return comparisons for a set: a profile's own, if they say the same, else masks.

    Raises ProfileError for too many.
    """
    for groups in filter(None, ways):
        said = [pattern for group in groups for pattern in of_rule(group)]
        if not minus(said, held) and not minus(held, said):
            return groups
    if len(held) > _MOST_RULES:
        raise ProfileError(f"it would need more than {_MOST_RULES} rules")
    return [comparisons(one) for one in held]


def _without(one: Pattern, other: Pattern) -> ArgumentSet:
    """Return a pattern without another, bit by bit from the highest down."""
    if not all(meet(one[index], other[index]) for index in one.keys() & other.keys()):
        return [one]
    pieces, left = [], dict(one)
    for index, (mask, datum) in sorted(other.items()):
        known, wanted = left.get(index, (0, 0))
        for bit in (1 << place for place in reversed(range(WHOLE)) if mask & ~known & 1 << place):
            known |= bit
            pieces.append({**left, index: (known, wanted | ~datum & bit)})
            wanted |= datum & bit
        left[index] = known, wanted
    return pieces

"""Sets of a call's arguments, so that rules can be subtracted from each other exactly. Pure.

A set is a list of patterns. A pattern gives some bits of some arguments: {index: block}, where a
mask says which bits. The difference of two patterns is some patterns, each of which compares an
argument once, as runtimes require.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from runc_wrap.hotpath.comparison import EQ, MASKED_EQ
from runc_wrap.profiles.arguments import masked_rules
from runc_wrap.profiles.arguments.negated_comparisons import index_of
from runc_wrap.profiles.arguments.number_ranges import meet
from runc_wrap.profiles.arguments.parameter_widths import WHOLE
from runc_wrap.profiles.source_profile import ProfileError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from runc_wrap.profiles.arguments.number_ranges import Block

Json = dict[str, Any]
Pattern = dict[int, "Block"]
ArgumentSet = list[Pattern]

ALL: ArgumentSet = [{}]
_MOST = 1024  # patterns of a set
_MOST_RULES = 64  # of one call
_FULL = (1 << WHOLE) - 1


def of_rule(args: list[Json]) -> ArgumentSet:
    """Return the arguments for which a rule holds. Raises ProfileError for too many patterns."""
    ways = masked_rules.equal(args)
    if ways is None:
        raise ProfileError("its rules compare too many ranges")
    return [*map(_pattern, ways)]


def _pattern(comparisons: Iterable[Json]) -> Pattern:
    found = {}
    for one in comparisons:
        mask = one["value"] if one["op"] == MASKED_EQ else _FULL
        datum = (one.get("valueTwo") or 0) & mask if one["op"] == MASKED_EQ else one["value"]
        if mask:
            found[index_of(one)] = (mask, datum)
    return found


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
    ]


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

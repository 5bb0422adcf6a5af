"""The arguments that comparisons hold for, as sets: spans of numbers, blocks of a mask, patterns.

A block, (mask, datum), is the set of numbers for which one SCMP_CMP_MASKED_EQ holds. A span becomes
at most twice as many blocks as the numbers have bits, each as large as its alignment allows.

A set of a call's arguments is a list of patterns. A pattern gives some bits of some arguments:
{index: block}. The difference of two patterns is some patterns, each of which compares an argument
once, as runtimes require: so rules are subtracted from each other exactly.

`complement` prefers other comparisons than masks. A span with two ends, which no rule can compare,
is listed number by number, or in blocks.

libseccomp up to 2.6.0 compiles some sets of rules that compare ranges wrongly (its model says
which); of masks it makes no such chains. So `masked` writes rules as their patterns.
"""

from collections.abc import Collection, Iterable
from itertools import product
from math import prod
from typing import Any

from runc_wrap.hotpath.compiled_policy import CompiledRule
from runc_wrap.hotpath.operators import EQ, GE, GT, LE, LT, MASKED_EQ, NE, OPPOSITE
from runc_wrap.hotpath.rule_algebra import alternatives, calls_of, renamed
from runc_wrap.profiles.arguments.parameter_widths import WHOLE
from runc_wrap.profiles.source_profile import ProfileError

Json = dict[str, Any]
Arguments = list[Json]
Span = tuple[int, int]
Block = tuple[int, int]
Pattern = dict[int, Block]
ArgumentSet = list[Pattern]

ALL: ArgumentSet = [{}]
_FULL = (1 << WHOLE) - 1
_BITS = 32  # of an argument that every ABI compares
_MOST_POINTS = 16  # values listed singly where a span has two ends
_MOST = 1024  # patterns of a set
_MOST_OF_A_RULE = 512  # patterns
MOST_RULES = 64  # of one call


def spans(op: str, value: int, top: int) -> list[Span]:
    """Return the spans up to `top` for which a comparison holds; `op` is not MASKED_EQ."""
    below, above = [(0, value - 1)] if value else [], [(value + 1, top)] if value < top else []
    found: dict[str, list[Span]] = {
        EQ: [(value, value)],
        NE: below + above,
        LT: below,
        LE: [(0, value)],
        GT: above,
        GE: [(value, top)],
    }
    return found[op]


def rest(taken: list[Span], top: int) -> list[Span]:
    """Return the spans up to `top` of the numbers that are in none of `taken`."""
    found = []
    start = 0
    for first, last in [*sorted(taken), (top + 1, top + 1)]:
        if first > start:
            found.append((start, first - 1))
        start = max(start, last + 1)
    return found


def blocks(first: int, last: int, bits: int) -> list[Block]:
    """Return the blocks of a span of numbers of `bits` bits.

    No mask is empty: libseccomp would drop the comparison, which would change the rule.
    """
    found = []
    limit = 1 << bits
    while first <= last:
        size = min(first & -first or limit, limit // 2)
        while size > last - first + 1:
            size //= 2
        found.append((limit - size, first))
        first += size
    return found


def blocks_of(one: Json, top: int = _FULL) -> list[Block]:
    """Return the blocks, of spans up to `top`, for which a comparison holds."""
    value = one["value"]
    if one["op"] == MASKED_EQ:
        return [(value, (one.get("valueTwo") or 0) & value)]
    if one["op"] == EQ:
        return [(_FULL, value)]
    held = spans(one["op"], min(value, top), top)
    return [block for first, last in held for block in blocks(first, last, WHOLE)]


def span_of(mask: int, datum: int, bits: int) -> Span | None:
    """Return a block of numbers of `bits` bits as a span, None if it is not one."""
    size = (1 << bits) - mask
    if mask >> bits or not mask or size & (size - 1) or datum & ~mask:
        return None
    return datum, datum + size - 1


def meet(one: Block, other: Block) -> bool:
    """Tell whether a number can be in both blocks."""
    return not (one[1] ^ other[1]) & one[0] & other[0]


def index_of(one: Json) -> int:
    """Return the index of the compared argument; runtimes read a missing index as 0."""
    index: int = one.get("index", 0)
    return index


def complement(groups: list[Arguments]) -> list[Arguments] | None:
    """Return comparisons that hold where none of these does, None if none can express that."""
    if not groups:
        return [[]]
    ones = [group[0] for group in groups if len(group) == 1]
    if len(ones) < len(groups) or len({index_of(one) for one in ones}) > 1:
        return None
    if [one["op"] for one in ones] == [MASKED_EQ]:
        return _other_bits(ones[0])
    if any(one["op"] == MASKED_EQ for one in ones):
        return _between_blocks(ones)
    return _between(
        [span for one in ones for span in spans(one["op"], one["value"], _FULL)], index_of(ones[0])
    )


def _other_bits(one: Json) -> list[Arguments] | None:
    mask, wanted = one["value"], one.get("valueTwo") or 0
    if mask >> _BITS:
        return None
    bits = [1 << place for place in range(_BITS) if mask >> place & 1]
    other = {"index": index_of(one), "op": MASKED_EQ}
    return [[{**other, "value": bit, "valueTwo": ~wanted & bit}] for bit in bits]


def _between_blocks(ones: Arguments) -> list[Arguments] | None:
    """Return comparisons for the numbers in none of these, which all have masks of one kind.

    A profile that compares only the bits that the kernel uses lists its numbers in this form.
    """
    bits = ones[0]["value"].bit_length()
    if bits > _BITS or any(one["op"] != MASKED_EQ for one in ones):
        return None
    taken = [span_of(one["value"], (one.get("valueTwo") or 0) & one["value"], bits) for one in ones]
    known = [span for span in taken if span]
    if len(known) < len(taken):
        return None
    left = [block for span in rest(known, (1 << bits) - 1) for block in blocks(*span, bits)]
    other = {"index": index_of(ones[0]), "op": MASKED_EQ}
    return [[{**other, "value": mask, "valueTwo": datum}] for mask, datum in left]


def _between(taken: list[tuple[int, int]], index: int) -> list[Arguments] | None:
    """Return comparisons for the values in none of the spans."""
    found: list[Arguments] = []
    for first, last in rest(taken, _FULL):
        pieces = _span(first, last, index)
        if pieces is None:
            return None
        found += pieces
    return found


def _span(first: int, last: int, index: int) -> list[Arguments] | None:
    if last - first < _MOST_POINTS and last < 1 << _BITS:
        values = range(first, last + 1)
        return [[{"index": index, "value": value, "op": EQ}] for value in values]
    if first == 0 and last < 1 << _BITS:
        return [[{"index": index, "value": last, "op": LE}]]
    if last == _FULL and first < 1 << _BITS:
        return [[{"index": index, "value": first, "op": GE}]]
    return None


def of_rule(args: list[Json]) -> ArgumentSet:
    """Return the arguments for which a rule holds. Raises ProfileError for too many patterns.

    Where one argument is compared twice, runtimes make a rule of each (libseccomp_input).
    """
    if len(alternatives(args)) > 1:
        return [{index_of(one): block} for one in args for block in blocks_of(one)]
    columns = [blocks_of(one) for one in args]
    if prod(map(len, columns)) > _MOST_OF_A_RULE:
        raise ProfileError("its rules compare too many ranges")
    indexes = [index_of(one) for one in args]
    return [dict(zip(indexes, chosen, strict=True)) for chosen in product(*columns)]


def minus(first: ArgumentSet, second: ArgumentSet) -> ArgumentSet:
    """Return what is in the first only. Raises ProfileError for too many patterns."""
    left = first
    for other in second:
        left = [piece for one in left for piece in _without(one, other)]
        if len(left) > _MOST:
            raise ProfileError(f"its rules tell more than {_MOST} cases apart")
    return left


def outside(args: Arguments, others: Arguments) -> list[Arguments]:
    """Return the comparisons of rules that hold where these do and the others do not.

    Raises ProfileError for too many.
    """
    left = alternatives(args)
    for other in alternatives(others):
        left = [piece for one in left for piece in _outside(one, other)]
    return left


def _outside(one: Arguments, other: Arguments) -> list[Arguments]:
    found: list[Arguments] = []
    for each in other:
        own = [mine for mine in one if index_of(mine) == index_of(each)]
        beside = [mine for mine in one if mine not in own]
        found += [[*beside, *group] for group in _difference(own, each)]
    return found


def _difference(own: Arguments, each: Json) -> list[Arguments]:
    """Return comparisons of one argument, which has one in `own` or none, where `each` fails.

    All numbers above 32 bits are one range: it holds for no int (narrowed_comparisons), and 32-bit
    ABIs compare it rightly.
    """
    if not own and each["op"] in OPPOSITE:
        return [[{**each, "op": OPPOSITE[each["op"]]}]]
    refused = complement([own]) if own else None
    groups = None if refused is None else complement([*refused, [each]])
    held, index = minus(of_rule(own), of_rule([each])), index_of(each)
    large = [one for one in held if one[index][1] >> _BITS]
    if sum(1 << WHOLE - one[index][0].bit_count() for one in large) < (1 << WHOLE) - (1 << _BITS):
        return said(held, [groups])
    above = [{"index": index, "value": (1 << _BITS) - 1, "op": GT}]
    return said(held, [groups, [*(_comparisons(one) for one in held if one not in large), above]])


def _comparisons(pattern: Pattern) -> list[Json]:
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
        groups = map(_comparisons, of_rule(args))
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
    if len(held) > MOST_RULES:
        raise ProfileError(f"it would need more than {MOST_RULES} rules")
    return [_comparisons(one) for one in held]


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

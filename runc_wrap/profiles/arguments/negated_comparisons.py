"""The complement of comparisons, as comparisons that runtimes accept.

No rule compares one argument twice, so a span with two ends is listed number by number, or in
blocks of a mask.
"""

from typing import Any

from runc_wrap.hotpath.operators import EQ, GE, LE, MASKED_EQ
from runc_wrap.profiles.arguments.number_ranges import blocks, rest, span_of, spans

Json = dict[str, Any]
Arguments = list[Json]

_MOST_POINTS = 16  # values listed singly where a span has two ends
_BITS = 32  # bits of an argument that every ABI compares
_TOP = (1 << 64) - 1


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
        [span for one in ones for span in spans(one["op"], one["value"], _TOP)], index_of(ones[0])
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
    for first, last in rest(taken, _TOP):
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
    if last == _TOP and first < 1 << _BITS:
        return [[{"index": index, "value": first, "op": GE}]]
    return None


def index_of(one: Json) -> int:
    """Return the index of the compared argument; runtimes read a missing index as 0."""
    index: int = one.get("index", 0)
    return index

"""Comparisons of an argument as sets of numbers: spans, and blocks that a mask selects.

A block, (mask, datum), is the set of numbers for which one SCMP_CMP_MASKED_EQ holds. A span becomes
at most twice as many blocks as the numbers have bits, each as large as its alignment allows.
"""

from runc_wrap.hotpath.operators import EQ, GE, GT, LE, LT, NE

Span = tuple[int, int]
Block = tuple[int, int]


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


def span_of(mask: int, datum: int, bits: int) -> Span | None:
    """Return a block of numbers of `bits` bits as a span, None if it is not one."""
    size = (1 << bits) - mask
    if mask >> bits or not mask or size & (size - 1) or datum & ~mask:
        return None
    return datum, datum + size - 1


def meet(one: Block, other: Block) -> bool:
    """Tell whether a number can be in both blocks."""
    return not (one[1] ^ other[1]) & one[0] & other[0]

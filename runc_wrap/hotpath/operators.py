"""Comparing one argument of a call: libseccomp's operators, and when each holds.

A register may be wider than what is compared: callers cut it to the bits that count.
"""

EQ, NE = "SCMP_CMP_EQ", "SCMP_CMP_NE"
LT, LE, GT, GE = "SCMP_CMP_LT", "SCMP_CMP_LE", "SCMP_CMP_GT", "SCMP_CMP_GE"
MASKED_EQ = "SCMP_CMP_MASKED_EQ"
PREFIX = "SCMP_CMP_"
OPPOSITE = {NE: EQ, EQ: NE, LT: GE, GE: LT, GT: LE, LE: GT}


def holds(op: str, given: int, value: int, second: int = 0) -> "bool | None":
    """Return whether a comparison holds for an argument; None for an operator that is none.

    For MASKED_EQ `value` is the mask and `second` the datum, whose other bits do not count
    (libseccomp:src/db.c).
    """
    if op == MASKED_EQ:
        return given & value == second & value
    if op in (EQ, NE):
        return (given == value) == (op == EQ)
    if op in (LT, GE):
        return (given < value) == (op == LT)
    if op in (GT, LE):
        return (given > value) == (op == GT)
    return None

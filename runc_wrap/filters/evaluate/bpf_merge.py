"""One filter that does what two do together.

A process that has both gets the more restrictive result of each call (bpf.combined). A filter's
jumps only lead forward, and only its returns end it: so each return of the older leads into a copy
of the newer, whose returns are the combined ones, without what makes no difference there.
"""

import struct
from collections.abc import Sequence

from runc_wrap.filters.evaluate import bpf
from runc_wrap.profiles import actions

_INSTRUCTION = struct.Struct("=HBBI")  # struct sock_filter of linux/filter.h
_AS_AT_START = ((bpf.LD_IMM, 0, 0, 0), (bpf.TAX, 0, 0, 0))


def merged(old: bytes, new: bytes) -> bytes:
    """Return the filter (struct sock_filter[]) that returns what the kernel does for both.

    Raises BpfError if there is none: it would be too long, or one returns a calculated value.
    """
    first, second = (bpf.program(one).instructions for one in (old, new))
    if any(one[0] == bpf.RET_A for one in (*first, *second)):
        raise bpf.BpfError("one of the two filters returns a calculated value")
    made = [*first]
    copies: dict[int, int] = {}
    for place, (code, _, _, returned) in enumerate(first):
        if code != bpf.RET_K:
            continue
        if returned not in copies:
            copies[returned] = len(made)
            made += _ending((*_AS_AT_START, *second), returned)
        made[place] = (bpf.JA, 0, 0, copies[returned] - place - 1)
    whole = b"".join(_INSTRUCTION.pack(*one) for one in made)
    bpf.program(whole)
    return whole


def _ending(instructions: Sequence[bpf.Instruction], returned: int) -> list[bpf.Instruction]:
    """Return a filter's copy that returns the more restrictive of its result and another.

    Of equal actions the older filter's errno counts, where the kernel takes the newer's: copies are
    short then. What leads to one return in any case becomes that return, and neighbours that are
    equal become one, so that no jump gets longer.
    """
    made: list[bpf.Instruction] = []  # from the last to the first
    places: list[int] = []  # in `made`, of each instruction from the last to the first
    for one in reversed(instructions):
        code, true, false, k = one
        jumps = (true, false) if bpf.is_branch(code) else (k,) if code == bpf.JA else (0,)
        after = [] if code == bpf.RET_K else [places[-1 - jump] for jump in jumps]
        leads = {made[place] for place in after}
        further = [len(made) - 1 - place for place in after]
        if code == bpf.RET_K:
            put = (code, 0, 0, min(returned, k, key=actions.restriction))
        elif len(leads) == 1 and {lead[0] for lead in leads} == {bpf.RET_K}:
            (put,) = leads
        elif bpf.is_branch(code):
            put = (code, further[0], further[1], k)
        else:
            put = (code, 0, 0, further[0] if code == bpf.JA else k)
        if put[0] != bpf.RET_K or made[-1:] != [put]:
            made.append(put)
        places.append(len(made) - 1)
    return made[::-1]

"""One filter that does what two do together.

A process that has both gets the more restrictive result of each call (bpf.combined). A filter's
jumps only lead forward, and only its returns end it: so each return of the older leads into a copy
of the newer, whose returns are the combined ones, without what makes no difference there.
"""

import struct
from collections.abc import Iterator, Sequence

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
            ending = [_ending(returned, one) for one in second]
            made += _shortened([*_AS_AT_START, *ending])
        made[place] = (bpf.JA, 0, 0, copies[returned] - place - 1)
    whole = b"".join(_INSTRUCTION.pack(*one) for one in made)
    bpf.program(whole)
    return whole


def _ending(returned: int, one: bpf.Instruction) -> bpf.Instruction:
    """Return an instruction; if it is a return, of the more restrictive result.

    Of equal actions the older filter's errno counts, where the kernel takes the newer's: copies are
    short then.
    """
    code, true, false, k = one
    if code != bpf.RET_K:
        return one
    is_old = actions.restriction(returned) <= actions.restriction(k)
    return code, true, false, returned if is_old else k


def _shortened(instructions: Sequence[bpf.Instruction]) -> list[bpf.Instruction]:
    """Return the same filter without what makes no difference, or is never reached."""
    made = [*instructions]
    results: dict[int, int | None] = {}  # what an instruction leads to, None if that depends
    for place in reversed(range(len(made))):
        code, _, _, k = made[place]
        after = {results[one] for one in _next(place, made[place])} or {k}
        results[place] = after.pop() if len(after) == 1 else None
        if code != bpf.RET_K and (result := results[place]) is not None:
            made[place] = (bpf.RET_K, 0, 0, result)
    reached = {0}
    for place, one in enumerate(made):
        reached.update(_next(place, one) if place in reached else ())
    places = {old: new for new, old in enumerate(sorted(reached))}
    return [_moved(made[old], old, places) for old in sorted(reached)]


def _next(place: int, one: bpf.Instruction) -> Iterator[int]:
    code, true, false, k = one
    if bpf.is_branch(code):
        yield from (place + 1 + true, place + 1 + false)
    elif code == bpf.JA:
        yield place + 1 + k
    elif code != bpf.RET_K:
        yield place + 1


def _moved(one: bpf.Instruction, old: int, places: dict[int, int]) -> bpf.Instruction:
    """Return an instruction whose jumps lead to the same, which has moved: never further away."""
    code, true, false, k = one
    here = places[old] + 1
    if bpf.is_branch(code):
        return code, places[old + 1 + true] - here, places[old + 1 + false] - here, k
    return (code, true, false, places[old + 1 + k] - here) if code == bpf.JA else one

"""Runs classic BPF as the kernel does for a seccomp filter, unchecked; the agent loads this.

`bpf` checks a filter as the kernel does at load. A filter that a container's own program installs
has been checked by the kernel. Facts: linux:net/core/filter.c, kernel/seccomp.c.
"""

from __future__ import annotations

import struct

from runc_wrap.profiles.return_codes import ACTION_MASK

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

INSTRUCTION = 8  # sizeof(struct sock_filter)
_MASK = 0xFFFFFFFF
_FORM = struct.Struct("=HBBI")  # code, jt, jf, k
_RET_K, _RET_A = 0x06, 0x16
_LENGTH = 64  # of struct seccomp_data


def may_answer(program: bytes, wanted: int) -> bool:
    """Return whether any instruction could return this action."""
    return any(
        code == _RET_A or (code == _RET_K and k & ACTION_MASK == wanted)
        for code, _, _, k in _FORM.iter_unpack(program)
    )


def action(program: bytes, words: tuple[int, ...]) -> int:
    """Return what it answers, without errno or other data; `words` is struct seccomp_data.

    Raises IndexError or KeyError if it is not a valid filter. Jumps lead forward only, so it takes
    no more steps than there are instructions.
    """
    return run([*_FORM.iter_unpack(program)], words) & ACTION_MASK


def run(  # noqa: C901 - a machine
    steps: Sequence[tuple[int, int, int, int]],
    words: Sequence[int],
    links: Mapping[int, tuple[Any, int]] | None = None,
) -> int:
    """Return a filter's result for a call, struct seccomp_data; `links` are bpf.Program's."""
    a = x = at = 0
    memory = [0] * 16
    while True:
        code, true, false, k = steps[at]
        kind = code & 0x07
        if links and code == 0x15:  # noqa: PLR2004 - JEQ
            chain, rank = links[at]
            at = chain.target(rank, a)
            continue
        at += 1
        if code == 0x20:  # noqa: PLR2004 - LD ABS
            a = words[k >> 2]
        elif code == 0x05:  # noqa: PLR2004 - JA
            at += k
        elif kind == 0x05:  # noqa: PLR2004 - JMP
            at += true if holds(code, a, x if code & 0x08 else k) else false
        elif code == _RET_K:
            return k
        elif code == _RET_A:
            return a
        elif kind in (0x00, 0x01):
            value = memory[k] if code & 0xE0 == 0x60 else _LENGTH if code & 0x80 else k  # noqa: PLR2004
            a, x = (value, x) if kind == 0 else (a, value)
        elif kind in (0x02, 0x03):
            memory[k] = a if kind == 0x02 else x  # noqa: PLR2004 - ST, STX
        elif kind == 0x07:  # noqa: PLR2004 - TAX, TXA
            a, x = (x, x) if code & 0x80 else (a, a)
        else:
            operand = x if code & 0x08 else k
            if code & 0xF0 == 0x30 and not operand:  # noqa: PLR2004 - DIV
                return 0
            a = calculated(code, a, operand)


def holds(code: int, a: int, operand: int) -> bool:
    """Return whether a jump takes its true side for this accumulator and operand."""
    kind = code & 0xF0
    if kind == 0x10:  # noqa: PLR2004 - JEQ
        return a == operand
    if kind == 0x40:  # noqa: PLR2004 - JSET
        return bool(a & operand)
    return a > operand or (kind == 0x30 and a == operand)  # noqa: PLR2004 - JGT, JGE


def calculated(code: int, a: int, operand: int) -> int:
    """Return the accumulator after an ALU instruction; shifts use five bits, as in the kernel."""
    kind = code & 0xF0
    if kind == 0x50:  # noqa: PLR2004 - AND, the only one that libseccomp uses
        return a & operand
    if kind == 0x80:  # noqa: PLR2004 - NEG
        return -a & _MASK
    if kind == 0x30:  # noqa: PLR2004 - DIV
        return a // operand
    shift = operand & 31
    return {
        0x00: a + operand,
        0x10: a - operand,
        0x20: a * operand,
        0x40: a | operand,
        0x60: a << shift,
        0x70: a >> shift,
        0xA0: a ^ operand,
    }[kind] & _MASK

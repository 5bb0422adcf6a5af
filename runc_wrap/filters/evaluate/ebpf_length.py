"""How many instructions the kernel counts for a filter: those of the eBPF that it makes of it.

net/core/filter.c bpf_convert_filter (since 4.16); the sum over a thread's filters is bounded in
kernel/seccomp.c seccomp_attach_filter.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from runc_wrap.filters.evaluate import bpf

if TYPE_CHECKING:
    from collections.abc import Iterable

MOST = 1 << 15  # MAX_INSNS_PER_PATH
_EACH = 4  # that the kernel adds for each filter that is there already
_PROLOGUE = 3
_DIVIDE_BY_X, _IF_SET = 0x3C, 0x40


def has_room(filters: Iterable[bytes], program: bytes, *, is_hardened: bool = False) -> bool:
    """Tell whether the kernel adds a filter to these (struct sock_filter[]). Raises BpfError.

    `is_hardened`: net.core.bpf_jit_harden makes up to three instructions of each
    (kernel/bpf/core.c bpf_jit_blind_insn), so that the answer may be False where there is room.
    """
    each = 3 if is_hardened else 1
    used = sum(each * length(one) + _EACH for one in filters)
    return used + each * length(program) <= MOST


def length(data: bytes) -> int:
    """Return the number of instructions that the kernel makes of a filter. Raises BpfError."""
    return _PROLOGUE + sum(_made(*one) for one in bpf.program(data).instructions)


def _made(code: int, true: int, false: int, k: int) -> int:
    if bpf.is_branch(code):
        is_long = false and (true or code & 0xF0 == _IF_SET)
        return 1 + bool(is_long) + (not code & bpf.FROM_X and k >> 31)
    return {bpf.RET_K: 2, _DIVIDE_BY_X: 5}.get(code, 1)

"""Seccomp's classic BPF: checked, evaluated as the kernel would, merged and measured.

Sources: struct seccomp_data and struct sock_filter of linux/seccomp.h and linux/filter.h;
kernel/seccomp.c seccomp_check_filter for the instructions that a filter may have; net/core/filter.c
bpf_check_classic for their number, at most 4096, and for jumps, which only lead forward, so that
evaluating takes a bounded number of steps; kernel/seccomp.c seccomp_run_filters for several
filters, see `combined`; net/core/filter.c bpf_convert_filter (since 4.16) and kernel/seccomp.c
seccomp_attach_filter for the length that the kernel counts, see `has_room`.
"""

import struct
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from runc_wrap.filters.evaluate import bpf_machine
from runc_wrap.profiles import actions, return_codes

Args = tuple[int, int, int, int, int, int]
NO_ARGS: Args = (0, 0, 0, 0, 0, 0)

_INSTRUCTION = struct.Struct("=HBBI")  # code, jt, jf, k
_DATA = struct.Struct("=iIQ6Q")  # nr, arch, instruction_pointer, args[6]
_WORDS = struct.Struct("=16I")
_MOST = 4096  # BPF_MAXINSNS
_MEMORY = 16  # BPF_MEMWORDS
MOST_EBPF = 1 << 15  # MAX_INSNS_PER_PATH, of all filters of a thread
_EACH = 4  # that the kernel adds for each filter that is there already
_PROLOGUE = 3
FIRST_ARGUMENT = 4  # index of the word of seccomp_data at which args begin, two words each
_LOW = 0 if sys.byteorder == "little" else 1

# The codes that seccomp allows: class | size or operation | source.
LD_ABS, LD_LEN, LD_IMM, LD_MEM = 0x20, 0x80, 0x00, 0x60
LDX_LEN, LDX_IMM, LDX_MEM, ST, STX = 0x81, 0x01, 0x61, 0x02, 0x03
RET_K, RET_A, TAX, TXA, NEG, JA, JEQ = 0x06, 0x16, 0x07, 0x87, 0x84, 0x05, 0x15
_JUMPS = {0x10, 0x20, 0x30, 0x40}  # JEQ, JGT, JGE, JSET
_OPERATIONS = {0x00, 0x10, 0x20, 0x30, 0x40, 0x50, 0x60, 0x70, 0xA0}
_DIV = 0x30
FROM_X = 0x08
_JMP, ALU = 0x05, 0x04
_DIVIDE_BY_X, _IF_SET = 0x3C, 0x40
_OTHERS = {
    LD_ABS, LD_LEN, LD_IMM, LD_MEM, LDX_LEN, LDX_IMM, LDX_MEM, ST, STX, RET_K, RET_A, TAX, TXA,
    NEG, JA,
}  # fmt: skip

Instruction = tuple[int, int, int, int]


class BpfError(ValueError):
    """Bytes that are not a seccomp filter; the text is one sentence."""


@dataclass(slots=True)
class Chain:
    """Tests of the accumulator for equality, each reached where the one before it fails.

    libseccomp makes one of hundreds for the calls of an ABI. `targets` has where each operand
    leads, with its rank, which falls along the chain; `end` is where the last test leads if it
    fails.
    """

    end: int
    length: int = 0
    targets: dict[int, list[tuple[int, int]]] = field(default_factory=dict)

    def prepend(self, operand: int, target: int) -> int:
        """Put a test before the others; return its rank."""
        self.length += 1
        self.targets.setdefault(operand, []).append((self.length, target))
        return self.length

    def target(self, rank: int, a: int) -> int:
        """Return where an accumulator leads from the test of this rank on."""
        for found, target in reversed(self.targets.get(a, ())):
            if found <= rank:
                return target
        return self.end


@dataclass(frozen=True, slots=True)
class Program:
    """The instructions of a filter, and of each JEQ its chain and its rank in that."""

    instructions: tuple[Instruction, ...]
    links: Mapping[int, tuple[Chain, int]] = field(compare=False)


@dataclass(frozen=True, slots=True)
class SeccompData:
    """The struct seccomp_data of one call: `arch` is AUDIT_ARCH_*; `number` has x32's bit 30."""

    arch: int
    number: int
    args: Args = NO_ARGS

    def words(self) -> tuple[int, ...]:
        """Return seccomp_data as 16 words of 32 bits, in this machine's byte order."""
        number = self.number - (1 << 32) if self.number >> 31 else self.number
        return _WORDS.unpack(_DATA.pack(number, self.arch, 0, *self.args))


def argument_word(index: int, *, high: bool) -> int:
    """Return the index of the word of seccomp_data that holds half of an argument (0 to 5)."""
    return FIRST_ARGUMENT + 2 * index + (_LOW if not high else 1 - _LOW)


def packed(instructions: Iterable[Instruction]) -> bytes:
    """Return instructions as struct sock_filter[]."""
    return b"".join(_INSTRUCTION.pack(*one) for one in instructions)


@lru_cache(maxsize=256)
def program(data: bytes) -> Program:
    """Return the instructions in a filter's bytes (struct sock_filter[], this machine's order).

    Every instruction is checked as the kernel does at load. Raises BpfError.
    """
    if not data or len(data) % _INSTRUCTION.size or len(data) > _MOST * _INSTRUCTION.size:
        raise BpfError(
            f"{len(data)} bytes are not a filter of 1 to {_MOST} instructions of 8 bytes"
        )
    found = tuple(_INSTRUCTION.iter_unpack(data))
    for place, instruction in enumerate(found):
        _check(place, instruction, len(found))
    if found[-1][0] not in (RET_K, RET_A):
        raise BpfError("the filter's last instruction is not a return")
    return Program(found, _links(found))


def _links(instructions: Sequence[Instruction]) -> dict[int, tuple[Chain, int]]:
    """Return the chain and rank of each JEQ: one that two lead to begins the rest of both."""
    links: dict[int, tuple[Chain, int]] = {}
    landings = [*range(len(instructions))]  # of each place, after the unconditional jumps there
    for place in reversed(landings):
        code, true, false, k = instructions[place]
        if code == JA:
            landings[place] = landings[place + 1 + k]
        elif code == JEQ:
            after = landings[place + 1 + false]
            chain, rank = links.get(after, (None, 0))
            if chain is None or rank < chain.length:
                chain = Chain(after)
            links[place] = chain, chain.prepend(k, place + 1 + true)
    return links


def _check(place: int, instruction: Instruction, length: int) -> None:
    code, true, false, k = instruction
    arithmetic = code < 0x100 and code & 0x07 == ALU and code & 0xF0 in _OPERATIONS  # noqa: PLR2004
    if not (arithmetic or code in _OTHERS or _is_branch(code)):
        raise BpfError(f"instruction {place} has the code {code:#x}, which seccomp refuses")
    if code == LD_ABS and (k % 4 or k >= _DATA.size):
        raise BpfError(f"instruction {place} loads offset {k}, outside struct seccomp_data")
    if code in (LD_MEM, LDX_MEM, ST, STX) and k >= _MEMORY:
        raise BpfError(f"instruction {place} uses memory word {k}, but there are only {_MEMORY}")
    if code == (ALU | _DIV) and k == 0:
        raise BpfError(f"instruction {place} divides by zero")
    furthest = k if code == JA else max(true, false) if _is_branch(code) else 0
    if place + 1 + furthest >= length and code not in (RET_K, RET_A):
        raise BpfError(f"instruction {place} jumps past the end of the filter")


def _is_branch(code: int) -> bool:
    return code & 0x07 == _JMP and code & ~FROM_X & 0xFFF8 in _JUMPS


def evaluate(program: Program, call: SeccompData) -> int:
    """Return one filter's result for a call: action and data, SECCOMP_RET_*.

    Never takes more steps than there are instructions, since jumps only lead forward.
    """
    return bpf_machine.run(program.instructions, call.words(), program.links)


def combined(programs: Sequence[Program], call: SeccompData) -> int:
    """Return the kernel's result for several filters, oldest first as ptrace counts them.

    seccomp_run_filters runs the newest first and keeps a later result only if its action, as a
    signed number, is smaller: KILL_PROCESS, KILL_THREAD, TRAP, ERRNO, USER_NOTIF, TRACE, LOG,
    ALLOW. Among equal actions, the newest filter's data stays. Without filters, all is allowed.
    """
    words = call.words()
    returned = return_codes.ALLOW
    for one in reversed(programs):
        result = bpf_machine.run(one.instructions, words, one.links)
        if actions.restriction(result) < actions.restriction(returned):
            returned = result
    return returned


def merged(old: bytes, new: bytes) -> bytes:
    """Return one filter (struct sock_filter[]) that does what two do together, see `combined`.

    A filter's jumps only lead forward, and only its returns end it: so each return of the older
    leads into a copy of the newer, whose returns are the combined ones, without what makes no
    difference there. Raises BpfError if there is none: it would be too long, or one returns a
    calculated value.
    """
    first, second = (program(one).instructions for one in (old, new))
    if any(one[0] == RET_A for one in (*first, *second)):
        raise BpfError("one of the two filters returns a calculated value")
    made = [*first]
    as_at_start = ((LD_IMM, 0, 0, 0), (TAX, 0, 0, 0))
    copies: dict[int, int] = {}
    for place, (code, _, _, returned) in enumerate(first):
        if code != RET_K:
            continue
        if returned not in copies:
            copies[returned] = len(made)
            made += _ending((*as_at_start, *second), returned)
        made[place] = (JA, 0, 0, copies[returned] - place - 1)
    whole = packed(made)
    program(whole)
    return whole


def _ending(instructions: Sequence[Instruction], returned: int) -> list[Instruction]:
    """Return a filter's copy that returns the more restrictive of its result and another.

    Of equal actions the older filter's errno counts, where the kernel takes the newer's: copies are
    short then. What leads to one return in any case becomes that return, and neighbours that are
    equal become one, so that no jump gets longer.
    """
    made: list[Instruction] = []  # from the last to the first
    places: list[int] = []  # in `made`, of each instruction from the last to the first
    for one in reversed(instructions):
        code, true, false, k = one
        jumps = (true, false) if _is_branch(code) else (k,) if code == JA else (0,)
        after = [] if code == RET_K else [places[-1 - jump] for jump in jumps]
        leads = {made[place] for place in after}
        further = [len(made) - 1 - place for place in after]
        if code == RET_K:
            put = (code, 0, 0, min(returned, k, key=actions.restriction))
        elif len(leads) == 1 and {lead[0] for lead in leads} == {RET_K}:
            (put,) = leads
        elif _is_branch(code):
            put = (code, further[0], further[1], k)
        else:
            put = (code, 0, 0, further[0] if code == JA else k)
        if put[0] != RET_K or made[-1:] != [put]:
            made.append(put)
        places.append(len(made) - 1)
    return made[::-1]


def has_room(filters: Iterable[bytes], added: bytes, *, is_hardened: bool = False) -> bool:
    """Tell whether the kernel adds a filter to these (struct sock_filter[]). Raises BpfError.

    `is_hardened`: net.core.bpf_jit_harden makes up to three instructions of each
    (kernel/bpf/core.c bpf_jit_blind_insn), so that the answer may be False where there is room.
    """
    each = 3 if is_hardened else 1
    used = sum(each * ebpf_length(one) + _EACH for one in filters)
    return used + each * ebpf_length(added) <= MOST_EBPF


def ebpf_length(data: bytes) -> int:
    """Return how many instructions of eBPF the kernel makes of a filter. Raises BpfError."""
    return _PROLOGUE + sum(_length(*one) for one in program(data).instructions)


def _length(code: int, true: int, false: int, k: int) -> int:
    if _is_branch(code):
        is_long = false and (true or code & 0xF0 == _IF_SET)
        return 1 + bool(is_long) + (not code & FROM_X and k >> 31)
    return {RET_K: 2, _DIVIDE_BY_X: 5}.get(code, 1)

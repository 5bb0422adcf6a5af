"""What a filter can return for one system call number, whatever its arguments.

A walk through the program with number and architecture given follows both sides of every branch
that depends on an argument. Where none does, one evaluation holds for all arguments: that is
proved, not sampled. Else the walk tells which values the arguments are compared with, so that
calls at, below and above each can be tried.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice, product
from typing import NamedTuple

from runc_wrap.node import bpf
from runc_wrap.profiles.loading import MASKED_EQ, Comparison

_MASK = 0xFFFFFFFF
_EVERY_BIT = (1 << 64) - 1
MOST_CALLS = 4096  # argument patterns tried for one number
_AND_K = 0x54
_UNKNOWN = 99  # no word of seccomp_data: the accumulator may hold anything


@dataclass(slots=True)
class Interest:
    """Values that arguments are compared with: `values` by index, `halves` for one half only."""

    values: dict[int, set[int]] = field(default_factory=dict)

    def note(self, index: int, value: int) -> None:
        """Note a value of an argument, its neighbours, and the same with other upper halves."""
        near = {value - 1, value, value + 1}
        self.values.setdefault(index, {0, _EVERY_BIT}).update(one & _EVERY_BIT for one in near)

    def note_condition(self, one: Comparison) -> None:
        """Note what a profile's condition compares with, masks with bits to spare."""
        self.note(one.index, one.value)
        if one.op == MASKED_EQ:
            wanted = one.value_two & one.value
            self.note(one.index, wanted)
            self.note(one.index, wanted | (~one.value & _EVERY_BIT))
            self.note(one.index, wanted ^ (one.value & -one.value))

    def calls(self) -> Iterator[bpf.Args]:
        """Give argument patterns: each value alone, then combinations, at most MOST_CALLS."""
        yield bpf.NO_ARGS
        for index, values in self.values.items():
            for value in sorted(values):
                yield _with({index: value})
        if len(self.values) > 1:
            yield from self._combinations()

    def _combinations(self) -> Iterator[bpf.Args]:
        indexes = list(self.values)
        columns = [sorted(self.values[index]) for index in indexes]
        for chosen in islice(product(*columns), MOST_CALLS):
            yield _with(dict(zip(indexes, chosen, strict=True)))


def _with(chosen: dict[int, int]) -> bpf.Args:
    a, b, c, d, e, f = (chosen.get(index, 0) for index in range(6))
    return a, b, c, d, e, f


def interest(programs: Iterable[bpf.Program], arch: int, number: int) -> Interest:
    """Return what the programs compare arguments of this number with; nothing if they do not."""
    found = Interest()
    words = bpf.Call(arch, number).words()
    for program in programs:
        _walk(program, words, found)
    return found


class _State(NamedTuple):
    """An instruction, and the accumulator there: a word of args, or `value` if `word` is None."""

    place: int
    word: int | None = None
    value: int = 0


def _walk(program: bpf.Program, words: Sequence[int], found: Interest) -> None:
    """Visit every instruction that this number can reach, once for each accumulator."""
    todo = [_State(0)]
    seen: set[_State] = set()
    while todo:
        state = _to_branch(program, words, todo.pop(), found)
        if state is not None and state not in seen:
            seen.add(state)
            todo.extend(_sides(program[state.place], state, found))


def _to_branch(
    program: bpf.Program, words: Sequence[int], state: _State, found: Interest
) -> _State | None:
    """Follow the program to where arguments decide, or None to its end."""
    place, word, value = state
    while True:
        code, true, false, k = program[place]
        if code & 7 == 5 and code != bpf.JA:  # noqa: PLR2004 (a branch)
            if word is not None or code & bpf.FROM_X:
                return _State(place, word, value)
            place += true if bpf.holds(code, value, k) else false
        elif code == bpf.LD_ABS:
            is_argument = k >> 2 >= bpf.FIRST_ARGUMENT
            word, value = (k >> 2, 0) if is_argument else (None, words[k >> 2])
        elif code in (bpf.RET_K, bpf.RET_A):
            return None
        elif code == bpf.JA:
            place += k
        else:
            _, word, value = _calculated(code, k, _State(place, word, value), found)
        place += 1


def _sides(instruction: bpf.Instruction, state: _State, found: Interest) -> list[_State]:
    code, true, false, k = instruction
    _note(found, _UNKNOWN if code & bpf.FROM_X else state.word, k)
    return [state._replace(place=state.place + 1 + jump) for jump in {true, false}]


def _calculated(code: int, k: int, state: _State, found: Interest) -> _State:
    """Return the accumulator after an instruction that neither loads from the call nor jumps.

    What is done to an argument is taken for the argument still; what comes from memory or X,
    which libseccomp and runc never use, for any of them.
    """
    if code in (bpf.TXA, bpf.LD_MEM) or (code & 7 == bpf.ALU and code & bpf.FROM_X):
        return state._replace(word=_UNKNOWN)
    if state.word is not None:
        if code == _AND_K:
            _note(found, state.word, k)
            _note(found, state.word, ~k & _MASK)
        return state
    if code & 7 == bpf.ALU and code != bpf.NEG:
        return state._replace(value=bpf.arithmetic(code, state.value, k))
    if code in (bpf.LD_IMM, bpf.LD_LEN, bpf.NEG):
        return state._replace(word=_UNKNOWN)
    return state


def _note(found: Interest, word: int | None, k: int) -> None:
    if word is None or word == _UNKNOWN:
        for index in range(6):
            found.note(index, k)
        return
    index = (word - bpf.FIRST_ARGUMENT) // 2
    found.note(index, k << 32 if word == bpf.argument_word(index, high=True) else k)

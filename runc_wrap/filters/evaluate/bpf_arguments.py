"""Which arguments a filter's result for one system call number depends on, and at which values.

A walk through the program, for a given number and architecture, follows both sides of every branch
that depends on an argument. If there is none, one evaluation holds for all arguments: proved, not
sampled. Otherwise the walk collects the values that the arguments are compared with, so that calls
with, below and above each can be tried.
"""

from collections.abc import Collection, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from itertools import islice, product
from math import prod
from operator import or_
from typing import NamedTuple

from runc_wrap.filters.evaluate import bpf, bpf_machine
from runc_wrap.hotpath.operators import GE, GT, LE, LT, MASKED_EQ, holds
from runc_wrap.profiles.source_profile import Argument

_MASK, _WHOLE = 0xFFFFFFFF, 0xFFFFFFFF_FFFFFFFF
MOST_CALLS = 4096  # argument patterns tried for one number
_MOST_TESTS = 20_000  # of one number; a filter has 4096 instructions
_MOST_ASKED = 10_000_000  # comparisons of values, to tell them apart: a second or two
_STRIDE = 2654435761  # a prime: each combination comes once, and a part has nearly all values
_MOST_STEPS, _STEPS_OF_EACH = 512, 64  # to a value that meets no mask, and to one that meets one
_AND_K = 0x54
_RANGES = (LT, LE, GT, GE)
_INSTRUCTION_POINTER = (2, 3)  # words of struct seccomp_data, linux/seccomp.h
_UNKNOWN = 99  # not a word of seccomp_data: the accumulator may hold any value


@dataclass(slots=True)
class Interest:
    """Values that arguments are compared with, {argument index: values}, by halves of 32 bits.

    `whole` has those of a profile, with their neighbours. `is_calculated`: a filter compares what
    it calculates of the call, or where it was made from, so no list of values is complete.
    `tests` has what filters ask: (word of struct seccomp_data, the bits that count, operation, k).
    """

    low: dict[int, set[int]] = field(default_factory=dict)
    high: dict[int, set[int]] = field(default_factory=dict)
    whole: dict[int, set[int]] = field(default_factory=dict)
    is_calculated: bool = False
    tests: set[tuple[int, int, int, int]] = field(default_factory=set)

    def note(self, index: int, value: int, *, high: bool) -> None:
        """Add a value of half an argument, with its neighbours."""
        this, other = (self.high, self.low) if high else (self.low, self.high)
        near = {value & _MASK, value - 1 & _MASK, value + 1 & _MASK}
        this.setdefault(index, {0, _MASK}).update(near)
        other.setdefault(index, {0, _MASK})

    def note_conditions(self, conditions: Iterable[Argument]) -> None:
        """Add the values of a profile's conditions, and those that meet one mask, or none."""
        masked: dict[int, list[Argument]] = {}
        bounds: dict[int, set[int]] = {}
        for one in conditions:
            self._note_condition(one)
            if one.op == MASKED_EQ:
                masked.setdefault(one.index, []).append(one)
            elif one.op in _RANGES:
                bounds.setdefault(one.index, set()).update((one.value, one.value + 1))
        for index, some in masked.items():
            found = set(_apart(some))
            self.whole[index].update(found)
            if ranges := bounds.get(index):
                every = reduce(or_, (one.value for one in some))
                within = _within(ranges, every, {one & every for one in found})
                self.whole[index].update(islice(within, MOST_CALLS))

    def _note_condition(self, one: Argument) -> None:
        """Add the value of a profile's condition; for a mask, also values with other bits set."""
        values = [one.value]
        if one.op == MASKED_EQ:
            wanted = one.value_two & one.value
            values += [wanted, wanted | ~one.value, wanted ^ (one.value & -one.value)]
        for value in values:
            self.note(one.index, value & _MASK, high=False)
            self.note(one.index, value >> 32 & _MASK, high=True)
            near = (value,) if one.op == MASKED_EQ else (value, value - 1, value + 1)
            self.whole.setdefault(one.index, set()).update(each & _WHOLE for each in near)

    def of_rules(self) -> "Interest":
        """Return the values of a profile's rules alone, in no halves."""
        none: dict[int, set[int]] = {index: set() for index in self.low}
        return Interest(none, none, self.whole)

    def without(self, known: Container[int]) -> "Interest":
        """Return the values of the arguments that are not known."""
        low, high, whole = (
            {index: some for index, some in each.items() if index not in known}
            for each in (self.low, self.high, self.whole)
        )
        return Interest(low, high, whole)

    @property
    def indexes(self) -> list[int]:
        """Return the indexes of the compared arguments."""
        return sorted(self.low)

    def values(self, index: int) -> list[int]:
        """Return the values of an argument to try: whole ones first, then every pair of halves."""
        pairs = (
            high << 32 | low for high in sorted(self.high[index]) for low in sorted(self.low[index])
        )
        return list(dict.fromkeys((*sorted(self.whole.get(index, ())), *pairs)))

    def apart(self, conditions: Collection[Argument], most: int) -> Iterator[bpf.Args] | None:
        """Return all combinations of values, one of each that filters and conditions tell apart.

        None if they are more than `most` or take too long, or a filter compares what it calculates.
        """
        columns = [self._apart(index, conditions) for index in self.indexes]
        if self.is_calculated or not all(columns) or prod(map(len, columns)) > most:
            return None
        return (_with(dict(zip(self.indexes, one, strict=True))) for one in product(*columns))

    def _apart(self, index: int, conditions: Iterable[Argument]) -> Collection[int]:
        """Return such values of one argument; () if that takes too long."""
        own = [one for one in conditions if one.index == index]
        words = [bpf.argument_word(index, high=high) for high in (False, True)]
        tests = [(words.index(word), *rest) for word, *rest in self.tests if word in words]
        found: dict[tuple[object, ...], int] = {}
        if self._count(index) * (len(own) + len(tests)) > _MOST_ASKED:
            return ()
        for value in self.values(index):
            asked = (
                bpf_machine.holds(how, value >> 32 * at & bits, k) for at, bits, how, k in tests
            )
            compared = (holds(one.op, value, one.value, one.value_two) for one in own)
            found.setdefault((*asked, *compared), value)
        return found.values()

    @property
    def alone(self) -> int:
        """How many patterns `calls` yields before combinations."""
        return 1 + sum(map(self._count, self.indexes))

    @property
    def is_sampled(self) -> bool:
        """Tell whether `calls` leaves out some: of calculated values, or more than MOST_CALLS."""
        return self.is_calculated or (
            len(self.indexes) > 1 and prod(map(self._count, self.indexes)) > MOST_CALLS
        )

    def _count(self, index: int) -> int:
        """Return how many `values` there are."""
        low, high = self.low[index], self.high[index]
        whole = self.whole.get(index, ())
        apart = sum(one & _MASK not in low or one >> 32 not in high for one in whole)
        return len(low) * len(high) + apart

    def calls(self) -> Iterator[bpf.Args]:
        """Yield argument patterns: each value alone, then combinations, at most MOST_CALLS."""
        yield bpf.NO_ARGS
        for index in self.indexes:
            for value in self.values(index):
                yield _with({index: value})
        if len(self.indexes) > 1:
            yield from self._combinations()

    def _combinations(self) -> Iterator[bpf.Args]:
        columns = [self.values(index) for index in self.indexes]
        every = prod(map(len, columns))
        for turn in range(min(every, MOST_CALLS)):
            place, chosen = turn * _STRIDE % every, {}
            for index, column in zip(self.indexes, columns, strict=True):
                place, at = divmod(place, len(column))
                chosen[index] = column[at]
            yield _with(chosen)


def _apart(masked: Sequence[Argument]) -> Iterator[int]:
    """Yield values that meet none of an argument's masks, and each alone, where those allow it.

    With the bits that no mask has all clear, and all set.
    """
    every = reduce(or_, (one.value for one in masked))
    known: dict[int, set[int]] = {0: {0}}
    for rule in masked:
        known.setdefault(rule.value, set()).add(rule.value_two & rule.value)
    for mask, wanted in known.items():
        others = {other: some for other, some in known.items() if other not in (0, mask)}
        for one in wanted:
            steps = _STEPS_OF_EACH if mask else _MOST_STEPS
            value = _meeting_none(others, one, mask, steps)
            yield from (value, (value | ~every) & _WHOLE)


def _within(bounds: Iterable[int], mask: int, patterns: Iterable[int]) -> Iterator[int]:
    """Yield, from each bound on, the first value that has each of the patterns under the mask."""
    for bound, pattern in product(sorted({0, *bounds}), sorted(patterns)):
        after = (((bound >> at) + 1 << at) | pattern & (1 << at) - 1 for at in range(64))
        first = next((one for one in (bound, *after) if one & mask == pattern), _WHOLE + 1)
        if first <= _WHOLE:
            yield first


def _meeting_none(masks: Mapping[int, Container[int]], value: int, stay: int, steps: int) -> int:
    """Return a value with these bits that meets none of the masks; any if steps do not suffice."""
    todo = [(value, stay)]  # values, and the bits of each that stay
    for _ in range(steps):
        if not todo:
            break
        value, stay = todo.pop()
        met = next((mask for mask, wanted in masks.items() if value & mask in wanted), None)
        if met is None:
            break
        free = met & ~stay
        bits = (1 << at for at in reversed(range(64)))  # low ones first: 32-bit ABIs have no other
        todo += [(value ^ bit, stay | bit) for bit in bits if free & bit]
    return value


def _with(chosen: dict[int, int]) -> bpf.Args:
    a, b, c, d, e, f = (chosen.get(index, 0) for index in range(6))
    return a, b, c, d, e, f


def interest(programs: Iterable[bpf.Program], arch: int, number: int) -> Interest:
    """Return the values that the programs compare arguments of this number with, if any."""
    found = Interest()
    words = bpf.SeccompData(arch, number).words()
    for program in programs:
        todo, seen = [_State(0)], set[_State]()
        while todo:  # each instruction that this number can reach, once for each accumulator state
            state = _to_branch(program, words, todo.pop(), found)
            if state is not None and state not in seen:
                seen.add(state)
                todo.extend(_sides(program.instructions[state.place], state, found))
    return found


class _State(NamedTuple):
    """An instruction and the accumulator before it: a word of args, of which the bits in `value`.

    Or `value` itself if word is None.
    """

    place: int
    word: int | None = None
    value: int = 0


def _to_branch(
    program: bpf.Program, words: Sequence[int], state: _State, found: Interest
) -> _State | None:
    """Follow the program to the next branch on an argument; return None at its end."""
    place, word, value = state
    while True:
        code, true, false, k = program.instructions[place]
        if code == bpf.JEQ and word is None:
            chain, rank = program.links[place]
            place = chain.target(rank, value)
            continue
        if code & 7 == 5 and code != bpf.JA:  # noqa: PLR2004 (a branch)
            if word is not None or code & bpf.FROM_X:
                return _State(place, word, value)
            place += true if bpf_machine.holds(code, value, k) else false
        elif code == bpf.LD_ABS:
            is_argument = k >> 2 >= bpf.FIRST_ARGUMENT
            word, value = (k >> 2, _MASK) if is_argument else (None, words[k >> 2])
            found.is_calculated |= k >> 2 in _INSTRUCTION_POINTER
        elif code in (bpf.RET_K, bpf.RET_A):
            if code == bpf.RET_A and word is not None:
                found.is_calculated = True
                _note(found, word, 0)
            return None
        elif code == bpf.JA:
            place += k
        else:
            _, word, value = _calculated(code, k, _State(place, word, value), found)
        place += 1


def _sides(instruction: bpf.Instruction, state: _State, found: Interest) -> list[_State]:
    code, true, false, k = instruction
    found.is_calculated |= bool(code & bpf.FROM_X)
    _note(found, _UNKNOWN if code & bpf.FROM_X else state.word, k)
    found.tests.add((state.word or _UNKNOWN, state.value, code, k))
    return [state._replace(place=state.place + 1 + jump) for jump in {true, false}]


def _calculated(code: int, k: int, state: _State, found: Interest) -> _State:
    """Return the accumulator after an instruction that neither loads from the call nor jumps.

    A value calculated from an argument still counts as that argument. A value from memory or X,
    which libseccomp and runc never use, counts as any of them.
    """
    if code in (bpf.TXA, bpf.LD_MEM) or (code & 7 == bpf.ALU and code & bpf.FROM_X):
        found.is_calculated = True
        return state._replace(word=_UNKNOWN)
    if state.word is not None:
        if code == _AND_K:
            _note(found, state.word, k)
            _note(found, state.word, ~k & _MASK)
            found.is_calculated |= len(found.tests) > _MOST_TESTS  # a hostile one doubles them
            return state if found.is_calculated else state._replace(value=state.value & k)
        found.is_calculated |= code & 7 == bpf.ALU
        return state
    if code & 7 == bpf.ALU and code != bpf.NEG:
        return state._replace(value=bpf_machine.calculated(code, state.value, k))
    if code in (bpf.LD_IMM, bpf.LD_LEN, bpf.NEG):
        found.is_calculated = True
        return state._replace(word=_UNKNOWN)
    return state


def _note(found: Interest, word: int | None, k: int) -> None:
    if word is None or word == _UNKNOWN:
        for index in range(6):
            found.note(index, k, high=False)
            found.note(index, k, high=True)
        return
    index = (word - bpf.FIRST_ARGUMENT) // 2
    found.note(index, k, high=word == bpf.argument_word(index, high=True))

"""Comparing the filters of a process with its profile, call by call.

Every number of every ABI that this kernel may run is compared, including those without a name and
a few far above. Results are cached by the filters' bytes.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import chain

from runc_wrap.filters.evaluate import bpf, bpf_arguments
from runc_wrap.filters.evaluate.block_evaluation import Simulation
from runc_wrap.filters.evaluate.libseccomp_input import Block, Loader
from runc_wrap.filters.kernel import libseccomp_compiler
from runc_wrap.hotpath import json_codec
from runc_wrap.profiles import abis, actions, syscall_names
from runc_wrap.profiles.abis import ABIS, X32_BIT, Abi
from runc_wrap.profiles.source_profile import ProfileError

_ROOM = 64  # unnamed numbers tried above the largest named
_FAR = (0xFFF, 0xFFFF, 0x3FFFFFFF)
_MOST_PROGRAMS = 32


@dataclass(frozen=True, slots=True)
class FilterDifference:
    """One call whose result differs from the profile's.

    `expected` and `found` are SECCOMP_RET_* with data. `args` are an example; None if the
    arguments do not matter.
    """

    abi: str
    syscall: str
    number: int
    expected: int
    found: int
    args: bpf.Args | None = None

    @property
    def is_weaker(self) -> bool:
        """Tell whether `found` is less restrictive than `expected`."""
        return actions.restriction(self.found) > actions.restriction(self.expected)


class Expectation:
    """The filter that a process must have: a resolved block, as this runtime loads it.

    Raises ProfileError if the runtime would refuse the block, or libseccomp is missing.
    Building one takes some 20 ms, most of it in libseccomp, which a `lazy` one asks only where
    rules leave a result open. Comparing a new filter takes 0.1 to 1.5 s; so keep one for each
    distinct block.
    """

    def __init__(self, block: Block, loader: Loader, *, lazy: bool = False) -> None:
        self.simulation = Simulation(block, loader)
        if not lazy:
            _ = self.program
        self._seen: dict[tuple[bytes, ...], tuple[FilterDifference, ...]] = {}
        self._sampled: dict[tuple[bytes, ...], tuple[str, ...]] = {}

    @cached_property
    def program(self) -> bpf.Program:
        """libseccomp's own filter. Raises ProfileError."""
        try:
            return bpf.program(libseccomp_compiler.filter_bytes(self.simulation.load))
        except bpf.BpfError as error:
            raise ProfileError(f"the kernel would refuse the filter: {error}") from error

    def code(self, abi: Abi, number: int, args: bpf.Args = bpf.NO_ARGS) -> int:
        """Return a call's expected result, from libseccomp's own filter if rules leave it open."""
        verdict = self.simulation.verdict(abi, number, args)
        if verdict.certain:
            return verdict.code
        return bpf.evaluate(self.program, bpf.SeccompData(abi.audit, number, args))

    def differences(self, filters: Sequence[bytes]) -> tuple[FilterDifference, ...]:
        """Compare filters (oldest first, as filter_readback.read returns them) with the profile.

        Returns the first difference found for each number. () filters allow everything.
        Raises BpfError for bytes that are not a filter.
        """
        key = tuple(filters)
        if key not in self._seen:
            if len(self._seen) >= _MOST_PROGRAMS:
                self._seen.clear()
                self._sampled.clear()
            programs, sampled = tuple(bpf.program(one) for one in key), list[str]()
            self._seen[key] = tuple(self._compared(programs, sampled))
            self._sampled[key] = tuple(sampled)
        return self._seen[key]

    def sampled(self, filters: Sequence[bytes]) -> tuple[str, ...]:
        """Return the calls ("x86_64 prctl") of which `differences` tried only a part.

        Their arguments are compared with more than bpf_arguments.MOST_CALLS combinations of values.
        Nothing is compared for it.
        """
        return self._sampled.get(tuple(filters), ())

    def _compared(
        self, programs: tuple[bpf.Program, ...], sampled: list[str]
    ) -> Iterator[FilterDifference]:
        for abi in abis.runnable(syscall_names.native()):
            for number in numbers(abi):
                found = self._one(programs, abi, number, sampled)
                if found is not None:
                    yield found

    def _one(
        self, programs: tuple[bpf.Program, ...], abi: Abi, number: int, sampled: list[str]
    ) -> FilterDifference | None:
        interest = to_try(programs, [self.simulation], abi, number)
        if interest.is_sampled:
            sampled.append(f"{abi.name} {syscall_names.name_of(abi, number)}")
        for args in interest.calls():
            found = bpf.combined(programs, bpf.SeccompData(abi.audit, number, args))
            expected = self.code(abi, number, args)
            if found != expected:
                shown = args if interest.indexes else None
                name = syscall_names.name_of(abi, number)
                return FilterDifference(abi.name, name, number, expected, found, shown)
        return None


@lru_cache(maxsize=_MOST_PROGRAMS * 2)
def lazily(text: bytes, loader: Loader) -> Expectation:
    """Return a lazy expectation of a block's JSON, once for all that load the same block."""
    return Expectation(json_codec.loads(text), loader, lazy=True)


def to_try(
    programs: Iterable[bpf.Program], texts: Iterable[Simulation], abi: Abi, number: int
) -> bpf_arguments.Interest:
    """Return which arguments matter to filters and to blocks' rules, at which values."""
    found = bpf_arguments.interest(programs, abi.audit, number)
    rules = chain.from_iterable(one.rules(abi, number) for one in texts)
    found.note_conditions(chain.from_iterable(rules))
    return found


@lru_cache(maxsize=_MOST_PROGRAMS)
def weaker(filters: tuple[bytes, ...], wanted: tuple[bytes, ...]) -> tuple[FilterDifference, ...]:
    """Return the calls of which these filters together let through more than others together do.

    The first of each number; an errno does not matter. Raises BpfError.
    """
    return tuple(_weaker(*([bpf.program(one) for one in each] for each in (filters, wanted))))


def _weaker(
    filters: Sequence[bpf.Program], wanted: Sequence[bpf.Program]
) -> Iterator[FilterDifference]:
    for abi in abis.runnable(syscall_names.native()):
        for number in numbers(abi):
            interest = to_try((*filters, *wanted), (), abi, number)
            for args in interest.calls():
                call = bpf.SeccompData(abi.audit, number, args)
                codes = bpf.combined(wanted, call), bpf.combined(filters, call)
                shown = args if interest.indexes else None
                name = syscall_names.name_of(abi, number)
                found = FilterDifference(abi.name, name, number, *codes, shown)
                if found.is_weaker:
                    yield found
                    break


@lru_cache(maxsize=32)
def numbers(abi: Abi) -> tuple[int, ...]:
    """Return the numbers to compare: up to _ROOM above the largest named, and a few far ones.

    -1 is left out for x86_64: its bit 30 makes it a number of x32.
    """
    bit = X32_BIT if abi is ABIS["x32"] else 0
    named = syscall_names.table(abi)
    kept = [
        number | bit for part in syscall_names.ranges(abi) for number in _dense(part, named, bit)
    ]
    far = [number | bit for number in _FAR]
    skipped = [] if abi is ABIS["x86_64"] else [syscall_names.SKIPPED]
    return tuple(dict.fromkeys([*kept, *far, *skipped]))


def _dense(part: range, named: Mapping[int, str], bit: int) -> range:
    top = max((number for number in part if number | bit in named), default=part.start)
    return range(part.start, min(top + _ROOM, part.stop))

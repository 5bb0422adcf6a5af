"""The filter that a runtime installs for a block, and comparing a process' filters with it.

Every number of every ABI that this kernel may run is compared, including those without a name and
a few far above. Results are cached by the filters' bytes.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from errno import ENOSYS
from functools import cached_property, lru_cache
from itertools import chain

from runc_wrap.filters.evaluate import bpf, bpf_arguments
from runc_wrap.filters.evaluate.block_evaluation import Simulation
from runc_wrap.filters.evaluate.libseccomp_input import Block, Loader, load
from runc_wrap.filters.kernel import libseccomp_compiler
from runc_wrap.hotpath import json_codec
from runc_wrap.profiles import abis, actions, return_codes, syscall_names
from runc_wrap.profiles.abis import ABIS, X32_BIT, Abi
from runc_wrap.profiles.source_profile import ProfileError

_ROOM = 64  # unnamed numbers tried above the largest named
_FAR = (0xFFF, 0xFFFF, 0x3FFFFFFF)
_MOST_PROGRAMS = 32
_JA, _JGT, _JGE = 0x05, 0x25, 0x35
_NUMBER, _ARCH = 0, 4  # offsets in struct seccomp_data


def installed(block: Block, loader: Loader) -> bytes:
    """Return the filter as struct sock_filter[]. Raises ProfileError."""
    found = load(block, loader)
    return _stub(found.stub) + libseccomp_compiler.filter_bytes(found)


def passing(name: str) -> bytes:
    """Return what, before another filter, lets a call through on each ABI that has it."""
    made: list[bpf.Instruction] = []
    for abi in abis.runnable(syscall_names.native()):
        if (number := syscall_names.numbers(abi).get(name)) is not None:
            made += [
                (bpf.LD_ABS, 0, 0, _ARCH),
                (bpf.JEQ, 0, 3, abi.audit),
                (bpf.LD_ABS, 0, 0, _NUMBER),
                (bpf.JEQ, 0, 1, number),
                (bpf.RET_K, 0, 0, return_codes.ALLOW),
            ]
    return bpf.packed(made)


def _stub(largest: Mapping[Abi, int]) -> bytes:
    """Return what answers ENOSYS above the largest number named, as long as runc's (patchbpf)."""
    of_audit: dict[int, dict[Abi, int]] = {}
    for abi, number in largest.items():
        of_audit.setdefault(abi.audit, {})[abi] = number
    made: list[bpf.Instruction] = [(_JA, 0, 0, 1), (bpf.RET_K, 0, 0, return_codes.ERRNO | ENOSYS)]
    sizes: list[int] = []
    for audit, numbers in reversed(of_audit.items()):
        x32, rest = numbers.pop(ABIS["x32"], None), len(made)
        tests = [*numbers.values(), *([] if x32 is None else [x32])]
        is_wide = audit == ABIS["x32"].audit  # x86_64 and x32 share it
        made[:0] = [
            (bpf.LD_ABS, 0, 0, _NUMBER),
            *([(_JGE, len(numbers), 1 - len(numbers), X32_BIT)] if is_wide else []),
            *((_JGT, rest + len(tests) - at, 0, one) for at, one in enumerate(tests, 1)),
            (_JA, 0, 0, rest),
        ]
        sizes.insert(0, len(made) - rest)
    heads = [
        (bpf.JEQ, len(sizes) - at + sum(sizes[:at]), 0, audit) for at, audit in enumerate(of_audit)
    ]
    whole = [(bpf.LD_ABS, 0, 0, _ARCH), *heads, (_JA, 0, 0, len(made)), *made]
    return bpf.packed(whole if of_audit else [])


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

    @classmethod
    def of(
        cls, abi: Abi, number: int, expected: int, found: int, args: bpf.Args | None
    ) -> "FilterDifference":
        """Return the difference of a call by its number."""
        name = syscall_names.name_of(abi, number)
        return cls(abi.name, name, number, expected, found, args)

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
        self._seen: dict[
            tuple[bytes, ...], tuple[tuple[FilterDifference, ...], tuple[str, ...]]
        ] = {}

    @cached_property
    def program(self) -> bpf.Program:
        """libseccomp's own filter, after runc's stub. Raises ProfileError."""
        found = self.simulation.load
        try:
            return bpf.program(_stub(found.stub) + libseccomp_compiler.filter_bytes(found))
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
            sampled: list[str] = []
            found = tuple(self._compared(tuple(map(bpf.program, key)), sampled))
            self._seen[key] = found, tuple(sampled)
        return self._seen[key][0]

    def sampled(self, filters: Sequence[bytes]) -> tuple[str, ...]:
        """Return the calls ("x86_64 prctl") of which `differences` tried only a part.

        Their arguments are compared with more than bpf_arguments.MOST_CALLS combinations of values.
        Nothing is compared for it.
        """
        return self._seen.get(tuple(filters), ((), ()))[1]

    def _compared(
        self, programs: tuple[bpf.Program, ...], sampled: list[str]
    ) -> Iterator[FilterDifference]:
        for abi, number in every_number():
            interest = to_try(programs, [self.simulation], abi, number)
            if interest.is_sampled:
                sampled.append(f"{abi.name} {syscall_names.name_of(abi, number)}")
            for args in interest.calls():
                found = bpf.combined(programs, bpf.SeccompData(abi.audit, number, args))
                expected = self.code(abi, number, args)
                if found != expected:
                    shown = args if interest.indexes else None
                    yield FilterDifference.of(abi, number, expected, found, shown)
                    break


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
def weaker(
    filters: tuple[bytes, ...], wanted: tuple[bytes, ...], *, is_foreign: bool = False
) -> tuple[FilterDifference, ...]:
    """Return the calls of which these filters together let through more than others together do.

    The first of each number; an errno does not matter. Raises BpfError; with `is_foreign`, since a
    program wrote one, also for a call that these deny, but for some arguments: not all are tried.
    """
    programs = ([bpf.program(one) for one in each] for each in (filters, wanted))
    return tuple(_weaker(*programs, is_foreign=is_foreign))


def _weaker(
    filters: Sequence[bpf.Program], wanted: Sequence[bpf.Program], *, is_foreign: bool
) -> Iterator[FilterDifference]:
    for abi, number in every_number():
        interest, is_denied = to_try((*filters, *wanted), (), abi, number), False
        for args in interest.calls():
            call = bpf.SeccompData(abi.audit, number, args)
            codes = bpf.combined(wanted, call), bpf.combined(filters, call)
            shown = args if interest.indexes else None
            found = FilterDifference.of(abi, number, *codes, shown)
            is_denied = is_denied or codes[0] != return_codes.ALLOW
            if found.is_weaker:
                yield found
                break
        else:
            if is_foreign and is_denied and interest.indexes:
                raise bpf.BpfError("not all arguments can be tried")


def every_number() -> Iterator[tuple[Abi, int]]:
    """Yield the numbers to compare of each ABI that this kernel may run."""
    for abi in abis.runnable(syscall_names.native()):
        yield from ((abi, number) for number in numbers(abi))


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

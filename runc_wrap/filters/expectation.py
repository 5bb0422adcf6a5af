"""Comparing the filters that a process is under with what its profile says, call by call.

Every number of every ABI that this kernel may run is compared, those without a name too, and a
few far above. The result is kept by the filters' bytes.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from runc_wrap.filters import bpf, bpf_paths, libseccomp
from runc_wrap.filters.runtime_load import Block, Loader
from runc_wrap.filters.simulate import Simulation
from runc_wrap.profiles import abis, actions, syscalls
from runc_wrap.profiles.abis import ABIS, X32_BIT, Abi

_ROOM = 64  # unnamed numbers tried above the largest named
_FAR = (0xFFF, 0xFFFF, 0x3FFFFFFF)
_MOST_PROGRAMS = 32


@dataclass(frozen=True, slots=True)
class Difference:
    """One call that gets something else than the profile says.

    `expected` and `found` are SECCOMP_RET_* with data. `args` are an example; None where the
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
        """Tell whether what was found restricts less than what the profile says."""
        return actions.restriction(self.found) > actions.restriction(self.expected)

    def as_json(self) -> dict[str, str]:
        """Return {abi, syscall, expected, found} as `verify --json` shows it, in words."""
        arguments = "" if self.args is None else f"({', '.join(map(_hex, self.args))})"
        return {
            "abi": self.abi,
            "syscall": self.syscall + arguments,
            "expected": actions.describe(self.expected),
            "found": actions.describe(self.found),
        }


def _hex(value: int) -> str:
    return hex(value) if value > 9 else str(value)  # noqa: PLR2004 (digits are alike)


class Expectation:
    """What a process must be under: a resolved block, as this runtime loads it.

    Raises ProfileError where the runtime would refuse the block, or libseccomp is missing.
    Building one takes some 20 ms, comparing a filter not seen before some 200; both are worth
    keeping per distinct block. `native` is the machine's ABI.
    """

    def __init__(self, block: Block, loader: Loader) -> None:
        self.simulation = Simulation(block, loader)
        self._reference = bpf.program(libseccomp.filter_bytes(self.simulation.load))
        self._seen: dict[tuple[bytes, ...], tuple[Difference, ...]] = {}

    def code(self, abi: Abi, number: int, args: bpf.Args = bpf.NO_ARGS) -> int:
        """Return what a call must get; asks libseccomp's own filter where rules leave it open."""
        verdict = self.simulation.verdict(abi, number, args)
        if verdict.certain:
            return verdict.code
        return bpf.evaluate(self._reference, bpf.Call(abi.audit, number, args))

    def differences(self, filters: Sequence[bytes]) -> tuple[Difference, ...]:
        """Compare filters (oldest first, as filters.read gives them) with the profile.

        One difference for each number, the first found. () filters allow everything.
        Raises BpfError for bytes that are no filter.
        """
        key = tuple(filters)
        if key not in self._seen:
            if len(self._seen) >= _MOST_PROGRAMS:
                self._seen.clear()
            programs = tuple(bpf.program(one) for one in key)
            self._seen[key] = tuple(self._compared(programs))
        return self._seen[key]

    def _compared(self, programs: tuple[bpf.Program, ...]) -> Iterator[Difference]:
        for abi in abis.runnable(syscalls.native()):
            for number in numbers(abi):
                found = self._one(programs, abi, number)
                if found is not None:
                    yield found

    def _one(self, programs: tuple[bpf.Program, ...], abi: Abi, number: int) -> Difference | None:
        interest = bpf_paths.interest(programs, abi.audit, number)
        for rule in self.simulation.rules(abi, number):
            for condition in rule:
                interest.note_condition(condition)
        for args in interest.calls():
            found = bpf.combined(programs, bpf.Call(abi.audit, number, args))
            expected = self.code(abi, number, args)
            if found != expected:
                shown = args if interest.indexes else None
                name = syscalls.name_of(abi, number)
                return Difference(abi.name, name, number, expected, found, shown)
        return None


@lru_cache(maxsize=32)
def numbers(abi: Abi) -> tuple[int, ...]:
    """Return the numbers compared: all to some way above the largest named, and a few far ones.

    -1 is not x86_64's: its bit 30 makes it x32's to whoever tells these apart.
    """
    bit = X32_BIT if abi is ABIS["x32"] else 0
    named = syscalls.table(abi)
    kept = [number | bit for part in syscalls.ranges(abi) for number in _dense(part, named, bit)]
    far = [number | bit for number in _FAR]
    skipped = [] if abi is ABIS["x86_64"] else [syscalls.SKIPPED]
    return tuple(dict.fromkeys([*kept, *far, *skipped]))


def _dense(part: range, named: Mapping[int, str], bit: int) -> range:
    top = max((number for number in part if number | bit in named), default=part.start)
    return range(part.start, min(top + _ROOM, part.stop))

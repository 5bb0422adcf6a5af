"""Which calls one profile lets through and another denies, whatever a container's capabilities.

Both are compiled profiles, whose rules depend on capabilities. A call's outcome depends only on the
capabilities that its own rules name, so all subsets of those are tried for it, and none but the
empty one for most calls. Every number of every ABI is compared, with arguments at, below and above
the values that rules compare, in every combination: rules with too many are refused, since the call
that is let through may be among those not tried. Takes a quarter of a second.
"""

from __future__ import annotations

from itertools import chain, combinations, product
from math import prod
from typing import TYPE_CHECKING, NamedTuple

from runc_wrap.filters import filter_comparison
from runc_wrap.filters.evaluate.bpf_outcomes import Interest
from runc_wrap.filters.evaluate.simulate import Simulation
from runc_wrap.filters.filter_comparison import Expectation, FilterDifference
from runc_wrap.hotpath.comparison import MASKED_EQ
from runc_wrap.hotpath.resolve import resolve
from runc_wrap.profiles import abis, syscalls
from runc_wrap.profiles.arguments.parameter_widths import ARGUMENTS
from runc_wrap.profiles.source_profile import ProfileError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from runc_wrap.filters.evaluate.bpf import Args
    from runc_wrap.filters.evaluate.runtime_load import Block, Comparison, Loader
    from runc_wrap.hotpath.compiled_policy import CompiledProfile
    from runc_wrap.profiles.abis import Abi

Capabilities = frozenset[str]
_MOST_OF_A_CALL = 6  # capabilities that the rules of one call may name; engines' name at most three
_MOST_COMBINATIONS = 4096  # of values of one call's arguments; engines' have a hundred
_MULTIPLEXERS = ("socketcall", "ipc")  # rules on socket and the like become rules on these


class Weaker(NamedTuple):
    """A call that is let through more, and the capabilities of a container for which it is."""

    call: FilterDifference
    capabilities: Capabilities


class _Loaded:
    """A block as loaded; libseccomp's own filter is made only for what rules leave open."""

    def __init__(self, block: Block, loader: Loader) -> None:
        self.simulation = Simulation(block, loader)
        self._block = block
        self._loader = loader
        self._exact: Expectation | None = None

    def code(self, abi: Abi, number: int, args: Args) -> int:
        """Return SECCOMP_RET_* with data."""
        verdict = self.simulation.verdict(abi, number, args)
        if verdict.certain:
            return verdict.code
        if self._exact is None:
            self._exact = Expectation(self._block, self._loader)
        return self._exact.code(abi, number, args)


def find(strict: CompiledProfile, other: CompiledProfile, loader: Loader) -> list[Weaker]:
    """Return the calls that `other` restricts less than `strict`, one for each name and ABI.

    Raises ProfileError for a profile that cannot be loaded or compared.
    """
    found: dict[tuple[str, str], Weaker] = {}
    named = _capabilities(strict, other)
    for capabilities in _sets(named):
        before = _Loaded(resolve(strict, capabilities), loader)
        after = _Loaded(resolve(other, capabilities), loader)
        calls = {name for name, own in named.items() if own >= capabilities}
        for call in _differences(before, after, calls if capabilities else None):
            found.setdefault((call.abi, call.syscall), Weaker(call, capabilities))
    return list(found.values())


def _capabilities(*profiles: CompiledProfile) -> dict[str, set[str]]:
    """Return {call: the capabilities that its rules name}."""
    named: dict[str, set[str]] = {}
    for entry in chain.from_iterable(profile["rules"] for profile in profiles):
        for name in entry["rule"].get("names") or ():
            named.setdefault(name, set()).update(entry.get("all", ()), entry.get("none", ()))
    if any(len(one) > _MOST_OF_A_CALL for one in named.values()):
        raise ProfileError(
            f"the rules of one call name more than {_MOST_OF_A_CALL} capabilities, which are too "
            "many to compare; write fewer"
        )
    return named


def _sets(named: dict[str, set[str]]) -> list[Capabilities]:
    """Return the sets of capabilities that can make a difference for a call, small ones first."""
    every: set[Capabilities] = {frozenset()}
    every |= {chosen for one in named.values() for chosen in _subsets(one)}
    return sorted(every, key=lambda one: (len(one), sorted(one)))


def _subsets(names: Iterable[str]) -> Iterator[Capabilities]:
    listed = sorted(names)
    for size in range(len(listed) + 1):
        yield from map(frozenset, combinations(listed, size))


def _differences(
    before: _Loaded, after: _Loaded, calls: Collection[str] | None
) -> Iterator[FilterDifference]:
    """Yield the first difference of each number; `calls` None means all, named or not."""
    for abi in abis.runnable(syscalls.native()):
        numbers = syscalls.numbers(abi)
        some = [numbers[name] for name in (*(calls or ()), *_MULTIPLEXERS) if name in numbers]
        for number in filter_comparison.numbers(abi) if calls is None else sorted(some):
            for args, compared in _patterns(before, after, abi, number):
                expected = before.code(abi, number, args)
                found = after.code(abi, number, args)
                name = syscalls.name_of(abi, number)
                shown = args if compared else None
                one = FilterDifference(abi.name, name, number, expected, found, shown)
                if expected != found and one.is_weaker:
                    yield one
                    break


def _patterns(
    before: _Loaded, after: _Loaded, abi: Abi, number: int
) -> Iterator[tuple[Args, bool]]:
    """Yield the arguments to try, and whether any argument is compared. Raises ProfileError."""
    rules = [rule for one in (before, after) for rule in one.simulation.rules(abi, number)]
    conditions = list(chain.from_iterable(rules))
    interest = Interest()
    for condition in conditions:
        interest.note_condition(condition)
    compared = bool(interest.indexes)
    yield from ((args, compared) for args in interest.calls())
    if interest.is_sampled:
        yield from ((args, True) for args in _combinations(conditions, abi, number))


def _combinations(conditions: Iterable[Comparison], abi: Abi, number: int) -> Iterator[Args]:
    """Yield every combination of values that conditions tell apart. Raises ProfileError.

    The call that is let through may be the one that is not tried, so none is left out.
    """
    columns: list[set[int]] = [{0} for _ in range(ARGUMENTS)]
    for condition in conditions:
        columns[condition.index].update(_told_apart(condition, (1 << abi.bits) - 1))
    if prod(map(len, columns)) > _MOST_COMBINATIONS:
        raise ProfileError(
            f"the rules of {syscalls.name_of(abi, number)} compare several arguments with more "
            "values than can be tried in every combination; write fewer"
        )
    yield from product(*map(sorted, columns))


def _told_apart(one: Comparison, mask: int) -> list[int]:
    """Return values for which a condition holds and does not: at its value, and just above.

    The value above belongs to the others up to the next condition's. For a mask, all other bits are
    set or none.
    """
    if one.op != MASKED_EQ:
        return [one.value & mask, one.value + 1 & mask]
    wanted = one.value_two & one.value
    values = (wanted, wanted | ~one.value, wanted ^ (one.value & -one.value))
    return [value & mask for value in values]

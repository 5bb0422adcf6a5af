"""What two profiles do differently: call by call, ABI by ABI, for every set of capabilities.

Both are compiled profiles, whose rules depend on capabilities. A call's outcome depends only on the
capabilities that its own rules name, so all subsets of those are tried for it, and none but the
empty one for most calls. Those that change what all calls depend on, such as the last number that
runc's stub lets through, are tried for all calls. Every number of every ABI is compared, with
arguments at, below and above the values that rules compare, in every combination: rules with too
many are refused, since the call that differs may be among those not tried. Takes a quarter of a
second for two engines' defaults.
"""

from collections.abc import Collection, Hashable, Iterable, Iterator
from itertools import chain, combinations, groupby, product
from math import prod
from typing import NamedTuple, TypeAlias, TypeGuard

from runc_wrap.filters import filter_comparison
from runc_wrap.filters.evaluate import bpf
from runc_wrap.filters.evaluate.block_evaluation import Conditions, Simulation, compares
from runc_wrap.filters.evaluate.bpf import Args
from runc_wrap.filters.evaluate.libseccomp_input import Loader, load
from runc_wrap.filters.filter_comparison import Expectation, FilterDifference
from runc_wrap.hotpath import json_codec
from runc_wrap.hotpath.compiled_policy import CompiledProfile, CompiledRule
from runc_wrap.hotpath.operators import MASKED_EQ
from runc_wrap.hotpath.resolve import resolve
from runc_wrap.profiles import abis, syscall_names
from runc_wrap.profiles.abis import Abi
from runc_wrap.profiles.arguments.parameter_widths import ARGUMENTS
from runc_wrap.profiles.sibling_calls import MULTIPLEXED
from runc_wrap.profiles.source_profile import Argument, ProfileError

Side: TypeAlias = "CompiledProfile | ProcessFilters"
_Outcome: TypeAlias = "Expectation | ProcessFilters"
_Found = tuple[FilterDifference, str, bool]
Known = dict[Hashable, list[_Found]]

Capabilities = frozenset[str]
_MOST_OF_A_CALL = 6  # capabilities that the rules of one call may name; engines' name at most three
_MOST_COMBINATIONS = 4096  # of values of one call's arguments; engines' have a hundred
_MOST_MULTIPLEXED = 25  # above SHMCTL of ipc(2), 24, linux/ipc.h
_SHOWN = 4  # ranges of an argument in one line
_SOME = [{"index": 0, "value": 0, "op": "SCMP_CMP_NE"}]  # any condition on arguments


class ProfileChange(NamedTuple):
    """A call with another outcome, and the capabilities of a container for which it has that.

    `when` says for which arguments, "" for all: "argument 0 is 0x26 to 0x28". `is_partial`: there
    were too many to try all of them.
    """

    call: FilterDifference
    capabilities: Capabilities
    when: str
    is_partial: bool


class TooManySetsError(ProfileError):
    """The sets of capabilities that decide about one call are too many to try all."""


class ProcessFilters(NamedTuple):
    """The filters that a process has, oldest first, and its bounding set."""

    programs: tuple[bpf.Program, ...]
    capabilities: Capabilities

    def code(self, abi: Abi, number: int, args: Args) -> int:
        """Return SECCOMP_RET_* with data."""
        return bpf.combined(self.programs, bpf.SeccompData(abi.audit, number, args))


def find(
    first: Side, second: Side, loader: Loader, known: Known | None = None, most: int | None = None
) -> list[ProfileChange]:
    """Return the calls that the two treat differently, in the order of ABIs and numbers.

    `known` is kept between comparisons: calls with the same rules are not compared twice.
    `most`: calls of which not all can be tried are refused if they have more rules.

    A call has one for each set of capabilities, and each pair of outcomes, that make a difference;
    beside a process' filters only its own bounding set counts. Raises ProfileError for a profile
    that cannot be loaded or compared.
    """
    known = {} if known is None else known
    if fixed := [one.capabilities for one in (first, second) if isinstance(one, ProcessFilters)]:
        before, after = (_loaded(one, fixed[0], loader) for one in (first, second))
        changes = [] if first == second else [*_differences(before, after, None, known, most)]
        return [ProfileChange(call, frozenset(), when, some) for call, when, some in changes]
    own = named_capabilities(first, second)  # type: ignore[arg-type]  # neither is fixed
    named = deciding(loader, first, second)  # type: ignore[arg-type]
    found: list[ProfileChange] = []
    met: dict[Capabilities, set[_Found]] = {}
    common: list[object] = []  # of both, for the empty set
    for capabilities in capability_sets(named.values()):
        before, after = (_loaded(one, capabilities, loader) for one in (first, second))
        calls = {name for name, some in named.items() if some >= capabilities}
        shared = [one.simulation.common for one in (before, after) if isinstance(one, Expectation)]
        common = common or [*shared]
        some = calls if capabilities and shared == common else None
        changes = [*_differences(before, after, some, known, most)]
        known_of_fewer = set().union(*(met[one] for one in met if one < capabilities))
        met[capabilities] = {*changes}
        found += [
            ProfileChange(call, capabilities, when, is_partial)
            for call, when, is_partial in changes
            if own.get(call.syscall, set()) >= capabilities
            or (call, when, is_partial) not in known_of_fewer
        ]
    return found


def _loaded(one: Side, capabilities: Capabilities, loader: Loader) -> _Outcome:
    if isinstance(one, ProcessFilters):
        return one
    return filter_comparison.lazily(json_codec.dumps(resolve(one, capabilities)), loader)


def weaker(
    strict: CompiledProfile, other: CompiledProfile, loader: Loader, known: Known | None = None
) -> list[ProfileChange]:
    """Return the calls that `other` restricts less than `strict`, one for each name and ABI.

    A call that differs, and has too many arguments to try, is one of them. Raises ProfileError as
    `find` does.
    """
    found: dict[tuple[str, str], ProfileChange] = {}
    for one in find(strict, other, loader, known):
        if one.call.is_weaker or one.is_partial:
            found.setdefault((one.call.abi, one.call.syscall), one)
    return list(found.values())


def named_capabilities(*profiles: CompiledProfile) -> dict[str, set[str]]:
    """Return {call: the capabilities that its rules name}."""
    named: dict[str, set[str]] = {}
    for entry in chain.from_iterable(profile["rules"] for profile in profiles):
        for name in entry["rule"].get("names") or ():
            named.setdefault(name, set()).update(_caps(entry))
    return named


def deciding(loader: Loader, *profiles: CompiledProfile, stub: bool = True) -> dict[str, set[str]]:
    """Return {call: the capabilities on which its result depends}, also by rules of other calls.

    With `stub` as far as these move runc's. All do if some containers may have no unconditional
    rule on an ABI: libseccomp may then forget all others (see block_evaluation).
    """
    shared: set[str] = set()
    for made in profiles:
        some = [one for one in made["rules"] if _caps(one)]
        always = [one["rule"] for one in made["rules"] if not _caps(one)]
        more = [{**one["rule"], "args": one["rule"].get("args") or _SOME} for one in some]
        least, most = ({**made["block"], "syscalls": [*always, *one]} for one in ([], more))
        found, lowest = Simulation(most, loader), load(least, loader).stub
        if found.led_by_pseudo and any(one["rule"].get("args") for one in made["rules"]):
            shared.update(*map(_caps, made["rules"]))
        for one in some if stub and found.load.stub != lowest else ():
            own = load({**least, "syscalls": [one["rule"]]}, loader).stub
            if any(number > lowest.get(abi, 0) for abi, number in own.items()):
                shared.update(_caps(one))
    return {name: own | shared for name, own in named_capabilities(*profiles).items()}


def _caps(entry: CompiledRule) -> list[str]:
    return [*entry.get("all", ()), *entry.get("none", ())]


def capability_sets(named: Iterable[set[str]]) -> list[Capabilities]:
    """Return the sets of capabilities that can make a difference for a call, small ones first.

    `named` has those that decide about each. Raises TooManySetsError for too many of one call.
    """
    every: set[Capabilities] = {frozenset()}
    for one in named:
        if len(one) > _MOST_OF_A_CALL:
            raise TooManySetsError(
                f"rules of one call name more than {_MOST_OF_A_CALL} capabilities, or those of all "
                "do; name a call of each ABI in a rule without arguments and capabilities"
            )
        every.update(_subsets(one))
    return sorted(every, key=lambda one: (len(one), sorted(one)))


def _subsets(names: Iterable[str]) -> Iterator[Capabilities]:
    listed = sorted(names)
    for size in range(len(listed) + 1):
        yield from map(frozenset, combinations(listed, size))


def _differences(
    before: _Outcome, after: _Outcome, calls: Collection[str] | None, known: Known, most: int | None
) -> Iterator[_Found]:
    """Yield what differs of each number, and when; `calls` None means all, named or not."""
    texts = [one.simulation for one in (before, after) if isinstance(one, Expectation)]
    for abi in abis.runnable(syscall_names.native()):
        numbers = syscall_names.numbers(abi)
        some = [numbers[name] for name in (*(calls or ()), *MULTIPLEXED) if name in numbers]
        for number in filter_comparison.numbers(abi) if calls is None else sorted({*some}):
            key = tuple(one.key(abi, number) for one in texts)
            if not key[1:]:
                yield from _of_number(before, after, abi, number, most)
            elif key[0] != key[1]:
                if key not in known:
                    known[key] = [*_of_number(before, after, abi, number, most)]
                yield from known[key]


def _of_number(
    before: _Outcome, after: _Outcome, abi: Abi, number: int, most: int | None
) -> Iterator[_Found]:
    sides = before, after
    texts = [one.simulation for one in sides if isinstance(one, Expectation)]
    programs = chain.from_iterable(
        one.programs for one in sides if not isinstance(one, Expectation)
    )
    interest = filter_comparison.to_try(programs, texts, abi, number)
    rules = [*chain.from_iterable(one.rules(abi, number) for one in texts)] if texts[1:] else []
    conditions = [*chain.from_iterable(rules)]
    every = _combinations(conditions, abi)
    name = syscall_names.name_of(abi, number)
    if every is None and most is not None and len(rules) > most:
        raise _too_many(name)
    calls = {*(_of_each(rules, abi) if every is None and name in MULTIPLEXED else every or ())}
    if not (calls and texts[1:] and _is_exact(texts, conditions, abi, number)):
        if texts[1:] and all(one.is_any_of(abi, number) for one in texts):
            interest = interest.of_rules()
        calls.update(interest.calls())
        made = [one.program for one in sides if _is_open(one, abi, number)]
        calls.update(filter_comparison.to_try(made, (), abi, number).calls())
    tried = {args: tuple(one.code(abi, number, args) for one in sides) for args in sorted(calls)}
    changes = [(one, other) for one, other in dict.fromkeys(tried.values()) if one != other]
    is_partial = every is None or (not texts[1:] and interest.is_sampled)
    if not changes and is_partial:
        raise _too_many(name)
    for expected, found in changes:
        where = [args for args, one in tried.items() if one == (expected, found)]
        top = (1 << abi.bits) - 1
        when = "" if len(where) == len(tried) else _when(where, tried, conditions, top)
        shown = where[0] if interest.indexes else None
        yield FilterDifference(abi.name, name, number, expected, found, shown), when, is_partial


def _is_open(one: _Outcome, abi: Abi, number: int) -> TypeGuard[Expectation]:
    """Tell whether a profile's rules leave a call's result to libseccomp's own filter."""
    return isinstance(one, Expectation) and one.simulation.is_uncertain(abi, number)


def _too_many(name: str) -> ProfileError:
    return ProfileError(
        f"{name}: its arguments are compared with more values than can be tried in every "
        "combination, or after a calculation; write fewer rules on it"
    )


def _is_exact(
    texts: list[Simulation], conditions: Iterable[Argument], abi: Abi, number: int
) -> bool:
    """Tell whether all that the rules tell apart is between and beside the values they name."""
    masks: dict[int, set[int]] = {}
    for one in conditions:
        masks.setdefault(one.index, set()).add(one.value if one.op == MASKED_EQ else 0)
    several = any(len(some) > 1 for some in masks.values())
    return not several and not any(one.is_uncertain(abi, number) for one in texts)


def _when(where: list[Args], tried: Iterable[Args], conditions: list[Argument], top: int) -> str:
    """Return for which arguments, up to `top`: ranges of a single one, otherwise an example."""
    indexes = {one.index for one in conditions}
    if len(indexes) != 1 or any(one.op == MASKED_EQ for one in conditions):
        return f"for instance ({', '.join(hex(value & top) for value in where[0])})"
    index = min(indexes)
    inside = {args[index] & top for args in where}
    values = sorted({args[index] & top for args in tried})
    runs = [list(run) for is_in, run in groupby(values, inside.__contains__) if is_in]
    shown = [_range(run[0], run[-1], top) for run in runs]
    more = f", and {len(shown) - _SHOWN} more ranges" if len(shown) > _SHOWN else ""
    return f"argument {index} is {', '.join(shown[:_SHOWN])}{more}"


def _range(first: int, last: int, top: int) -> str:
    if first == last:
        return f"{first:#x}"
    return f"{first:#x} and above" if last == top else f"{first:#x} to {last:#x}"


def _combinations(conditions: Iterable[Argument], abi: Abi) -> Iterable[Args] | None:
    """Return every combination of values that conditions tell apart, None for too many.

    The call that is let through may be the one that is not tried, so none is left out. Values of a
    single argument have their neighbours, so that `_when` can say where a range ends.
    """
    columns: list[set[int]] = [{0} for _ in range(ARGUMENTS)]
    mask = (1 << abi.bits) - 1
    met: dict[tuple[int, int], set[int]] = {}
    for one in conditions:
        values = [one.value, one.value + 1]
        if one.op == MASKED_EQ:  # with all other bits set, with none, and with a wrong one
            wanted = one.value_two & one.value
            values = [wanted, wanted | ~one.value, wanted ^ (one.value & -one.value)]
            met.setdefault((one.index, one.value & mask), set()).add(wanted & mask)
        columns[one.index].update(value & mask for value in values)
    for (index, bits), some in met.items():
        columns[index].add(_unmet(bits, some))
    compared = [column for column in columns if len(column) > 1]
    if len(compared) == 1:
        compared[0].update([(value - 1) & mask for value in compared[0]])
    elif prod(map(len, columns)) > _MOST_COMBINATIONS:
        return None
    a, b, c, d, e, f = columns
    return product(a, b, c, d, e, f)


def _unmet(mask: int, met: set[int]) -> int:
    """Return a value that meets none of what is compared under one mask, if there is any."""
    value = 0
    for _ in met:
        value = value - mask & mask if value in met else value  # the next with bits of the mask
    return value


def _of_each(rules: Collection[Conditions], abi: Abi) -> Iterator[Args]:
    """Yield the combinations for each call that a multiplexer makes: the first argument says which.

    libseccomp compares the others, among them a pointer, with what rules on that call name.
    """
    for which in range(_MOST_MULTIPLEXED):
        own = [
            rule
            for rule in rules
            if all(compares(one, which, (1 << abi.bits) - 1) for one in rule if not one.index)
        ]
        yield from _combinations(chain.from_iterable(own), abi) or ()

"""A profile that compares only those bits of arguments that the kernel uses.

A comparison of an `int` means its 32 bits, unsigned (libseccomp knows no signed ones). A program
may set the upper half of the register, which a comparison of 64 bits includes and the kernel
ignores (runc_wrap.profiles.arguments.parameter_widths). Here each such comparison becomes masked
ones that hold for the same numbers, one rule for each. Nothing changes for arguments whose upper
bits are clear; a call with upper bits set has the same outcome as without them. Nothing changes on
32-bit ABIs either: there libseccomp compares only the lower half.

A call keeps its rules, and is listed in `left`, where that cannot be expressed exactly: rules that
contradict each other (libseccomp's order of them depends on the operators), numbers that the
parameter cannot have, or more rules than fit into a filter.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import product
from math import prod

from runc_wrap.hotpath.operators import EQ, LT, MASKED_EQ, NE
from runc_wrap.hotpath.rule_algebra import DENYING
from runc_wrap.profiles import actions
from runc_wrap.profiles.arguments.argument_sets import Block, blocks, meet, rest, spans
from runc_wrap.profiles.arguments.parameter_widths import ARGUMENTS, WHOLE, bits
from runc_wrap.profiles.source_profile import ANYWHERE, Argument, Profile, Rule, alternatives

KERNEL = "kernel"
MOST_RULES = 192  # added to a profile: three instructions each, for each ABI, of a filter's 4096
_SIGNED = frozenset({EQ, NE})
_LARGEST = (1 << WHOLE) - 1
_BITS_OF_INT = 32

Group = tuple[Argument, ...]
Holds = dict[int, list[Block]]
_Wide = tuple[Rule, int, list[Holds]]  # a rule, the code of its outcome, its groups


@dataclass(frozen=True, slots=True)
class Narrowed:
    """A profile; `calls` compare only the bits that the kernel uses, `left` stay as written."""

    profile: Profile
    calls: tuple[str, ...] = ()
    left: tuple[str, ...] = ()


def as_set(profile: Profile, int_arguments: str) -> Narrowed:
    """Return the profile as default.int_arguments has its arguments compared."""
    return narrowed(profile) if int_arguments == KERNEL else Narrowed(profile)


def narrowed(profile: Profile) -> Narrowed:
    """Return the profile that compares only the bits that the kernel uses."""
    of_rules = ((name, rule.args) for rule in profile.rules for name in rule.names)
    names = sorted({name for name, args in of_rules if any(is_wide(one, name) for one in args)})
    denials = replace(profile, rules=tuple(r for r in profile.rules if r.action in DENYING))
    left: list[str] = []
    room = MOST_RULES
    for name in names:
        more = _added(profile, name, denials)
        if more is None or more > room:
            left.append(name)
        else:
            room -= more
    chosen = frozenset(names) - frozenset(left)
    rules = tuple(new for rule in profile.rules for new in _rules(denials, rule, chosen))
    return Narrowed(replace(profile, rules=rules), tuple(sorted(chosen)), tuple(left))


def sentence(calls: Iterable[str]) -> str:
    """Return how the block of a profile differs from the one that its authors wrote."""
    return (
        f"compares only those bits of the arguments of {', '.join(calls)} that the kernel uses, "
        "not all as written (default.int_arguments)"
    )


def is_wide(one: Argument, name: str) -> bool:
    """Tell whether a comparison includes bits of the register that the kernel drops."""
    taken = bits(name, one.index)
    return taken < WHOLE and (one.op != MASKED_EQ or bool(one.value >> taken))


def _added(profile: Profile, name: str, denials: Profile) -> int | None:
    """Return how many more rules a call has when narrowed, None if it cannot be narrowed."""
    found: list[_Wide] = []
    more = 0
    for rule in profile.rules:
        if name not in rule.names or not rule.args or actions.is_default(rule, profile):
            continue
        all_groups = [_group(denials, rule, group, name) for group in alternatives(rule.args)]
        known = [one for one in all_groups if one is not None]
        if len(rule.args) > ARGUMENTS or len(known) < len(all_groups):
            return None
        found.append((rule, actions.code(rule.action, rule.errno_ret), known))
        more += sum(prod(map(len, one.values())) - 1 for one in known)
    return None if _contradict(found) else more


def _group(denials: Profile, rule: Rule, group: Group, name: str) -> Holds | None:
    """Return the numbers for which each comparison holds, None if one cannot occur there."""
    denied = _denied(denials, rule, name)
    by_index = {one.index: numbers(one, name, denied) for one in group}
    known = {index: found for index, found in by_index.items() if found is not None}
    return known if len(known) == len(by_index) else None


def _denied(denials: Profile, rule: Rule, name: str) -> frozenset[int]:
    """Return the single numbers that other rules deny, and that this rule therefore cannot permit.

    `denials` is the profile with its denying rules only.

    libseccomp tests for equality first. So this is exact for rules on one argument only.
    """
    if len(rule.args) != 1 or rule.action in DENYING:
        return frozenset()
    return frozenset(
        other.args[0].value
        for other in denials.rules
        if name in other.names
        and _is_before(other, rule)
        and not actions.is_default(other, denials)
    )


def _is_before(other: Rule, rule: Rule) -> bool:
    """Tell whether a denial of one number always applies where a rule on its argument does."""
    is_one = [(one.index, one.op) for one in other.args] == [(rule.args[0].index, EQ)]
    pairs = ((other.includes, rule.includes), (other.excludes, rule.excludes))
    return is_one and all(
        {*one.caps} <= {*own.caps} and replace(one, caps=()) in (ANYWHERE, replace(own, caps=()))
        for one, own in pairs
    )


def _contradict(found: list[_Wide]) -> bool:
    """Tell whether two rules of different outcomes may hold for one call."""
    if (
        len({outcome for _, outcome, _ in found}) == 1
    ):  # else thousands of rules make millions of pairs
        return False
    return any(
        _overlap(this, that)
        for place, (rule, outcome, own) in enumerate(found)
        for other, another, others in found[:place]
        if another != outcome and rule.meets(other)
        for this in own
        for that in others
    )


def _overlap(this: Holds, that: Holds) -> bool:
    return all(
        any(meet(one, other) for one in this[index] for other in that[index])
        for index in this.keys() & that.keys()
    )


def _rules(denials: Profile, rule: Rule, chosen: frozenset[str]) -> Iterator[Rule]:
    """Yield the rules that a rule becomes; names with the same comparisons share a rule.

    A rule with the default's outcome stays unchanged, since runtimes drop it.
    """
    if chosen.isdisjoint(rule.names) or actions.is_default(rule, denials):
        yield rule
        return
    kinds: dict[tuple[Group, ...], list[str]] = {}
    for name in rule.names:
        kinds.setdefault(_written(denials, rule, name, chosen), []).append(name)
    for written, names in kinds.items():
        yield from (replace(rule, names=tuple(names), args=args) for args in written)


def _written(denials: Profile, rule: Rule, name: str, chosen: frozenset[str]) -> tuple[Group, ...]:
    """Return, for one call, the comparisons of each rule that a rule becomes."""
    if name not in chosen:
        return (rule.args,)
    denied = _denied(denials, rule, name)
    return tuple(
        args
        for group in alternatives(rule.args)
        for args in product(*(_comparisons(one, name, denied) for one in group))
    )


def _comparisons(one: Argument, name: str, denied: frozenset[int]) -> list[Argument]:
    """Return comparisons of which one holds if the value that the kernel uses satisfies `one`."""
    if not is_wide(one, name):
        return [one]
    found = numbers(one, name, denied)
    if not found:
        return [Argument(one.index, 0, LT)]  # never; the call stays a named one
    return [Argument(one.index, mask, MASKED_EQ, datum) for mask, datum in found]


def numbers(one: Argument, name: str, denied: frozenset[int] = frozenset()) -> list[Block] | None:
    """Return the numbers for which a comparison holds, None if the parameter cannot have them.

    A comparison for equality may give a negative number sign-extended to the register.
    """
    taken = bits(name, one.index)
    top = (1 << taken) - 1
    if one.op == MASKED_EQ:
        return _masked(one, taken)
    value = one.value
    if value > top:
        if one.op not in _SIGNED or not _is_negative(value, taken):
            return None
        value &= top
    others = rest(spans(one.op, value, top), top)
    points = [(number & top, number & top) for number in denied]
    held = rest([*others, *points], top)
    return [block for first, last in held for block in blocks(first, last, taken)]


def _is_negative(value: int, taken: int) -> bool:
    return taken == _BITS_OF_INT and value > _LARGEST - (1 << taken - 1)


def _masked(one: Argument, taken: int) -> list[Block] | None:
    top = (1 << taken) - 1
    mask, datum = one.value, one.value & one.value_two
    if datum > top and not (mask == _LARGEST and _is_negative(datum, taken)):
        return None
    if not mask & top and mask:
        return blocks(0, top, taken)
    return [(mask & top, datum & top)]

"""A profile that compares arguments as the kernel takes them: the bits that count, no others.

What a profile says of an `int` it says of its 32 bits, as unsigned (libseccomp knows no other); a
program may set the upper half of the register, which a comparison of 64 bits sees and the kernel
does not (runc_wrap.profiles.arguments.widths). Here each such comparison becomes those with a mask
that hold for the same numbers, one rule for each. For arguments whose upper bits are clear nothing
changes; with upper bits set a call gets what it would get without them. On ABIs of 32 bits nothing
changes either: there libseccomp compares the lower half anyhow.

A call stays as it is, and is named in what is returned, where that cannot be said exactly: rules
that contradict each other (libseccomp's order of them depends on the operators), numbers that the
parameter cannot have, more rules than a filter has room for.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import product
from math import prod
from typing import TYPE_CHECKING

from runc_wrap.hotpath.rule_algebra import DENYING
from runc_wrap.profiles import actions
from runc_wrap.profiles.arguments.spans import EQ, MASKED_EQ, Block, blocks, meet, rest, spans
from runc_wrap.profiles.arguments.widths import ARGUMENTS, WHOLE, bits
from runc_wrap.profiles.model import ANYWHERE, Argument, Profile, Rule

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

KERNEL = "kernel"
MOST_RULES = 192  # added to a profile: three instructions each, for each ABI, of a filter's 4096
_SIGNED = frozenset({EQ, "SCMP_CMP_NE"})
_LARGEST = (1 << WHOLE) - 1
_BITS_OF_INT = 32

Group = tuple[Argument, ...]
Holds = dict[int, list[Block]]
_Said = tuple[Rule, int, list[Holds]]


@dataclass(frozen=True, slots=True)
class Narrowed:
    """A profile, and the calls that it compares as the kernel does, or `left` as written."""

    profile: Profile
    calls: tuple[str, ...] = ()
    left: tuple[str, ...] = ()


def as_written(profile: Profile) -> Narrowed:
    """Return the profile as its authors wrote it."""
    return Narrowed(profile)


def narrowed(profile: Profile) -> Narrowed:
    """Return the profile that compares as the kernel does."""
    names = sorted({name for rule in profile.rules for name in rule.names if _is_wide(rule, name)})
    left: list[str] = []
    room = MOST_RULES
    for name in names:
        more = _added(profile, name)
        if more is None or more > room:
            left.append(name)
        else:
            room -= more
    chosen = frozenset(names) - frozenset(left)
    if not chosen:
        return Narrowed(profile, (), tuple(left))
    rules = tuple(new for rule in profile.rules for new in _rules(profile, rule, chosen))
    return Narrowed(replace(profile, rules=rules), tuple(sorted(chosen)), tuple(left))


def sentence(calls: Iterable[str]) -> str:
    """Say in what the block of a profile differs from the one that its authors wrote."""
    return (
        f"compares {', '.join(calls)} as the kernel takes the arguments, not as written "
        "(default.int_arguments)"
    )


def remarks(name: str, made: Narrowed) -> Iterator[str]:
    """Yield what an owner should know of calls that could not be compared as the kernel does."""
    if made.left:
        yield (
            f"warning: profile {name}: {', '.join(made.left)}: compared as written, upper bits of "
            "the register with the rest, since the rules contradict each other, name numbers that "
            "the argument cannot have, or would be too many; write them with SCMP_CMP_MASKED_EQ."
        )


def groups(rule: Rule) -> list[Group]:
    """Return the comparisons of each rule that runtimes make of one: either where one repeats."""
    indexes = [one.index for one in rule.args]
    if len(set(indexes)) == len(indexes):
        return [rule.args]
    return [(one,) for one in rule.args]


def is_wide(one: Argument, name: str) -> bool:
    """Tell whether a comparison looks at bits of the register that the kernel drops."""
    taken = bits(name, one.index)
    return taken < WHOLE and (one.op != MASKED_EQ or bool(one.value >> taken))


def _is_wide(rule: Rule, name: str) -> bool:
    return name in rule.names and any(is_wide(one, name) for one in rule.args)


def _added(profile: Profile, name: str) -> int | None:
    """Return how many rules more a call has when narrowed, None where it cannot be."""
    default = _outcome(profile.default_action, profile.default_errno_ret)
    found: list[_Said] = []
    more = 0
    for rule in profile.rules:
        outcome = _outcome(rule.action, rule.errno_ret)
        if name not in rule.names or not rule.args or outcome == default:
            continue
        said = [_group(profile, rule, group, name) for group in groups(rule)]
        known = [one for one in said if one is not None]
        if len(rule.args) > ARGUMENTS or len(known) < len(said):
            return None
        found.append((rule, outcome, known))
        more += sum(prod(map(len, one.values())) - 1 for one in known)
    return None if _contradict(found) else more


def _group(profile: Profile, rule: Rule, group: Group, name: str) -> Holds | None:
    """Return the numbers that each comparison holds for, None where it is not about such."""
    denied = _denied(profile, rule, name)
    said = {one.index: numbers(one, name, denied) for one in group}
    known = {index: found for index, found in said.items() if found is not None}
    return known if len(known) == len(said) else None


def _denied(profile: Profile, rule: Rule, name: str) -> frozenset[int]:
    """Return the numbers that other rules deny, each alone, and that this does not permit then.

    libseccomp asks for equality first. So it is exact for rules on one argument only.
    """
    if len(rule.args) != 1 or rule.action in DENYING:
        return frozenset()
    default = _outcome(profile.default_action, profile.default_errno_ret)
    return frozenset(
        other.args[0].value
        for other in profile.rules
        if name in other.names and other.action in DENYING and _is_before(other, rule)
        if _outcome(other.action, other.errno_ret) != default  # runtimes drop it
    )


def _is_before(other: Rule, rule: Rule) -> bool:
    """Tell whether a denial of one number always holds where a rule does, on the same argument."""
    is_one = [(one.index, one.op) for one in other.args] == [(rule.args[0].index, EQ)]
    conditions = (other.includes, other.excludes)
    return is_one and conditions in {(ANYWHERE, ANYWHERE), (rule.includes, rule.excludes)}


def _outcome(action: str, errno_ret: int | None) -> int:
    return actions.code(action, errno_ret)


def _contradict(found: list[_Said]) -> bool:
    """Tell whether two rules of different outcomes may hold for one call."""
    return any(
        _overlap(this, that)
        for place, (rule, outcome, said) in enumerate(found)
        for other, another, others in found[:place]
        if another != outcome and not (_bars(rule, other) or _bars(other, rule))
        for this in said
        for that in others
    )


def _bars(rule: Rule, other: Rule) -> bool:
    """Tell whether a container for which one rule is has none of the other."""
    return not set(rule.includes.caps).isdisjoint(other.excludes.caps)


def _overlap(this: Holds, that: Holds) -> bool:
    return all(
        any(meet(one, other) for one in this[index] for other in that[index])
        for index in this.keys() & that.keys()
    )


def _rules(profile: Profile, rule: Rule, chosen: frozenset[str]) -> Iterator[Rule]:
    """Yield what a rule becomes, its names together as long as they are written alike.

    Runtimes drop what does as the default does: such a rule stays.
    """
    default = _outcome(profile.default_action, profile.default_errno_ret)
    if chosen.isdisjoint(rule.names) or _outcome(rule.action, rule.errno_ret) == default:
        yield rule
        return
    kinds: dict[tuple[Group, ...], list[str]] = {}
    for name in rule.names:
        kinds.setdefault(_written(profile, rule, name, chosen), []).append(name)
    for written, names in kinds.items():
        yield from (replace(rule, names=tuple(names), args=args) for args in written)


def _written(profile: Profile, rule: Rule, name: str, chosen: frozenset[str]) -> tuple[Group, ...]:
    """Return the comparisons of each rule that one rule becomes for a call."""
    if name not in chosen:
        return (rule.args,)
    denied = _denied(profile, rule, name)
    return tuple(
        args
        for group in groups(rule)
        for args in product(*(_comparisons(one, name, denied) for one in group))
    )


def _comparisons(one: Argument, name: str, denied: frozenset[int]) -> list[Argument]:
    """Return comparisons of which one holds where the kernel's value satisfies this."""
    if not is_wide(one, name):
        return [one]
    found = numbers(one, name, denied)
    if not found:
        return [Argument(one.index, 0, "SCMP_CMP_LT")]  # never; the call stays a named one
    return [Argument(one.index, mask, MASKED_EQ, datum) for mask, datum in found]


def numbers(one: Argument, name: str, denied: frozenset[int] = frozenset()) -> list[Block] | None:
    """Return the numbers that a comparison holds for, None where it is not about the parameter's.

    A comparison for equality may name a negative number as the register has it.
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

"""Adding calls to a profile, and removing them, by meaning: what a call gets afterwards.

`added` has a call allowed where an addition applies, whatever rules the profile has for it; a rule
that denies other arguments, too, is left with those.
`removed` has it denied as calls are that no rule names. Elsewhere, under other capabilities,
architectures or kernels, every call keeps what it had. What linux.seccomp cannot say is refused.

Some ABIs make the same calls through socketcall(2) or ipc(2). A removal of such a call removes that
multiplexer's own rule, too: libseccomp then lets through it the calls that are still allowed.
"""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import replace
from itertools import product
from typing import NamedTuple

from runc_wrap.profiles.actions import is_default
from runc_wrap.profiles.arguments import argument_sets
from runc_wrap.profiles.arguments.narrowed_comparisons import MOST_RULES
from runc_wrap.profiles.profile_compiler import argument
from runc_wrap.profiles.runtime_spec_names import ACTIONS, ALLOW, ERRNO, PASSING
from runc_wrap.profiles.sibling_calls import MULTIPLEXED
from runc_wrap.profiles.source_profile import (
    Argument,
    Condition,
    Profile,
    ProfileError,
    Rule,
    alternatives,
)

ADD, REMOVE = "+", "-"
_MOST = f"it would need more than {MOST_RULES} rules; add fewer comparisons, or the call whole"


class Part(NamedTuple):
    """One part as applied: `text` as its author wrote it; the calls and conditions it is about."""

    text: str
    sign: str
    rule: Rule

    @property
    def calls(self) -> frozenset[str]:
        """The calls about which it decides."""
        names = frozenset(self.rule.names)
        return names if self.sign == ADD else reaching(names)


def added(profile: Profile, rule: Rule) -> Profile:
    """Return the profile with the calls of a rule allowed where the rule applies.

    Additions commute by meaning. Raises ProfileError if what is left of rules on the same arguments
    takes too many comparisons, which depends on the order of additions.
    """
    rules = _ruling(profile, frozenset(rule.names)) if rule.compares else profile.rules
    kept = [one for each in rules for one in _beside(each, rule, profile)]
    for name in rule.names if rule.compares else ():
        if MOST_RULES < _refusing(kept, name) > _refusing(profile.rules, name):
            raise ProfileError(f"{name}: {_MOST}")
    mine = replace(rule, action=ALLOW, errno_ret=None)
    is_said = profile.default_action == ALLOW and not rule.args
    return replace(profile, rules=tuple(kept if is_said else _with(kept, mine)))


def removed(profile: Profile, names: Iterable[str], where: tuple[Condition, Condition]) -> Profile:
    """Return the profile with these calls denied where (includes, excludes) hold."""
    gone = frozenset(names)
    kept = [one for each in profile.rules for one in _without(each, reaching(gone), where)]
    if profile.default_action not in PASSING:
        _check_multiplexers(profile, gone)
    else:
        kept = _with(kept, Rule(tuple(sorted(gone)), ERRNO, includes=where[0], excludes=where[1]))
    return replace(profile, rules=tuple(kept))


def reaching(names: frozenset[str]) -> frozenset[str]:
    """Return these calls and the multiplexers through which some ABI makes one of them."""
    return names | {each for each, calls in MULTIPLEXED.items() if names & calls}


def _check_multiplexers(profile: Profile, gone: frozenset[str]) -> None:
    """Refuse to remove a multiplexer only: each allowed call passes through it in any case."""
    for each in gone & MULTIPLEXED.keys():
        allowed = {name for one in profile.rules if one.action in PASSING for name in one.names}
        if left := sorted(allowed & MULTIPLEXED[each] - gone):
            why = f"libseccomp lets through it whatever calls a rule allows, such as {left[0]}"
            raise ProfileError(f'{each}: {why}; remove those, or write abis = "native"')


def _with(rules: list[Rule], new: Rule) -> list[Rule]:
    """Append a rule, joined with the last one if they differ only in names."""
    if rules and replace(rules[-1], names=()) == replace(new, names=()):
        names = dict.fromkeys((*rules[-1].names, *new.names))
        return [*rules[:-1], replace(new, names=tuple(names))]
    return [*rules, new]


def _refusing(rules: Iterable[Rule], name: str) -> int:
    """Return how many rules have something else than ALLOW for some arguments of a call."""
    return sum(name in one.names and one.compares and one.action != ALLOW for one in rules)


def _ruling(profile: Profile, names: frozenset[str]) -> Iterator[Rule]:
    """Yield the rules, of these calls what no rule on all arguments overrides (libseccomp)."""
    whole = [
        (at, one)
        for at, one in enumerate(profile.rules)
        if not (one.compares or is_default(one, profile))
    ]
    for place, rule in enumerate(profile.rules):
        left = [rule]
        for at, over in whole:
            if at < place or rule.compares:
                where, common = (over.includes, over.excludes), names & {*over.names}
                left = [one for each in left for one in _without(each, common, where, ACTIONS)]
        yield from left


def _beside(old: Rule, new: Rule, profile: Profile) -> Iterator[Rule]:
    """Yield what stays of a rule when calls of a new one are allowed."""
    where, common = (new.includes, new.excludes), frozenset(old.names) & frozenset(new.names)
    says_nothing = is_default(old, profile) and not old.compares
    stays = old.action == ALLOW or says_nothing or not old.meets(new)
    if not new.compares:
        yield from _without(old, common, where, ACTIONS)
    elif not common or stays or are_apart(old.args, new.args):
        yield old
    else:
        yield from _without(old, common, where, ACTIONS)
        for args in _outside(old, new, common):
            yield replace(old, names=_ordered(old, common), args=args)


def _outside(old: Rule, new: Rule, common: frozenset[str]) -> list[tuple[Argument, ...]]:
    """Return the arguments that are left to a rule, by comparisons. Raises ProfileError."""
    own, added_ = ([argument(one) for one in rule.args] for rule in (old, new))
    try:
        groups = argument_sets.outside(own, added_)
    except ProfileError as error:
        why = f"it has {old.action} for arguments to be added, and of the rest {error}"
        raise ProfileError(
            f"{', '.join(sorted(common))}: {why}; remove the call, then add it whole"
        ) from None
    return [tuple(map(_compared, group)) for group in groups]


def _compared(one: argument_sets.Json) -> Argument:
    return Argument(one["index"], one["value"], one["op"], one.get("valueTwo", 0))


def _without(
    old: Rule,
    names: frozenset[str],
    where: tuple[Condition, Condition],
    only: Collection[str] = PASSING,
) -> Iterator[Rule]:
    """Yield a rule without these calls where conditions hold, if its action is one of `only`."""
    common = frozenset(old.names) & names
    if not (common and old.action in only and old.meets(Rule((), ALLOW, None, (), *where))):
        yield old
        return
    if others := frozenset(old.names) - common:
        yield replace(old, names=_ordered(old, others))
    yield from _elsewhere(replace(old, names=_ordered(old, common)), *where)


def _ordered(rule: Rule, names: frozenset[str]) -> tuple[str, ...]:
    return tuple(name for name in rule.names if name in names)


def _elsewhere(rule: Rule, includes: Condition, excludes: Condition) -> Iterator[Rule]:
    """Yield copies of a rule that together apply where it does and the conditions do not hold."""
    for cap in includes.caps:
        yield replace(rule, excludes=_more(rule.excludes, caps=(cap,)))
    if includes.arches:
        yield replace(rule, excludes=_more(rule.excludes, arches=includes.arches))
    if includes.min_kernel:
        known = rule.excludes.min_kernel or includes.min_kernel
        before = replace(rule.excludes, min_kernel=min(known, includes.min_kernel))
        yield replace(rule, excludes=before)
    yield from _where_excluded(rule, excludes)


def _where_excluded(rule: Rule, excludes: Condition) -> Iterator[Rule]:
    """Yield copies of a rule for what an addition or a removal excludes."""
    for cap in excludes.caps:
        yield replace(rule, includes=_more(rule.includes, caps=(cap,)))
    if excludes.arches:
        own = rule.includes.arches
        arches = tuple(one for one in excludes.arches if not own or one in own)
        if arches:
            yield replace(rule, includes=replace(rule.includes, arches=arches))
    if excludes.min_kernel:
        known = rule.includes.min_kernel or excludes.min_kernel
        since = replace(rule.includes, min_kernel=max(known, excludes.min_kernel))
        yield replace(rule, includes=since)


def _more(
    condition: Condition, caps: tuple[str, ...] = (), arches: tuple[str, ...] = ()
) -> Condition:
    return replace(
        condition,
        caps=tuple(dict.fromkeys((*condition.caps, *caps))),
        arches=tuple(dict.fromkeys((*condition.arches, *arches))),
    )


def are_apart(some: tuple[Argument, ...], others: tuple[Argument, ...]) -> bool:
    """Tell whether no call fits both: no value of some argument does."""
    pairs = product(alternatives(some), alternatives(others))
    return all(any(_excludes(one, other) for one, other in product(*pair)) for pair in pairs)


def _excludes(one: Argument, other: Argument) -> bool:
    if one.index != other.index:
        return False
    blocks = map(argument_sets.blocks_of, map(argument, (one, other)))
    return not any(argument_sets.meet(*pair) for pair in product(*blocks))

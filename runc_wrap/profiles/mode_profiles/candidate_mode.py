"""A profile in force with a candidate beside it: what that would deny more is only logged.

    the profile in force denies                     its denial, unchanged
    it lets through, and the candidate denies       LOG, or NOTIFY
    both let through                                ALLOW, or LOG if the profile in force logs

Only the rules of calls that the candidate restricts more are written anew, for each set of the
capabilities that their rules name; all others stay as they are. A call whose rules cannot be
written so keeps them: it is not previewed. filters.libseccomp_proof proves the rest.
"""

from collections.abc import Collection, Iterator
from itertools import groupby, product
from typing import Any, NamedTuple

from runc_wrap.hotpath.compiled_policy import CompiledProfile, CompiledRule
from runc_wrap.hotpath.decision import OBSERVE
from runc_wrap.hotpath.resolve import holds
from runc_wrap.hotpath.rule_algebra import (
    alternatives,
    calls_of,
    meaningful,
    renamed,
    result,
    ruling,
)
from runc_wrap.profiles.arguments.argument_sets import (
    ALL,
    ArgumentSet,
    complement,
    minus,
    of_rule,
    said,
)
from runc_wrap.profiles.mode_profiles import modes, observe_mode
from runc_wrap.profiles.runtime_spec_names import ACTIONS, ALLOW, LOG, NOTIFY
from runc_wrap.profiles.source_profile import ProfileError
from runc_wrap.profiles.unobserved_calls import RUNTIME_CALLS

Json = dict[str, Any]
Arguments = list[Json]
PASSING = (ALLOW, LOG)
_MOST_CAPABILITIES = 6  # that the rules of one call may name


class Preview(NamedTuple):
    """The profile to inject. `calls` are looked at, `left` cannot be; both are sorted names."""

    profile: CompiledProfile
    calls: list[str]
    left: list[str]


class _Side(NamedTuple):
    """One profile's rules on one call for one set of capabilities, in the order in which they win.

    `allowed` are the arguments that it lets through, `logged` those that it lets through and logs.
    """

    rules: list[CompiledRule]
    allowed: ArgumentSet
    logged: ArgumentSet

    def arguments(self, *actions: str) -> list[Arguments]:
        """Return the comparisons of the rules with one of these actions."""
        chosen = (one["rule"] for one in self.rules if one["rule"]["action"] in actions)
        return [group for rule in chosen for group in alternatives(rule.get("args") or [])]


def previewed(
    current: CompiledProfile,
    candidate: CompiledProfile,
    mode: str,
    listener: modes.AgentListener = modes.NOWHERE,
    without: Collection[str] = (),
) -> Preview:
    """Return the current profile with the candidate beside it, both as compiled for enforce.

    `without` are calls that keep their rules. Raises ProfileError if that cannot be for all.
    """
    if mode == OBSERVE and modes.has_listener(current):
        raise ProfileError("it has a listener, so the agent cannot be asked; use enforce")
    pair = _Pair(current, candidate, NOTIFY if mode == OBSERVE else LOG)
    made: dict[str, list[CompiledRule]] = {}
    left = set(without)
    for name in dict.fromkeys(name for rules in pair.rules_of for name in rules):
        try:
            rules = pair.rules(name, is_left=name in left)
            made |= {} if rules is None else {name: rules}
        except ProfileError:
            if not pair.is_same:
                raise
            left.add(name)
    new = [one for rules in made.values() for one in rules]
    entries = [
        *(one for one in new if not one["rule"].get("args")),  # before rules on socket: see overlay
        *_kept(current, made, pair.default),
        *(one for one in new if one["rule"].get("args")),
    ]
    block = {**current["block"], "defaultAction": pair.default}
    if not pair.is_same:
        block.pop("defaultErrnoRet", None)
    if mode == OBSERVE and any(one["rule"]["action"] == NOTIFY for one in entries):
        block = modes.asking(block, listener, observe_mode.METADATA)
    profile: CompiledProfile = {**current, "block": block, "rules": entries}
    return Preview(profile, sorted({*made} - left), sorted(left))


def _kept(current: CompiledProfile, made: Collection[str], action: str) -> list[CompiledRule]:
    """Return the rules of other calls, and those with the default's outcome: runc counts them."""
    errno = current["block"].get("defaultErrnoRet")
    found = []
    for one in current["rules"]:
        rule = one["rule"]
        is_default = result(rule["action"], rule.get("errnoRet")) == result(action, errno)
        names = [n for n in calls_of(one) if is_default or n not in made]
        found += [renamed(one, names)] if names else []
    return found


def _by_call(entries: list[CompiledRule]) -> dict[str, list[CompiledRule]]:
    found: dict[str, list[CompiledRule]] = {}
    for entry in map(meaningful, entries):
        for name in dict.fromkeys(calls_of(entry)):
            found.setdefault(name, []).append(entry)
    return found


class _Pair:
    """The two profiles; `default` is the default action of what is made of them."""

    def __init__(self, current: CompiledProfile, candidate: CompiledProfile, action: str) -> None:
        self.both = current, candidate
        self.rules_of = [_by_call(one["rules"]) for one in self.both]
        own, other = (one["block"]["defaultAction"] for one in self.both)
        logs = own in PASSING and other not in PASSING
        self.default = LOG if logs else own  # never NOTIFY, which runc refuses there
        self.is_same = self.default == own
        self._action = action

    def rules(self, name: str, *, is_left: bool) -> list[CompiledRule] | None:
        """Return the rules of a call, None if they stay. Raises ProfileError.

        `is_left`: nothing of it is logged.
        """
        if is_left and self.is_same:
            return None
        own, other = (
            ruling(rules.get(name, []), name, one["block"])
            for rules, one in zip(self.rules_of, self.both, strict=True)
        )
        caps = sorted({cap for one in (*own, *other) for cap in observe_mode.caps_of(one)})
        if len(caps) > _MOST_CAPABILITIES:
            raise ProfileError(f"its rules name more than {_MOST_CAPABILITIES} capabilities")
        is_changed = not self.is_same
        found: list[CompiledRule] = []
        for drawn in product((False, True), repeat=len(caps)):
            given = [cap for cap, is_given in zip(caps, drawn, strict=True) if is_given]
            lacking = [cap for cap in caps if cap not in given]
            here = _side(own, self.both[0], given)
            there = _side(other, self.both[1], given)
            asked = [] if is_left else minus(here.allowed, [*there.allowed, *there.logged])
            is_changed |= bool(asked)
            for one in self._written(name, here, there, asked):
                rule = {**one["rule"], "names": [*calls_of(one)]}
                found.append(observe_mode.for_containers(rule, given, lacking))
        return found if is_changed else None

    def _written(
        self, name: str, own: _Side, other: _Side, asked: ArgumentSet
    ) -> Iterator[CompiledRule]:
        """Yield a call's rules for one set of capabilities. Raises ProfileError for too many."""
        if not asked and self.is_same:
            yield from own.rules
            return
        yield from (one for one in own.rules if one["rule"]["action"] != ALLOW)
        action = LOG if name in RUNTIME_CALLS else self._action
        both = minus(own.allowed, asked)
        groups, denied = other.arguments(ALLOW), other.arguments(*ACTIONS - {ALLOW, LOG})
        ways = {action: [own.arguments(ALLOW), denied, complement(groups) if groups else None]}
        ways[ALLOW] = [own.arguments(ALLOW), groups, complement(denied) if denied else None]
        for what, held in ((action, asked), (ALLOW, both)):
            for args in said(held, ways[what]) if what != self.default else ():
                rule: Json = {"names": [name], "action": what}
                yield {"rule": rule | ({"args": args} if args else {})}


def _side(rules: list[CompiledRule], of: CompiledProfile, given: Collection[str]) -> _Side:
    """Return a profile's rules on a call for these capabilities, and what it lets through."""
    sets: dict[str, ArgumentSet] = {}
    rest, held = ALL, frozenset(given)
    found: list[CompiledRule] = []
    chosen = (one for one in rules if holds(one, held))
    for action, group in groupby(chosen, lambda one: one["rule"]["action"]):
        after = rest
        for entry in group:
            found += [entry] if after else []
            after = minus(after, of_rule(entry["rule"].get("args") or []))
        sets[action] = [*sets.get(action, ()), *minus(rest, after)]
        rest = after
    default = of["block"]["defaultAction"]
    sets[default] = [*sets.get(default, ()), *rest]
    return _Side(found, sets.get(ALLOW, []), sets.get(LOG, []))

"""One block that does what two do together, call by call: for each argument the stricter outcome.

Not every pair has one: a block cannot say "unless", and compares each argument of a rule once.
Whether libseccomp makes of it what it says has to be proved.
"""

from collections.abc import Iterator, Mapping
from itertools import product
from typing import Any

from runc_wrap.hotpath import rule_algebra
from runc_wrap.hotpath.compiled_policy import CompiledRule
from runc_wrap.profiles import actions
from runc_wrap.profiles.arguments.argument_sets import ALL, ArgumentSet, minus, of_rule, said

Json = dict[str, Any]
Outcome = tuple[str, int | None]  # action, errnoRet
Case = tuple[Outcome, list[Json]]  # what a call gets for which these comparisons hold

_FIRST = ("socketcall", "ipc")  # else libseccomp makes rules on these of those on socket


def merged(old: Mapping[str, Any], new: Mapping[str, Any]) -> Json:
    """Return the block, with the old one's flags. Raises ProfileError if there is none."""
    default = _stricter(_default(old), _default(new))
    rules = [rule for block in (old, new) for rule in block.get("syscalls") or ()]
    named = dict.fromkeys(name for rule in rules for name in rule["names"])
    abis, others = (block.get("architectures") or () for block in (old, new))
    return {
        **old,
        **_outcome(default, "defaultAction", "defaultErrnoRet"),
        "architectures": [one for one in abis if one in others],  # calls on all others are killed
        "syscalls": [
            {"names": [name], **_outcome(outcome, "action", "errnoRet"), "args": args}
            for name in sorted(named, key=lambda name: name not in _FIRST)
            for outcome, args in _merged([_rules(name, one) for one in (old, new)], default)
        ],
    }


def _outcome(outcome: Outcome, action: str, errno: str) -> Json:
    return {action: outcome[0], **({} if outcome[1] is None else {errno: outcome[1]})}


def _default(block: Mapping[str, Any]) -> Outcome:
    return block["defaultAction"], block.get("defaultErrnoRet")


def _rules(name: str, block: Mapping[str, Any]) -> list[Case]:
    """Return the rules for a call in the order in which they win, the default last."""
    entries: list[CompiledRule] = [{"rule": one} for one in block.get("syscalls") or ()]
    rules = (one["rule"] for one in rule_algebra.ruling(entries, name, {**block}))
    own = [((one["action"], one.get("errnoRet")), one.get("args") or []) for one in rules]
    return [*own, (_default(block), [])]


def _merged(rules: list[list[Case]], default: Outcome) -> Iterator[Case]:
    """Yield a call's outcomes, with comparisons for which each holds."""
    if kept := _kept(*rules):
        yield from kept
        return
    held: dict[Outcome, ArgumentSet] = {}
    for (first, one), (second, other) in product(*map(_parts, rules)):
        held.setdefault(_stricter(first, second), []).extend(minus(one, minus(one, other)))
    held = {outcome: parts for outcome, parts in held.items() if parts}
    for outcome, parts in held.items():
        ways = ([args for what, args in each if what == outcome] for each in rules)
        own = [[one for args in way for one in rule_algebra.alternatives(args)] for way in ways]
        if outcome != default or len(held) == 1:  # runc counts the names of the default's, too
            yield from ((outcome, args) for args in said(parts, own))


def _kept(old: list[Case], new: list[Case]) -> list[Case]:
    """Return one block's rules for a call if the other has none and is never stricter, else [].

    Podman's on socket would be too many cases.
    """
    if len(new) == 1 and all(_stricter(one, new[0][0]) == one for one, _ in old):
        return old[:-1]
    if len(old) == 1 and all(_stricter(old[0][0], one) == one for one, _ in new):
        return new[:-1]
    return []


def _parts(rules: list[Case]) -> Iterator[tuple[Outcome, ArgumentSet]]:
    """Yield the arguments for which each rule wins."""
    rest = ALL
    for outcome, args in rules:
        after = minus(rest, of_rule(args))
        yield outcome, minus(rest, after)
        rest = after


def _stricter(old: Outcome, new: Outcome) -> Outcome:
    """Return the more restrictive; of equal actions the new one's errno counts."""
    return min(new, old, key=lambda one: actions.restriction(actions.code(one[0])))

"""One block that does what two do together, rule by rule: for each call the stricter outcome.

Not every pair has one: a block cannot say "unless", and compares each argument of a rule once.
Sockets are compared family by family (rule_algebra), and families that no kernel has get the
default. Whether libseccomp makes of it what it says has to be proved.
"""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, Any

from runc_wrap.hotpath import rule_algebra
from runc_wrap.hotpath.comparison import EQ, MASKED_EQ, holds
from runc_wrap.profiles import actions
from runc_wrap.profiles.source_profile import ProfileError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from runc_wrap.hotpath.compiled_policy import CompiledRule

    Json = dict[str, Any]
    Outcome = tuple[str, int | None]  # action, errnoRet
    Case = tuple[list[Json], Outcome]  # comparisons, and what a call gets for which all hold

_FIRST = ("socketcall", "ipc")  # else libseccomp makes rules on these of those on socket


def merged(old: Mapping[str, Any], new: Mapping[str, Any]) -> Json:
    """Return the block, with the old one's flags. Raises ProfileError if there is none."""
    default = _stricter(_default(old), _default(new))
    rules = [rule for block in (old, new) for rule in block.get("syscalls") or ()]
    named = dict.fromkeys(name for rule in rules for name in rule["names"])
    names = sorted(named, key=lambda name: name not in _FIRST)
    abis, others = (block.get("architectures") or () for block in (old, new))
    return {
        **old,
        **_outcome(default, "defaultAction", "defaultErrnoRet"),
        "architectures": [one for one in abis if one in others],  # calls on all others are killed
        "syscalls": [
            {"names": [name], **_outcome(outcome, "action", "errnoRet"), "args": args}
            for name in names
            for args, outcome in _merged(name, _cases(name, old, new), default)
        ],
    }


def _outcome(outcome: Outcome, action: str, errno: str) -> Json:
    return {action: outcome[0], **({} if outcome[1] is None else {errno: outcome[1]})}


def _default(block: Mapping[str, Any]) -> Outcome:
    return block["defaultAction"], block.get("defaultErrnoRet")


def _cases(
    name: str, old: Mapping[str, Any], new: Mapping[str, Any]
) -> tuple[list[Case], list[Case]]:
    """Return each block's cases of a call; the last compares nothing, except for sockets."""
    first, second = _rules(name, old), _rules(name, new)
    is_compared = any(one["rule"].get("args") for one in (*first, *second))
    if name in rule_algebra.SOCKETS and is_compared:
        first, second = (rule_algebra.by_family(each, []) for each in (first, second))
    return _listed(first), _listed(second)


def _rules(name: str, block: Mapping[str, Any]) -> list[CompiledRule]:
    """Return the rules for a call in the order in which they win, the default last."""
    entries: list[CompiledRule] = [{"rule": one} for one in block.get("syscalls") or ()]
    rest = {"names": [name], **_outcome(_default(block), "action", "errnoRet"), "args": []}
    return [*rule_algebra.ruling(entries, name, {**block}), {"rule": rest}]


def _listed(rules: list[CompiledRule]) -> list[Case]:
    cases: list[Case] = []
    for rule in (each["rule"] for each in rules):
        groups = rule_algebra.alternatives(rule.get("args") or [])
        cases += [(group, (rule["action"], rule.get("errnoRet"))) for group in groups]
        if not rule.get("args"):
            break
    return cases


def _merged(name: str, cases: tuple[list[Case], list[Case]], default: Outcome) -> list[Case]:
    """Return a call's cases; what is left where one compares must be the default."""
    found = []
    old, new = cases
    for (one, first), (other, second) in product(old, new):
        outcome = _stricter(first, second)
        if (len(old) > 1 and not one) or (len(new) > 1 and not other):
            if _rank(outcome) != _rank(default):
                raise ProfileError(f"the rules for {name} of both cannot be written as one block")
            continue
        both = _both(name, one, other)
        if both is not None:
            found.append((both, outcome))
    return found


def _both(name: str, one: list[Json], other: list[Json]) -> list[Json] | None:
    """Return the comparisons that hold where both lists do, None if that is nowhere."""
    found = {each["index"]: each for each in one}
    for each in other:
        index = each["index"]
        compared = _conjunction(name, found[index], each) if index in found else each
        if compared is None:
            return None
        found[index] = compared
    return [*found.values()]


def _conjunction(name: str, one: Json, other: Json) -> Json | None:
    if one == other:
        return one
    for first, second in ((one, other), (other, one)):
        if first["op"] == EQ:
            value, two = second["value"], second.get("valueTwo") or 0
            return first if holds(second["op"], first["value"], value, two) else None
    if one["op"] != MASKED_EQ or other["op"] != MASKED_EQ:
        raise ProfileError(f"both compare argument {one['index']} of {name}, in different ways")
    masks = one["value"], other["value"]
    data = [(each.get("valueTwo") or 0) & each["value"] for each in (one, other)]
    if (data[0] ^ data[1]) & masks[0] & masks[1]:
        return None
    return {**one, "value": masks[0] | masks[1], "valueTwo": data[0] | data[1]}


def _rank(outcome: Outcome) -> int:
    return actions.restriction(actions.code(*outcome))


def _stricter(old: Outcome, new: Outcome) -> Outcome:
    """Return the more restrictive; of equal actions the new one's errno counts."""
    return old if _rank(old) < _rank(new) else new

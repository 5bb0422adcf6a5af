"""Mode observe: the calls that a compiled profile denies go to the agent, which permits them.

The default action becomes LOG: runc refuses NOTIFY there, and calls whose names libseccomp does
not know are then at least logged. Calls with known names are listed one by one after all rules
that allow: of two rules without arguments libseccomp uses the first.

Rules that allow by arguments stay, and their complement is listed by arguments as well. Where
comparisons cannot express it (no rule compares one argument twice), the call is sent whatever its
arguments, and the listener's metadata list for the agent which of them the profile allows:

    runc-wrap/1 {"ARCH:NUMBER": [[[index, operator, value, second value], ...], ...], ...}

ARCH is AUDIT_ARCH_* in hexadecimal; one of the outer list must hold, and all of the inner. Only the
agent knows MASKED_NE. The same is done where rules both allow and deny one call by arguments.
A few denied calls stay with LOG: see `_KEPT`. Calls by which a program installs its own filter
are sent although the profile allows them: see `own_filter_rules`.
"""

from collections.abc import Iterable
from itertools import product
from typing import Any

from runc_wrap.hotpath import json_codec
from runc_wrap.hotpath.compiled_policy import CompiledProfile, CompiledRule
from runc_wrap.hotpath.operators import MASKED_EQ, OPPOSITE, PREFIX
from runc_wrap.hotpath.resolve import holds
from runc_wrap.hotpath.rule_algebra import (
    DENYING,
    SOCKETS,
    alternatives,
    calls_of,
    meaningful,
    renamed,
    ruling,
)
from runc_wrap.profiles import abis, syscall_names
from runc_wrap.profiles.arguments.argument_sets import complement, index_of
from runc_wrap.profiles.mode_profiles import own_filter_rules
from runc_wrap.profiles.runtime_spec_names import ALLOW, LOG, NOTIFY
from runc_wrap.profiles.unobserved_calls import RUNTIME_CALLS

Json = dict[str, Any]
Arguments = list[Json]

METADATA = "runc-wrap/1"
# runc and crun make these between loading the filter and handing over the listener: a runtime
# that waited for an answer then would wait for itself.
_KEPT = RUNTIME_CALLS
_DENIES = (*DENYING, "SCMP_ACT_TRACE")
_MOST_CAPABILITIES = 4
_MOST_GROUPS = 64  # of comparisons that the metadata list for one call
_OPPOSITE = {**OPPOSITE, MASKED_EQ: f"{PREFIX}MASKED_NE"}


def observed(
    profile: CompiledProfile, entries: list[CompiledRule], listed: Iterable[str]
) -> tuple[list[CompiledRule], str]:
    """Return the rules that observe what a compiled profile denies, and the listener's metadata.

    `entries` are its rules, made free of contradictions; `listed` are the filter's ABIs. Raises
    ProfileError without libseccomp.
    """
    block, original = profile["block"], [meaningful(one) for one in profile["rules"]]
    filtered = [abis.of_oci(name) for name in listed] or [syscall_names.native()]
    asked = own_filter_rules.asked(entries, block["defaultAction"], NOTIFY)
    entries = own_filter_rules.rules(entries, LOG, LOG)
    if block["defaultAction"] not in _DENIES:
        return [*_passing(entries), *_denials(entries, ()), *asked], METADATA
    names = {name for abi in filtered for name in syscall_names.numbers(abi)} - _KEPT
    logged = {name for one in original if _logs(one) for name in calls_of(one)}
    names -= {name for name in logged if any(map(_logs, ruling(original, name, block)))}
    names -= _open(entries)
    disputed = contested(original, block)
    by_arguments = {name for entry in _passing(entries) if _args(entry) for name in calls_of(entry)}
    made, by_agent = [], sorted(names & disputed.keys())
    for name in sorted(names & by_arguments - disputed.keys()):
        rules = _left_out(entries, name)
        by_agent += [] if rules else _if_by_agent(entries, name)
        made += rules or ([] if name in by_agent else _denials(entries, {name}))
    plain = sorted({*(names - by_arguments), *by_agent})
    others = [
        renamed(one, [n for n in calls_of(one) if n not in by_agent]) for one in _passing(entries)
    ]
    rules = [one for one in others if calls_of(one)]
    last: list[CompiledRule] = [{"rule": {"names": plain, "action": NOTIFY}}] if plain else []
    for name in {*by_agent} - disputed.keys():
        own = [one for one in _passing(entries) if name in calls_of(one)]
        disputed[name] = [group for one in own for group in _groups(one)]
    allowed = {name: disputed[name] for name in by_agent}
    kept = [one for one in asked if _KEPT.issuperset(calls_of(one))]  # `made` covers the others
    return [*rules, *made, *kept, *last], _metadata(allowed, filtered)


def contested(entries: list[CompiledRule], block: Json) -> dict[str, list[Arguments]]:
    """Return {call: allowed arguments} of calls that rules both allow and deny by arguments.

    No rule of a runtime can compare an argument twice, as this may need; the agent can.
    """
    passed = {name for entry in _passing(entries) for name in calls_of(entry)}
    found = {}
    for name in sorted(passed - {*SOCKETS}):
        own = ruling(entries, name, block)
        denied = [one for one in own if one["rule"]["action"] in DENYING]
        groups = [group for one in _passing(own) for group in _groups(one)]
        if not groups or not denied or not all(map(_is_by_arguments, own)):
            continue
        for group in (group for one in denied for group in _groups(one)):
            opposite = [{**one, "op": _OPPOSITE[one["op"]]} for one in group]
            groups = [[*have, one] for have in groups for one in opposite][:_MOST_GROUPS]
        found[name] = groups
    return found


def _logs(entry: CompiledRule) -> bool:
    """Tell whether a rule permits calls at least in part, and logs or traces them."""
    return entry["rule"]["action"] not in (ALLOW, *_DENIES)


def _is_by_arguments(entry: CompiledRule) -> bool:
    known = entry["rule"]["action"] in (ALLOW, *DENYING)
    return known and bool(_args(entry)) and not caps_of(entry)


def _args(entry: CompiledRule) -> Arguments:
    found: Arguments = entry["rule"].get("args") or []
    return found


def _passing(entries: list[CompiledRule]) -> list[CompiledRule]:
    """Return the rules that allow calls without logging them."""
    return [tidy(entry) for entry in entries if entry["rule"]["action"] == ALLOW]


def tidy(entry: CompiledRule) -> CompiledRule:
    """Return an entry without an errno, and without an empty list of comparisons."""
    rule = {key: value for key, value in entry["rule"].items() if key != "errnoRet"}
    if not rule.get("args"):
        rule.pop("args", None)
    return {**entry, "rule": rule}


def _open(entries: list[CompiledRule]) -> set[str]:
    """Return the calls that are never sent: allowed unconditionally, or logged."""
    return {
        name
        for entry in entries
        if entry["rule"]["action"] not in _DENIES
        and (entry["rule"]["action"] != ALLOW or not (_args(entry) or caps_of(entry)))
        for name in calls_of(entry)
    }


def _denials(entries: list[CompiledRule], only: Iterable[str]) -> list[CompiledRule]:
    """Return the denying rules on the calls in `only` (all if empty), as sending or logging."""
    denying = [tidy(entry) for entry in entries if entry["rule"]["action"] in _DENIES]
    if not _has_socketcall(entries):
        denying = [one for one in denying if not _args(one) or {*SOCKETS}.isdisjoint(calls_of(one))]
    made: list[CompiledRule] = []
    for entry in denying:
        names = [name for name in calls_of(entry) if not only or name in only]
        for action, some in ((NOTIFY, set(names) - _KEPT), (LOG, set(names) & _KEPT)):
            if some:
                one = renamed(entry, [name for name in names if name in some])
                made.append({**one, "rule": {**one["rule"], "action": action}})
    return made


def _has_socketcall(entries: list[CompiledRule]) -> bool:
    """Tell whether socketcall is allowed unconditionally.

    Otherwise libseccomp turns our rules on sockets into rules on socketcall, and then refuses
    these as contradictory.
    """
    return any(
        "socketcall" in calls_of(one) and not _args(one) and not caps_of(one)
        for one in _passing(entries)
    )


def caps_of(entry: CompiledRule) -> set[str]:
    """Return the capabilities on which a rule depends."""
    return {*(entry.get("all") or ()), *(entry.get("none") or ())}


def _left_out(entries: list[CompiledRule], name: str) -> list[CompiledRule]:
    """Return rules for the forms of a call that are not allowed, [] if none can express them."""
    if name in SOCKETS and not _has_socketcall(entries):
        return []
    own = [one for one in _passing(entries) if name in calls_of(one) and _args(one)]
    caps = sorted(set().union(*(caps_of(one) for one in own)))
    if len(caps) > _MOST_CAPABILITIES:
        return []
    made: list[CompiledRule] = []
    for drawn in product((True, False), repeat=len(caps)):
        given = frozenset(cap for cap, is_given in zip(caps, drawn, strict=True) if is_given)
        pieces = complement([group for one in own if holds(one, given) for group in _groups(one)])
        if pieces is None:
            return []
        refused = [cap for cap in caps if cap not in given]
        for piece in pieces:
            rule: Json = {"names": [name], "action": NOTIFY} | ({"args": piece} if piece else {})
            made.append(for_containers(rule, sorted(given), refused))
    return made


def for_containers(rule: Json, given: list[str], lacking: list[str]) -> CompiledRule:
    """Return a rule for containers that have some capabilities and lack others."""
    entry: CompiledRule = {"rule": rule}
    if given:
        entry["all"] = given
    if lacking:
        entry["none"] = lacking
    return entry


def _groups(entry: CompiledRule) -> list[Arguments]:
    return alternatives(_args(entry))


def _if_by_agent(entries: list[CompiledRule], name: str) -> list[str]:
    """Return [the call] if the agent can decide by arguments alone what is allowed, else []."""
    own = [one for one in entries if name in calls_of(one)]
    is_plain = all(one["rule"]["action"] == ALLOW and not caps_of(one) for one in own)
    return [name] if is_plain and name not in SOCKETS else []


def _metadata(allowed: dict[str, list[Arguments]], filtered: list[abis.Abi]) -> str:
    rules: Json = {}
    for name, groups in allowed.items():
        for abi in filtered:
            if name in syscall_names.numbers(abi):
                comparisons = [[*map(_as_list, group)] for group in groups]
                rules[f"{abi.audit:x}:{syscall_names.numbers(abi)[name]}"] = comparisons
    return f"{METADATA} {json_codec.dumps(rules).decode()}" if rules else METADATA


def _as_list(one: Json) -> list[Any]:
    op = one["op"].removeprefix(PREFIX)
    return [index_of(one), op, one["value"], one.get("valueTwo", 0)]

"""Mode observe: what a compiled profile denies is sent to the agent, which lets it continue.

The default action becomes LOG: runc refuses NOTIFY there, and a call without a name known to
libseccomp is then at least logged. What has a name is listed, one by one, behind all rules that
allow: of two rules without arguments libseccomp takes the first.

Rules that allow by arguments stay, and what they leave out is listed by arguments, too. Where
comparisons cannot say it (no rule compares one argument twice), the call is sent whatever its
arguments, and the listener's metadata tell the agent which of them the profile allows:

    runc-wrap/1 {"ARCH:NUMBER": [[[index, operator, value, second value], ...], ...], ...}

ARCH is AUDIT_ARCH_* in hexadecimal; of the outer list one must hold, of the inner all. MASKED_NE is
the agent's alone. So it is, too, where rules allow and deny one call, both by arguments.
A few calls stay with LOG even where the profile denies them: see `_KEPT`. What installs a filter
of the program's own is sent although the profile allows it: see `installations`.
"""

from itertools import product
from typing import TYPE_CHECKING, Any

from runc_wrap.hotpath import json_codec
from runc_wrap.hotpath.rule_algebra import (
    DENYING,
    OPPOSITE,
    SOCKETS,
    alternatives,
    calls_of,
    renamed,
    ruling,
    telling,
)
from runc_wrap.profiles import abis, filter_installation, syscalls
from runc_wrap.profiles.arguments.complement import complement, index_of
from runc_wrap.profiles.lint import RUNTIME_CALLS
from runc_wrap.profiles.spec_names import ALLOW, LOG, NOTIFY

if TYPE_CHECKING:
    from collections.abc import Iterable

Json = dict[str, Any]
Arguments = list[Json]

METADATA = "runc-wrap/1"
# runc and crun make these between loading the filter and having handed over the listener; a
# runtime that waits for an answer then waits for itself.
_KEPT = RUNTIME_CALLS
_DENIES = (*DENYING, "SCMP_ACT_TRACE")
_MOST_CAPABILITIES = 4
_MOST_GROUPS = 64  # of comparisons that the agent is told for one call
_OPPOSITE = {**OPPOSITE, "SCMP_CMP_MASKED_EQ": "SCMP_CMP_MASKED_NE"}


def observed(
    profile: Json, entries: list[Json], listed: "Iterable[str]", *, installing: bool = True
) -> tuple[list[Json], str]:
    """Return the rules that observe what a compiled profile denies, and the listener's metadata.

    `entries` are its rules, no two of which contradict each other any more; `listed` are the
    filter's ABIs. Raises ProfileError without libseccomp.
    """
    block, told = profile["block"], [telling(one) for one in profile["rules"]]
    filtered = [abis.of_oci(name) for name in listed] or [syscalls.native()]
    asked = filter_installation.asked(entries, block["defaultAction"], NOTIFY) if installing else []
    if installing:
        entries = filter_installation.rules(entries, LOG, LOG)
    if block["defaultAction"] not in _DENIES:
        return [*_passing(entries), *_denials(entries, ()), *asked], METADATA
    names = {name for abi in filtered for name in syscalls.numbers(abi)} - _KEPT
    names -= _open(entries) | _logged(told, block)
    disputed = contested(told, block)
    by_arguments = {name for entry in _passing(entries) if _args(entry) for name in calls_of(entry)}
    made, whole = [], sorted(names & disputed.keys())
    for name in sorted(names & by_arguments - disputed.keys()):
        rules = _left_out(entries, name)
        whole += [] if rules else _whole(entries, name)
        made += rules or ([] if name in whole else _denials(entries, {name}))
    plain = sorted({*(names - by_arguments), *whole})
    told_apart = [
        renamed(one, [n for n in calls_of(one) if n not in whole]) for one in _passing(entries)
    ]
    rules = [one for one in told_apart if calls_of(one)]
    last = [{"rule": {"names": plain, "action": NOTIFY}}] if plain else []
    allowed = {name: disputed.get(name) or _allowed(entries, name) for name in whole}
    kept = [one for one in asked if _KEPT.issuperset(calls_of(one))]  # of others it is left out
    return [*rules, *made, *kept, *last], _metadata(allowed, filtered)


def contested(told: list[Json], block: Json) -> "dict[str, list[Arguments]]":
    """Return what is allowed of calls of which rules allow some and deny some by arguments.

    Runtimes cannot be told where that compares an argument twice; the agent can.
    """
    passed = {name for entry in _passing(told) for name in calls_of(entry)}
    found = {}
    for name in sorted(passed - {*SOCKETS}):
        own = ruling(told, name, block)
        denied = [one for one in own if one["rule"]["action"] in DENYING]
        groups = [group for one in _passing(own) for group in _groups(one)]
        if not groups or not denied or not all(map(_is_by_arguments, own)):
            continue
        for group in (group for one in denied for group in _groups(one)):
            groups = [[*have, _opposite(one)] for have in groups for one in group][:_MOST_GROUPS]
        found[name] = groups
    return found


def _logged(told: list[Json], block: Json) -> set[str]:
    """Return the calls of which a rule lets some through with a record of its own."""
    names = {name for one in told if _logs(one) for name in calls_of(one)}
    return {name for name in names if any(map(_logs, ruling(told, name, block)))}


def _logs(entry: Json) -> bool:
    return entry["rule"]["action"] not in (ALLOW, *_DENIES)


def _is_by_arguments(entry: Json) -> bool:
    known = entry["rule"]["action"] in (ALLOW, *DENYING)
    return known and bool(_args(entry)) and not _caps(entry)


def _opposite(one: Json) -> Json:
    return {**one, "op": _OPPOSITE[one["op"]]}


def _args(entry: Json) -> Arguments:
    found: Arguments = entry["rule"].get("args") or []
    return found


def _passing(entries: list[Json]) -> list[Json]:
    """Return the rules that let something through unlogged."""
    return [_tidy(entry) for entry in entries if entry["rule"]["action"] == ALLOW]


def _tidy(entry: Json) -> Json:
    rule = {key: value for key, value in entry["rule"].items() if key != "errnoRet"}
    if not rule.get("args"):
        rule.pop("args", None)
    return {**entry, "rule": rule}


def _open(entries: list[Json]) -> set[str]:
    """Return the calls of which nothing is to be sent: allowed whatever happens, or logged."""
    return {
        name
        for entry in entries
        if entry["rule"]["action"] not in _DENIES
        and (entry["rule"]["action"] != ALLOW or not (_args(entry) or _caps(entry)))
        for name in calls_of(entry)
    }


def _denials(entries: list[Json], only: "Iterable[str]") -> list[Json]:
    """Return the rules that deny by name, of some calls or of all, as rules that send or log."""
    denying = [_tidy(entry) for entry in entries if entry["rule"]["action"] in _DENIES]
    if not _has_socketcall(entries):
        denying = [one for one in denying if not (_sockets(one) and _args(one))]
    made = []
    for entry in denying:
        names = [name for name in calls_of(entry) if not only or name in only]
        for action, some in ((NOTIFY, set(names) - _KEPT), (LOG, set(names) & _KEPT)):
            one = renamed(entry, [name for name in names if name in some])
            made += [{**one, "rule": {**one["rule"], "action": action}}] if some else []
    return made


def _sockets(entry: Json) -> bool:
    return not set(SOCKETS).isdisjoint(calls_of(entry))


def _has_socketcall(entries: list[Json]) -> bool:
    """Tell whether socketcall is allowed as a whole.

    Else libseccomp makes rules on it of ours on sockets, which it takes for contradictions.
    """
    return any(
        "socketcall" in calls_of(one) and not _args(one) and not _caps(one)
        for one in _passing(entries)
    )


def _caps(entry: Json) -> set[str]:
    return {*(entry.get("all") or ()), *(entry.get("none") or ())}


def _left_out(entries: list[Json], name: str) -> list[Json]:
    """Return the rules for what is not allowed of a call, [] where they cannot be written."""
    if name in SOCKETS and not _has_socketcall(entries):
        return []
    own = [one for one in _passing(entries) if name in calls_of(one) and _args(one)]
    caps = sorted(set().union(*(_caps(one) for one in own)))
    if len(caps) > _MOST_CAPABILITIES:
        return []
    made: list[Json] = []
    for drawn in product((True, False), repeat=len(caps)):
        given = {cap for cap, is_given in zip(caps, drawn, strict=True) if is_given}
        pieces = complement([group for one in own if _holds(one, given) for group in _groups(one)])
        if pieces is None:
            return []
        made += [_sent(name, piece, caps, given) for piece in pieces]
    return made


def _groups(entry: Json) -> list[Arguments]:
    return alternatives(_args(entry))


def _holds(entry: Json, given: set[str]) -> bool:
    return given.issuperset(entry.get("all") or ()) and given.isdisjoint(entry.get("none") or ())


def _sent(name: str, arguments: Arguments, caps: list[str], given: set[str]) -> Json:
    rule: Json = {"names": [name], "action": NOTIFY}
    if arguments:
        rule["args"] = arguments
    entry: Json = {"rule": rule}
    if given:
        entry["all"] = sorted(given)
    if refused := [cap for cap in caps if cap not in given]:
        entry["none"] = refused
    return entry


def _whole(entries: list[Json], name: str) -> list[str]:
    """Return the call if the agent can tell by arguments alone what is allowed of it."""
    own = [one for one in entries if name in calls_of(one)]
    is_plain = all(one["rule"]["action"] == ALLOW and not _caps(one) for one in own)
    return [name] if is_plain and name not in SOCKETS else []


def _allowed(entries: list[Json], name: str) -> list[Arguments]:
    own = [one for one in _passing(entries) if name in calls_of(one)]
    return [group for one in own for group in _groups(one)]


def _metadata(allowed: "dict[str, list[Arguments]]", filtered: list[abis.Abi]) -> str:
    told: Json = {}
    for name, groups in allowed.items():
        for abi in filtered:
            if name in syscalls.numbers(abi):
                comparisons = [[*map(_told, group)] for group in groups]
                told[f"{abi.audit:x}:{syscalls.numbers(abi)[name]}"] = comparisons
    return f"{METADATA} {json_codec.dumps(told).decode()}" if told else METADATA


def _told(one: Json) -> list[Any]:
    return [
        index_of(one),
        one["op"].removeprefix("SCMP_CMP_"),
        one["value"],
        one.get("valueTwo", 0),
    ]

"""Takes rules out of a profile: what a workload was not recorded to call, or denials of a call.

A profile that is reduced to recorded calls lets through nothing that it did not: what denies stays;
of what allows, the recorded calls stay, and those of BASE, about which the agent is not asked. The
first argument of the calls in _LIMITED is limited to the numbers that were seen, if all are known;
further conditions stay.

Denials of a call that is to be allowed are taken out, or narrowed to arguments that were not seen:
without the denial, a profile whose default lets calls through would allow the call with any
arguments. No rule compares one argument twice, since runtimes would accept either comparison: a
denial that already compares an argument cannot be narrowed by it, unless it compares for equality.
"""

from collections.abc import Iterator, Mapping, Sequence
from errno import ENOSYS, EPERM
from typing import Any

from runc_wrap import safe_text
from runc_wrap.evidence.store.call_counts import Tallies
from runc_wrap.failure import Failure
from runc_wrap.filters.evaluate.block_evaluation import compares
from runc_wrap.filters.evaluate.libseccomp_input import comparison
from runc_wrap.hotpath.operators import EQ, MASKED_EQ, NE, holds
from runc_wrap.hotpath.rule_algebra import alternatives, is_family
from runc_wrap.profiles import abis, syscall_names
from runc_wrap.profiles.arguments.argument_sets import complement
from runc_wrap.profiles.runtime_spec_names import ALLOW, ERRNO, LOG, TRACE
from runc_wrap.profiles.sibling_calls import MULTIPLEXED
from runc_wrap.profiles.unobserved_calls import BASE
from runc_wrap.report import call_outcomes, merged_call
from runc_wrap.report.merged_call import CallRow
from runc_wrap.report.recorded_calls import BY_RUNTIME

Json = dict[str, Any]
Arguments = list[Json]
Values = tuple[tuple[int, int], ...]  # (index, value)s of one kind of call
ANY: list[Values] = [()]
_OPEN = (ALLOW, LOG, TRACE)  # defaults that let calls through, or leave them to a tracer
_ALL_BITS = (1 << 64) - 1
_COMMENT = "denied as before, but for the arguments that it was seen with"
_LIMITED = ("socket", "socketpair", "personality", "keyctl", "bpf")  # by an int
_INT = 0xFFFFFFFF
_MOST_NAMED = 20
_STOPPED = {call_outcomes.DENIED, call_outcomes.DEGRADES}
_SPACES = 0x7E020000  # linux/sched.h: CLONE_NEW*


def reduced(block: Mapping[str, Any], rows: Sequence[CallRow], added: Sequence[Json]) -> Json:
    """Return a block that allows what these rows have, and the entries of it that were added.

    Raises Failure for a block that lets through what no rule names.
    """
    if is_open(block):
        why = "its profile lets through what no rule names, so there is no list to reduce"
        raise Failure(f"{why}; record it with one that denies by default, such as runtime-default")
    seen = {row.syscall for row in rows}
    values = {name: found for name in _LIMITED if (found := _numbers(name, rows)) is not None}
    rules: list[Json] = []
    for entry in block.get("syscalls") or ():
        if entry in added or entry["action"] != ALLOW:
            rules.append(entry)
            continue
        names = [one for one in entry["names"] if one in (BASE | seen) - values.keys()]
        rules += [{**entry, "names": names}] if names else []
        for name in values.keys() & {*entry["names"]}:
            rules += _limited({**entry, "names": [name]}, values[name])
    named = {name for rule in rules for name in rule["names"]}
    # C libraries then use clone. A multiplexer that no rule names lets through what others do, and
    # libseccomp takes their rules only after its own.
    # runtimes drop rules that equal the default
    other = ENOSYS if block.get("defaultErrnoRet", EPERM) != ENOSYS else EPERM
    answers = {"clone3": ENOSYS, **dict.fromkeys(MULTIPLEXED, other)}
    missing = [(name, number) for name, number in answers.items() if name not in named]
    first = [{"names": [name], "action": ERRNO, "errnoRet": number} for name, number in missing]
    rules = [*first, *rules]
    return {**block, "syscalls": [one for at, one in enumerate(rules) if not _is_within(at, rules)]}


def _is_within(at: int, rules: list[Json]) -> bool:
    """Tell whether another rule allows all that a limited one does: libseccomp refuses both."""
    own, args = rules[at], rules[at].get("args") or []
    wider = [
        (len(other["args"]), place)
        for place, other in enumerate(rules)
        if (other["names"], other["action"]) == (own["names"], own["action"])
        and other.get("args")
        and all(one in args for one in other["args"])
    ]
    return own["names"][0] in _LIMITED and bool(args) and min(wider) < (len(args), at)


def _numbers(name: str, rows: Sequence[CallRow]) -> list[int] | None:
    """Return the first arguments with which a call was seen, None if they are not all known."""
    own = [row for row in rows if row.syscall == name]
    if not all(row.has_args and row.args for row in own):
        return None
    first = {args[0] for row in own for args in row.args}
    return None if None in first else sorted({value & _INT for value in first if value is not None})


def _limited(entry: Json, values: Sequence[int]) -> Iterator[Json]:
    for group in alternatives(entry.get("args") or []):
        first = [one for one in group if not one.get("index", 0)]
        others = [one for one in group if one.get("index", 0)]
        for number in values:
            if all(holds(one["op"], number, one["value"], one.get("valueTwo", 0)) for one in first):
                yield {**entry, "args": [is_family(number), *others]}


def denied(profile: call_outcomes.Filter, rows: Sequence[CallRow]) -> list[str]:
    """Return the recorded calls that a profile denies: recorded under another one."""
    return sorted({row.syscall for row in rows if row.verdicts(profile) & _STOPPED})


def sentences(block: Mapping[str, Any], rows: Sequence[CallRow]) -> list[str]:
    """Return what a reduced block allows, and how it is known."""
    allowing = [rule for rule in block["syscalls"] if rule["action"] == ALLOW]
    names = {name for rule in allowing for name in rule["names"]}
    seen = {row.syscall for row in rows}
    runtimes = seen - {row.syscall for row in rows if row.how != BY_RUNTIME.how}
    own = f"; the runtime alone made {', '.join(sorted(runtimes))}" if runtimes else ""
    base, more = sorted((names - seen) & BASE), sorted(names - seen - BASE)
    recorded = safe_text.number(len(names & seen), "call")
    asked = f"{safe_text.number(len(base), 'call')} about which the agent is never asked"
    added = f"It adds {safe_text.number(len(more), 'call')} that it would deny: {', '.join(more)}."
    return [
        f"The profile keeps {recorded} that were recorded{own}.",
        f"It keeps {asked}: {', '.join(base)}.",
        *([added] if more else []),
    ]


def of_command(seen: Tallies) -> tuple[Json, list[str]]:
    """Return a profile of the calls that a command was seen to make, and sentences on it.

    Everything else gets EPERM, and clone3 ENOSYS, so that C libraries use clone.
    """
    rows: dict[tuple[int, int], CallRow] = {}
    for call, tally in seen.calls.items():
        merged_call.count_in(rows, call, tally, call_outcomes.LET_THROUGH)
    every = list(rows.values())
    named = [row for row in every if not row.syscall.startswith("#")]
    used = {abi.oci for row in named if (abi := abis.of_call(row.arch, row.number))}
    names = {row.syscall for row in named} | BASE
    rules: list[Json] = [{"names": sorted(names - {"clone"}), "action": ALLOW}]
    flags = _numbers("clone", named)
    is_first = not syscall_names.native().name.startswith("s390")  # there they are the second
    is_plain = is_first and flags is not None and not any(one & _SPACES for one in flags)
    same = {"index": 0, "value": _SPACES, "valueTwo": 0, "op": MASKED_EQ}
    rules.append({"names": ["clone"], "action": ALLOW, **({"args": [same]} if is_plain else {})})
    listed = sorted(used - {syscall_names.native().oci})
    block = {
        "defaultAction": ERRNO,
        "defaultErrnoRet": EPERM,
        "architectures": [syscall_names.native().oci, *listed],
        "syscalls": rules,
    }
    block = reduced(block, named, [])
    nameless = [f"{row.syscall} of {row.abi}" for row in every if row.syscall.startswith("#")]
    said = sentences(block, named)
    if seen.ended is None:
        said.append("Children were left when the recording ended: their calls get ENOSYS now.")
    if nameless:
        some = ", ".join(nameless[:_MOST_NAMED]) + ", ..." * (len(nameless) > _MOST_NAMED)
        said.append(f"Left out, as libseccomp has no name for them: {some}.")
    if seen.dropped:
        lost = safe_text.number(seen.dropped, "call")
        said.append(f"{lost} of too many kinds to count: calls are missing in the profile.")
    return block, said


def is_open(block: Mapping[str, Any]) -> bool:
    """Return whether a profile lets through calls that no rule denies."""
    return block["defaultAction"] in _OPEN


def has_denials(block: Mapping[str, Any], name: str) -> bool:
    """Return whether entries of a profile deny a call."""
    return any(_denies(entry, name) for entry in block.get("syscalls") or ())


def without_denials(block: Mapping[str, Any], name: str) -> list[Json]:
    """Return the entries without a call's denials."""
    return [one for entry in block.get("syscalls") or () for one in _others(entry, name)]


def narrowed(block: Mapping[str, Any], name: str, seen: Sequence[Values]) -> list[Json] | None:
    """Return the entries with a call's denials narrowed by what was seen; None if impossible.

    They are taken out where only what a rule allows is let through.
    """
    if not is_open(block):
        return without_denials(block, name)
    found: list[Json] = []
    for entry in block.get("syscalls") or ():
        found += _others(entry, name)
        if _denies(entry, name):
            pieces = _pieces(entry.get("args") or [], seen)
            if pieces is None:
                return None
            found += [{**entry, "names": [name], "args": p, "comment": _COMMENT} for p in pieces]
    return found


def _denies(entry: Json, name: str) -> bool:
    return entry["action"] != ALLOW and name in entry["names"]


def _others(entry: Json, name: str) -> Iterator[Json]:
    if not _denies(entry, name):
        yield entry
    elif names := [one for one in entry["names"] if one != name]:
        yield {**entry, "names": names}


def _pieces(args: Arguments, seen: Sequence[Values]) -> list[Arguments] | None:
    found: list[Arguments] = []
    for group in alternatives(args):
        rest = _rest(group, [values for values in seen if _holds(group, dict(values))])
        if rest is None:
            return None
        found += rest
    return found


def _holds(group: Arguments, values: dict[int, int]) -> bool:
    return all(compares(comparison(one), values[one["index"]], _ALL_BITS) for one in group)


def _rest(group: Arguments, seen: list[Values]) -> list[Arguments] | None:
    """Return comparisons for what a group matches and was not seen; None if impossible."""
    if not seen:
        return [group]
    # each has to match a single number, of a register or of an int
    if any(
        one["op"] != EQ and not (one["op"] == MASKED_EQ and one["value"] & _INT == _INT)
        for one in group
    ):
        return None
    used = [one["index"] for one in group]
    free = [[one for one in values if one[0] not in used] for values in seen]
    if len(seen) == 1:
        return [[*group, _compared(index, value, NE)] for index, value in free[0]]
    if len(free[0]) > 1:
        return None
    others = complement([[_compared(*one, EQ)] for values in free for one in values])
    return None if others is None else [[*group, *one] for one in others]


def _compared(index: int, value: int, op: str) -> Json:
    return {"index": index, "value": value, "op": op}

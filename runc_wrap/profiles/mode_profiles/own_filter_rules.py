"""Rules that report each seccomp filter which a container's own program installs.

TRACE and USER_NOTIF of such a filter outrank LOG (linux:kernel/seccomp.c seccomp_run_filters):
calls that it traces, or hands to a listener, never reach the audit log. So the modes audit and
observe report the calls that install one: seccomp(SECCOMP_SET_MODE_FILTER) and
prctl(PR_SET_SECCOMP), each identified by an `int`. That includes strict mode by either call, which
the kernel refuses to a process that has a filter: the program could enter it without us.

A rule that allows one of these calls becomes rules for all other numbers, in blocks of a mask: no
rule compares one argument twice, and libseccomp puts a rule without arguments before all others.
Comparisons of a whole register lose the numbers that an `int` cannot have: those are reported too.
"""

from collections.abc import Iterator
from typing import Any

from runc_wrap.hotpath.compiled_policy import CompiledRule
from runc_wrap.hotpath.operators import EQ, MASKED_EQ
from runc_wrap.hotpath.rule_algebra import alternatives, calls_of, renamed
from runc_wrap.profiles.arguments.argument_sets import Block, blocks_of, index_of, minus
from runc_wrap.profiles.runtime_spec_names import ALLOW

Json = dict[str, Any]

_ALL = (1 << 32) - 1  # bits of an int
# the first arguments, as mask and value, by which each installs a filter or enters strict mode: of
# seccomp 0 (strict) and 1. The third of both is the filter's address; prctl's second is the mode
FIRST: dict[str, Block] = {"seccomp": (_ALL ^ 1, 0), "prctl": (_ALL, 22)}
_ANY: Block = (0, 0)


def _masked(mask: int, datum: int) -> Json:
    return {"index": 0, "value": mask, "valueTwo": datum, "op": MASKED_EQ}


_NOWHERE = {"index": 2, "value": 0, "op": EQ}
_PROBES = {
    "seccomp": [
        [_masked(_ALL, 1), _NOWHERE],
        [_masked(_ALL, 0), {"index": 1, "value": 1, "op": EQ}],  # strict mode takes no flags
    ],
    "prctl": [[_masked(*FIRST["prctl"]), {"index": 1, "value": 2, "op": EQ}, _NOWHERE]],
}


def is_held(name: str, first: int) -> bool:
    """Return whether a call's first argument is one of those."""
    mask, datum = FIRST[name]
    return first & mask == datum


def rules(entries: list[CompiledRule], default: str, action: str) -> list[CompiledRule]:
    """Return entries of which none permits an installation; it gets `action`, or the default.

    `default` is the default action of the profile that the result is for.
    """
    others = [one for entry in entries for one in _split(entry)]
    return others if action == default else [*others, *asked(entries, default, action)]


def asked(entries: list[CompiledRule], default: str, action: str) -> list[CompiledRule]:
    """Return, for each call that is permitted at least in part, a rule on its installations."""
    return [
        {"rule": {"names": [name], "action": action, "args": [_masked(*block)]}}
        for name, block in FIRST.items()
        if _is_open(entries, name, default)
    ]


def probes(entries: list[CompiledRule]) -> list[CompiledRule]:
    """Return rules that permit calls by which programs, and libseccomp, probe for support.

    A null filter fails with EFAULT, strict mode with a flag with EINVAL. `entries` are those from
    before `rules` was applied.
    """
    return [
        {**entry, "rule": {**entry["rule"], "names": [name], "args": args}}
        for entry in entries
        if entry["rule"]["action"] == ALLOW and not entry["rule"].get("args")
        for name in calls_of(entry)
        for args in _PROBES.get(name, ())
    ]


def _split(entry: CompiledRule) -> Iterator[CompiledRule]:
    names = [name for name in calls_of(entry) if name in FIRST]
    if not names or entry["rule"]["action"] != ALLOW:
        yield entry
        return
    others = [name for name in calls_of(entry) if name not in FIRST]
    if others:
        yield renamed(entry, others)
    for name in names:
        yield from _apart(entry, name)


def _apart(entry: CompiledRule, name: str) -> Iterator[CompiledRule]:
    """Yield the parts of an entry for one call, without those that install a filter."""
    for group in alternatives(entry["rule"].get("args") or []):
        others = [one for one in group if index_of(one)]
        first = [one for one in group if not index_of(one)]
        held = blocks_of(first[0], _ALL) if first else [_ANY]
        for piece in minus([{0: block} for block in held], [{0: FIRST[name]}]):
            args = [_masked(*piece[0]), *others]
            yield {**entry, "rule": {**entry["rule"], "names": [name], "args": args}}


def _is_open(entries: list[CompiledRule], name: str, default: str) -> bool:
    """Tell whether any form of a call is permitted; False where one rule decides all forms."""
    own = [entry["rule"] for entry in entries if name in calls_of(entry)]
    if any(one["action"] != ALLOW and not one.get("args") for one in own):
        return False
    return default == ALLOW or any(one["action"] == ALLOW for one in own)

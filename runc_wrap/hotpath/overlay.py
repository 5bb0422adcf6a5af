"""The overlay: denies system calls and socket families on top of any profile.

A denial works only if nothing else in the profile allows the call: libseccomp uses the first of two
rules without arguments, and rejects the profile if one of them compares arguments. So a denied name
is removed from every rule that lets it through or compares, and one denial is added. Naming it
there also keeps runc's boundary for calls unknown to the profile (runc answers ENOSYS above the
largest number named).

On x86 libseccomp turns every rule on socket into one on socketcall as well, without its arguments,
unless a rule on socketcall came first; and runtimes drop a rule that equals the default. So the
rule on socketcall comes first, and a denial of it differs from the default. A profile's own counts
if runtimes keep it, in every container: where it allows by default they drop its ALLOW, and
libseccomp would make denials of socketcall of those on sockets.
"""

from runc_wrap.hotpath.errors import Refusal, quoted
from runc_wrap.hotpath.rule_algebra import (
    DENYING,
    EPERM,
    SOCKETS,
    by_family,
    calls_of,
    is_family,
    renamed,
    result,
    ruling,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from runc_wrap.hotpath.compiled_policy import CompiledRule, Overlay

    Json = dict[str, Any]

_MULTIPLEXED = ("socketcall", "ipc")
_ENOSYS = 38
_CLONE3 = "clone3"  # libc falls back to clone on ENOSYS only
_RULE = ("names", "action", "errnoRet", "args")
_ARGUMENT = ("index", "value", "valueTwo", "op")


def with_overlay(block: "Json", overlay: "Overlay") -> "Json":
    """Return an OCI linux.seccomp object with the overlay's denials. Raises Refusal.

    `overlay` is the compiled policy's: "deny" and "deny_sockets".
    """
    entries: list[CompiledRule] = [{"rule": rule} for rule in _checked(block)]
    return {**block, "syscalls": [entry["rule"] for entry in overlaid(entries, block, overlay)]}


def overlaid(
    entries: "list[CompiledRule]", block: "Json", overlay: "Overlay"
) -> "list[CompiledRule]":
    """Return a profile's entries with the overlay among them; `block` has the default action."""
    denied, families = overlay["deny"], overlay["deny_sockets"]
    sockets = [name for name in SOCKETS if families and name not in denied]
    left = [renamed(entry, _kept(entry["rule"], [*denied])) for entry in entries]
    rest = [renamed(entry, [n for n in calls_of(entry) if n not in sockets]) for entry in left]
    on_sockets = [
        item for name in sockets for item in by_family(ruling(left, name, block), families)
    ]
    denials: list[CompiledRule] = [{"rule": rule} for rule in _denials(denied, sockets, families)]
    return [
        *_first(rest, block, overlay),
        *(entry for entry in rest if calls_of(entry)),
        *on_sockets,
        *denials,
    ]


def _kept(rule: "Json", denied: "list[str]") -> "list[str]":
    """Return the names that stay in a rule: all of a plain denial, else those not denied."""
    names = rule.get("names") or []
    if rule["action"] in DENYING and not rule.get("args"):
        return [*names]
    return [name for name in names if name not in denied]


def _denials(denied: "list[str]", sockets: "list[str]", families: "list[int]") -> "list[Json]":
    plain = [name for name in denied if name not in (_CLONE3, *_MULTIPLEXED)]
    rules = [_denial(plain, EPERM)] if plain else []
    if _CLONE3 in denied:
        rules.append(_denial([_CLONE3], _ENOSYS))
    if sockets:
        rules += [{**_denial(sockets, EPERM), "args": [is_family(family)]} for family in families]
    return rules


def _denial(names: "list[str]", number: int) -> "Json":
    return {"names": names, "action": "SCMP_ACT_ERRNO", "errnoRet": number}


def _first(
    entries: "list[CompiledRule]", block: "Json", overlay: "Overlay"
) -> "Iterator[CompiledRule]":
    """Yield the entries that must precede all rules on sockets and the like."""
    denied = [name for name in _MULTIPLEXED if name in overlay["deny"]]
    if overlay["deny_sockets"] and "socketcall" not in denied:
        own = ruling(entries, "socketcall", block)  # without those that equal the default
        plain = [entry for entry in own if not entry["rule"].get("args")]
        yield from plain
        always = any(not (entry.get("all") or entry.get("none")) for entry in plain)
        denied += [] if always else ["socketcall"]
    if denied:
        by_default = result(block.get("defaultAction"), block.get("defaultErrnoRet"))
        number = _ENOSYS if by_default == ("SCMP_ACT_ERRNO", EPERM) else EPERM
        yield {"rule": _denial(denied, number)}


def _checked(block: "Json") -> "list[Json]":
    """Return a foreign profile's rules. Raises Refusal if runtimes might read them differently."""
    rules = block.get("syscalls") or []
    if not isinstance(rules, list):
        raise Refusal(_not("a list", "syscalls"))
    if not isinstance(block.get("defaultErrnoRet") or 0, int):
        raise Refusal(_not("a number", "defaultErrnoRet"))
    for rule in rules:
        _check_names(rule, _RULE, "a rule")
        names = rule.get("names") or []
        if not (isinstance(names, list) and all(isinstance(name, str) for name in names)):
            raise Refusal(_not("a list of strings", "names"))
        is_rule = isinstance(rule.get("action"), str) and isinstance(rule.get("args") or [], list)
        if not (is_rule and isinstance(rule.get("errnoRet") or 0, int)):
            raise Refusal(_not("a rule", quoted(rule)))
        for argument in rule.get("args") or []:
            _check_names(argument, _ARGUMENT, "a comparison")
            if not all(isinstance(argument.get(name, 0), int) for name in _ARGUMENT[:3]):
                raise Refusal(_not("a comparison", quoted(argument)))
    return rules


def _check_names(found: "Any", known: "tuple[str, ...]", what: str) -> None:
    if not isinstance(found, dict):
        raise Refusal(_not(what, quoted(found)))
    folded = [name.casefold() for name in known]
    for name in found:
        if name not in known and name.casefold() in folded:
            raise Refusal(
                f"{what} of the container's own seccomp profile has {quoted(name)}, which runtimes "
                "read differently. Write the name as in the OCI runtime-spec."
            )


def _not(wanted: str, found: str) -> str:
    return (
        f"the policy's overlay cannot be applied to the container's own seccomp profile: {found} "
        f"in it is not {wanted}."
    )

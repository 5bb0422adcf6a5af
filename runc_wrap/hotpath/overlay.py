"""The overlay: denying system calls and socket families on top of any profile. Pure.

A denial only denies if nothing else in the profile allows the call: libseccomp takes the first of
two rules without arguments, and refuses the profile where one of them compares arguments. So a
denied name leaves every rule that lets it through or compares, and one denial is added; its being
named also keeps runc's boundary for calls unknown to the profile where it was (runc answers
ENOSYS above the largest number named).

The kernel takes the family of socket(2) as an int, a filter sees 64 bits: under "all but 40",
40 + 2**32 passes and is 40. So rules on socket are written anew, one for each family, comparing the
lower 32 bits. No rule compares one argument twice: runtimes would take either.
"""

from runc_wrap.hotpath.failure import Refusal, quoted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    Json = dict[str, Any]

SOCKETS = ("socket", "socketpair")
FAMILIES = 46  # AF_MAX of Linux 6.18; from there on the kernel knows no family
_DENYING = (
    "SCMP_ACT_ERRNO",
    "SCMP_ACT_KILL",
    "SCMP_ACT_KILL_PROCESS",
    "SCMP_ACT_KILL_THREAD",
    "SCMP_ACT_TRAP",
)
_EPERM, _ENOSYS = 1, 38
_CLONE3 = "clone3"  # libc falls back to clone on ENOSYS only
_INT = 0xFFFFFFFF
_RULE = ("names", "action", "errnoRet", "args")
_ARGUMENT = ("index", "value", "valueTwo", "op")


def with_overlay(block: "Json", overlay: "Json") -> "Json":
    """Return an OCI linux.seccomp object that denies what the overlay does. Raises Refusal.

    `overlay` is the compiled policy's: "deny" and "deny_sockets".
    """
    rules = _checked(block)
    kept = [changed for rule in rules for changed in without(rule, overlay)]
    return {**block, "syscalls": [*kept, *denials(overlay)]}


def without(rule: "Json", overlay: "Json") -> "list[Json]":
    """Return what is left of one rule, its rules on sockets family by family."""
    denied, families = overlay["deny"], overlay["deny_sockets"]
    loose = rule["action"] not in _DENYING or rule.get("args")
    names = [name for name in rule["names"] if not (loose and name in denied)]
    sockets = [name for name in names if name in SOCKETS and name not in denied and families]
    if len(names) == len(rule["names"]) and not sockets:
        return [rule]
    rest = [name for name in names if name not in sockets]
    left = [{**rule, "names": rest}] if rest else []
    return left + (_by_family({**rule, "names": sockets}, families) if sockets else [])


def denials(overlay: "Json") -> "list[Json]":
    """Return the rules that deny, to stand after all others."""
    denied = overlay["deny"]
    plain = [name for name in denied if name != _CLONE3]
    rules = [_denial(plain, _EPERM)] if plain else []
    if _CLONE3 in denied:
        rules.append(_denial([_CLONE3], _ENOSYS))
    sockets = [name for name in SOCKETS if name not in denied]
    if sockets:
        for family in overlay["deny_sockets"]:
            rules.append({**_denial(sockets, _EPERM), "args": [_is(family)]})  # noqa: PERF401
    return rules


def _denial(names: "list[str]", number: int) -> "Json":
    return {"names": names, "action": "SCMP_ACT_ERRNO", "errnoRet": number}


def _is(family: int) -> "Json":
    return {"index": 0, "value": _INT, "valueTwo": family, "op": "SCMP_CMP_MASKED_EQ"}


def _by_family(rule: "Json", denied: "list[int]") -> "list[Json]":
    return [
        {**rule, "args": [_is(family), *others]}
        for first, others in _alternatives(rule.get("args") or [])
        for family in range(FAMILIES)
        if family not in denied and all(_accepts(argument, family) for argument in first)
    ]


def _alternatives(arguments: "list[Json]") -> "Iterator[tuple[list[Json], list[Json]]]":
    """Yield (comparisons of argument 0, the others) of each rule that a runtime makes of one."""
    indexes = [argument.get("index", 0) for argument in arguments]
    together = len(set(indexes)) == len(indexes)
    for group in [arguments] if together else [[argument] for argument in arguments]:
        first = [argument for argument in group if argument.get("index", 0) == 0]
        yield first, [argument for argument in group if argument not in first]


def _accepts(argument: "Json", family: int) -> bool:
    value: int = argument.get("value", 0)
    second: int = argument.get("valueTwo", 0)
    accepted = {
        "SCMP_CMP_NE": family != value,
        "SCMP_CMP_LT": family < value,
        "SCMP_CMP_LE": family <= value,
        "SCMP_CMP_EQ": family == value,
        "SCMP_CMP_GE": family >= value,
        "SCMP_CMP_GT": family > value,
        "SCMP_CMP_MASKED_EQ": family & value == second,
    }.get(argument.get("op", ""))
    if accepted is None:
        raise Refusal(f"a rule on socket has the comparison {quoted(argument.get('op'))}.")
    return accepted


def _checked(block: "Json") -> "list[Json]":
    """Return a foreign profile's rules. Raises Refusal for what runtimes might read otherwise."""
    rules = block.get("syscalls") or []
    if not isinstance(rules, list):
        raise Refusal(_not("a list", "syscalls"))
    for rule in rules:
        _check_names(rule, _RULE, "a rule")
        names = rule.get("names")
        if not (isinstance(names, list) and all(isinstance(name, str) for name in names)):
            raise Refusal(_not("a list of strings", "names"))
        if not (isinstance(rule.get("action"), str) and isinstance(rule.get("args") or [], list)):
            raise Refusal(_not("a rule", quoted(rule)))
        for argument in rule.get("args") or []:
            _check_argument(argument)
    return rules


def _check_argument(argument: "Any") -> None:
    _check_names(argument, _ARGUMENT, "a comparison")
    if not all(isinstance(argument.get(name, 0), int) for name in _ARGUMENT[:3]):
        raise Refusal(_not("a comparison", quoted(argument)))


def _check_names(found: "Any", known: "tuple[str, ...]", what: str) -> None:
    if not isinstance(found, dict):
        raise Refusal(_not(what, quoted(found)))
    folded = [name.casefold() for name in known]
    for name in found:
        if name not in known and name.casefold() in folded:
            raise Refusal(
                f"{what} of the container's own seccomp profile has {quoted(name)}, which runtimes "
                "read differently. Write the name as the OCI runtime-spec has it."
            )


def _not(wanted: str, found: str) -> str:
    return (
        f"the policy's overlay cannot be put on the container's own seccomp profile: {found} in it "
        f"is not {wanted}."
    )

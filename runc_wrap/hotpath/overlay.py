"""The overlay: denying system calls and socket families on top of any profile. Pure.

A denial only denies if nothing else in the profile allows the call: libseccomp takes the first of
two rules without arguments, and refuses the profile where one of them compares arguments. So a
denied name leaves every rule that lets it through or compares, and one denial is added; its being
named also keeps runc's boundary for calls unknown to the profile where it was (runc answers
ENOSYS above the largest number named).

The kernel takes the family of socket(2) as an int, a filter sees 64 bits: under "all but 40",
40 + 2**32 passes and is 40. So rules on socket are written anew, one for each family, comparing the
lower 32 bits. No rule compares one argument twice: runtimes would take either. Where two rules of a
family contradict each other a denial wins, else the first.

On x86 libseccomp makes of every rule on socket one on socketcall too, without its arguments, unless
a rule on socketcall came first; and runtimes drop a rule that does what the default does. So the
rule on socketcall is put first, and a denial of it differs from the default.

Rules are handled as entries of a compiled profile (see hotpath.profile): {"rule", "all", "none"}.
"""

from runc_wrap.hotpath.failure import Refusal, quoted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    Json = dict[str, Any]

SOCKETS = ("socket", "socketpair")
FAMILIES = 46  # AF_MAX of Linux 6.18; from there on the kernel knows no family
_MULTIPLEXED = ("socketcall", "ipc")
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
_OPPOSITE = {
    "SCMP_CMP_NE": "SCMP_CMP_EQ",
    "SCMP_CMP_EQ": "SCMP_CMP_NE",
    "SCMP_CMP_LT": "SCMP_CMP_GE",
    "SCMP_CMP_GE": "SCMP_CMP_LT",
    "SCMP_CMP_GT": "SCMP_CMP_LE",
    "SCMP_CMP_LE": "SCMP_CMP_GT",
}


def with_overlay(block: "Json", overlay: "Json") -> "Json":
    """Return an OCI linux.seccomp object that denies what the overlay does. Raises Refusal.

    `overlay` is the compiled policy's: "deny" and "deny_sockets".
    """
    entries = [{"rule": rule} for rule in _checked(block)]
    return {**block, "syscalls": [entry["rule"] for entry in overlaid(entries, block, overlay)]}


def overlaid(entries: "list[Json]", block: "Json", overlay: "Json") -> "list[Json]":
    """Return a profile's entries with the overlay among them; `block` has the default action."""
    denied, families = overlay["deny"], overlay["deny_sockets"]
    sockets = [name for name in SOCKETS if families and name not in denied]
    left = [_renamed(entry, _kept(entry["rule"], [*denied])) for entry in entries]
    rest = [_renamed(entry, [n for n in _names(entry) if n not in sockets]) for entry in left]
    by_family = [
        item
        for name in sockets
        for item in _by_family([_renamed(e, [name]) for e in left if name in _names(e)], families)
    ]
    return [
        *_first(rest, block, overlay),
        *(entry for entry in rest if _names(entry)),
        *by_family,
        *({"rule": rule} for rule in _denials(denied, sockets, families)),
    ]


def _names(entry: "Json") -> "list[str]":
    names: list[str] = entry["rule"].get("names") or []
    return names


def _renamed(entry: "Json", names: "list[str]") -> "Json":
    if names == _names(entry):
        return entry
    return {**entry, "rule": {**entry["rule"], "names": names}}


def _kept(rule: "Json", denied: "list[str]") -> "list[str]":
    """Return the names that stay in a rule: all of a plain denial, else those not denied."""
    names = rule.get("names") or []
    if rule["action"] in _DENYING and not rule.get("args"):
        return [*names]
    return [name for name in names if name not in denied]


def _denials(denied: "list[str]", sockets: "list[str]", families: "list[int]") -> "list[Json]":
    plain = [name for name in denied if name not in (_CLONE3, *_MULTIPLEXED)]
    rules = [_denial(plain, _EPERM)] if plain else []
    if _CLONE3 in denied:
        rules.append(_denial([_CLONE3], _ENOSYS))
    if sockets:
        rules += [{**_denial(sockets, _EPERM), "args": [_is(family)]} for family in families]
    return rules


def _denial(names: "list[str]", number: int) -> "Json":
    return {"names": names, "action": "SCMP_ACT_ERRNO", "errnoRet": number}


def _first(entries: "list[Json]", block: "Json", overlay: "Json") -> "Iterator[Json]":
    """Yield what must stand before all rules on sockets and the like."""
    denied = [name for name in _MULTIPLEXED if name in overlay["deny"]]
    if overlay["deny_sockets"] and "socketcall" not in denied:
        of_all = [entry for entry in entries if "socketcall" in _names(entry)]
        plain = [entry for entry in of_all if not entry["rule"].get("args")]
        yield from (_renamed(entry, ["socketcall"]) for entry in plain)
        denied += [] if plain else ["socketcall"]
    if denied:
        by_default = block.get("defaultAction"), _number(block.get("defaultErrnoRet"))
        number = _ENOSYS if by_default == ("SCMP_ACT_ERRNO", _EPERM) else _EPERM
        yield {"rule": _denial(denied, number)}


def _is(family: int) -> "Json":
    return {"index": 0, "value": _INT, "valueTwo": family, "op": "SCMP_CMP_MASKED_EQ"}


def _by_family(entries: "list[Json]", denied: "list[int]") -> "list[Json]":
    """Return the entries of one call on sockets, family by family and free of contradictions."""
    result = []
    for family in range(FAMILIES):
        if family not in denied:
            found = [item for entry in entries for item in _of_family(entry, family)]
            result += [_compared(item, family) for item in _settled(found)]
    return result


def _settled(found: "list[Json]") -> "list[Json]":
    """Return what is decided by items that may contradict each other: denials win."""
    denials = [item for item in found if item["rule"]["action"] in _DENYING]
    settled: list[Json] = []
    for item in [*denials, *(item for item in found if item not in denials)]:
        settled += _less(item, settled)
    return settled


def _compared(item: "Json", family: int) -> "Json":
    return {**item, "rule": {**item["rule"], "args": [_is(family), *item["rule"]["args"]]}}


def _of_family(entry: "Json", family: int) -> "Iterator[Json]":
    """Yield an entry as it is for a family, its comparisons of other arguments left."""
    for group in _alternatives(entry["rule"].get("args") or []):
        first = [argument for argument in group if argument.get("index", 0) == 0]
        if all(_accepts(argument, family) for argument in first):
            others = [argument for argument in group if argument not in first]
            yield {**entry, "rule": {**entry["rule"], "args": others}}


def _alternatives(arguments: "list[Json]") -> "list[list[Json]]":
    """Return the comparisons of each rule that a runtime makes of one."""
    indexes = [argument.get("index", 0) for argument in arguments]
    if len(set(indexes)) == len(indexes):
        return [arguments]
    return [[argument] for argument in arguments]


def _less(item: "Json", settled: "list[Json]") -> "list[Json]":
    """Return an item without what those settled before it decide otherwise."""
    left = [item]
    for other in settled:
        if _outcome(other) != _outcome(item):
            left = [piece for one in left for piece in _without(one, other)]
    return left


def _outcome(item: "Json") -> "tuple[str, int]":
    return item["rule"]["action"], _number(item["rule"].get("errnoRet"))


def _number(errno_ret: "int | None") -> int:
    return _EPERM if errno_ret is None else errno_ret


def _without(item: "Json", other: "Json") -> "Iterator[Json]":
    """Yield the pieces of an item where another does not hold; what cannot be said is left out."""
    have, given, refused = item["rule"]["args"], item.get("all") or [], item.get("none") or []
    lacking, barring = other.get("all") or [], other.get("none") or []
    comparisons = [one for one in other["rule"]["args"] if one not in have]
    opposites = [{**one, "op": _OPPOSITE.get(one.get("op", ""))} for one in comparisons]
    if any(one in have for one in opposites) or {*lacking} & {*refused} or {*barring} & {*given}:
        yield item  # the two never hold together
        return
    yield from ({**item, "none": [*refused, cap]} for cap in lacking if cap not in given)
    yield from ({**item, "all": [*given, cap]} for cap in barring if cap not in refused)
    used = [argument.get("index", 0) for argument in have]
    for one in opposites:
        if one["op"] and one.get("index", 0) not in used:
            yield {**item, "rule": {**item["rule"], "args": [*have, one]}}


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

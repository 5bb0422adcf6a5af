"""Makes contradicting rules disjoint, and splits rules on sockets by family.

Two rules of a profile may apply to one call with different actions. libseccomp has its own order
for that, and refuses what it considers a conflict; rules have to be made disjoint before changing
them.

The kernel takes the family of socket(2) as an int, a filter compares 64 bits: under "all but 40",
40 + 2**32 passes and is 40. Family by family, the lower 32 bits are compared. No rule compares one
argument twice: runtimes would accept either comparison.

Rules are entries of a compiled profile (see hotpath.resolve): {"rule", "all", "none"}.
"""

from runc_wrap.hotpath.errors import Refusal, quoted
from runc_wrap.hotpath.operators import EQ, MASKED_EQ, OPPOSITE, holds

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    from runc_wrap.hotpath.compiled_policy import CompiledRule

    Json = dict[str, Any]

SOCKETS = ("socket", "socketpair")
FAMILIES = 46  # AF_MAX of Linux 6.18; the kernel has no families from there on
EPERM = 1
DENYING = (
    "SCMP_ACT_ERRNO",
    "SCMP_ACT_KILL",
    "SCMP_ACT_KILL_PROCESS",
    "SCMP_ACT_KILL_THREAD",
    "SCMP_ACT_TRAP",
)
_WITH_ERRNO = ("SCMP_ACT_ERRNO", "SCMP_ACT_TRACE")
_OTHER_NAMES: "dict[str | None, str]" = {"SCMP_ACT_KILL": "SCMP_ACT_KILL_THREAD"}
_INT = 0xFFFFFFFF


def disjoint(entries: "list[CompiledRule]", block: "Json") -> "list[CompiledRule]":
    """Return equivalent entries, no two of which contradict each other.

    For audit, which turns denials into the default: a runtime then drops those rules, and other
    rules would allow, without a record, the calls that they had denied. There all denials are
    equal, whatever their error: none is subtracted from another.
    """
    entries = [meaningful(entry) for entry in entries]
    denied = {name for entry in entries if _denies(entry) for name in calls_of(entry)}
    passed = {name for entry in entries if not _denies(entry) for name in calls_of(entry)}
    disputed = sorted(denied & passed)
    rest = [renamed(entry, [n for n in calls_of(entry) if n not in disputed]) for entry in entries]
    settled = []
    for name in disputed:
        own = ruling(entries, name, block)
        compared = name in SOCKETS and any(map(_compares, own))
        settled += by_family(own, [], _kind) if compared else _settled(_each(own), _kind)
    return [*(entry for entry in rest if calls_of(entry)), *settled]


def meaningful(entry: "CompiledRule") -> "CompiledRule":
    """Return an entry without comparisons that always hold: masks without a bit."""
    args = entry["rule"].get("args") or []
    kept = [one for one in args if one.get("op") != MASKED_EQ or one.get("value")]
    return entry if kept == args else {**entry, "rule": {**entry["rule"], "args": kept}}


def _compares(entry: "CompiledRule") -> bool:
    """Return whether a rule compares arguments."""
    return bool(entry["rule"].get("args"))


def _each(entries: "list[CompiledRule]") -> "list[CompiledRule]":
    return [
        {**entry, "rule": {**entry["rule"], "args": group}}
        for entry in entries
        for group in alternatives(entry["rule"].get("args") or [])
    ]


def calls_of(entry: "CompiledRule") -> "list[str]":
    """Return the calls of an entry's rule."""
    names: list[str] = entry["rule"].get("names") or []
    return names


def renamed(entry: "CompiledRule", names: "list[str]") -> "CompiledRule":
    """Return an entry for other calls."""
    if names == calls_of(entry):
        return entry
    return {**entry, "rule": {**entry["rule"], "names": names}}


def is_family(family: int) -> "Json":
    """Return the comparison that matches a family as the kernel reads it."""
    return {"index": 0, "value": _INT, "valueTwo": family, "op": MASKED_EQ}


def by_family(
    entries: "list[CompiledRule]",
    denied: "list[int]",
    action: "Callable[[CompiledRule], object] | None" = None,
) -> "list[CompiledRule]":
    """Return the entries of one call on sockets, family by family and free of contradictions."""
    result: list[CompiledRule] = []
    for family in range(FAMILIES):
        if family not in denied:
            found = [item for entry in entries for item in _of_family(entry, family)]
            for item in _settled(found, action or _outcome):
                args = [is_family(family), *item["rule"]["args"]]
                result.append({**item, "rule": {**item["rule"], "args": args}})
    return result


def _settled(
    found: "list[CompiledRule]", action: "Callable[[CompiledRule], object]"
) -> "list[CompiledRule]":
    """Return items without contradictions, of which the first wins.

    Two items do not contradict each other if `action` returns the same for both.
    """
    settled: list[CompiledRule] = []
    for item in found:
        left = [item]
        for other in settled:
            if action(other) != action(item):
                left = [piece for one in left for piece in _without(one, other)]
        settled += left
    return settled


def _kind(entry: "CompiledRule") -> str:
    """Return an entry's action, with all denials equal."""
    return "" if _denies(entry) else str(entry["rule"]["action"])


def ruling(entries: "list[CompiledRule]", name: str, block: "Json") -> "list[CompiledRule]":
    """Return the entries for a call, reduced to it and in the order in which they win.

    Runtimes drop entries that equal the default. The first that compares no arguments beats all
    that do (libseccomp); of those a denial wins, as in libseccomp for equality; else the first.
    """
    default = result(block.get("defaultAction"), block.get("defaultErrnoRet"))
    own = [renamed(entry, [name]) for entry in entries if name in calls_of(entry)]
    kept = [entry for entry in own if _outcome(entry) != default]
    return sorted(
        kept, key=lambda entry: (_compares(entry), not _denies(entry) and _compares(entry))
    )


def _denies(entry: "CompiledRule") -> bool:
    return entry["rule"]["action"] in DENYING


def _of_family(entry: "CompiledRule", family: int) -> "Iterator[CompiledRule]":
    """Yield an entry reduced to a family: only comparisons of other arguments are left."""
    for group in alternatives(entry["rule"].get("args") or []):
        first = [argument for argument in group if argument.get("index", 0) == 0]
        if all(_accepts(argument, family) for argument in first):
            others = [argument for argument in group if argument not in first]
            yield {**entry, "rule": {**entry["rule"], "args": others}}


def alternatives(arguments: "list[Json]") -> "list[list[Json]]":
    """Return the comparisons of each rule that a runtime makes of one entry."""
    indexes = [argument.get("index", 0) for argument in arguments]
    if len(set(indexes)) == len(indexes):
        return [arguments]
    return [[argument] for argument in arguments]


def _outcome(item: "CompiledRule") -> "tuple[str | None, int]":
    return result(item["rule"]["action"], item["rule"].get("errnoRet"))


def result(action: "str | None", errno_ret: "int | None") -> "tuple[str | None, int]":
    """Return an action as all spellings of it have it, and its error number (profiles.actions)."""
    if action not in _WITH_ERRNO:
        return _OTHER_NAMES.get(action, action), 0
    return action, EPERM if errno_ret is None else errno_ret & 0xFFFF


def _without(item: "CompiledRule", other: "CompiledRule") -> "Iterator[CompiledRule]":
    """Yield the pieces of an item where another does not hold; inexpressible ones are left out."""
    have, given, refused = item["rule"]["args"], item.get("all") or [], item.get("none") or []
    lacking, barring = other.get("all") or [], other.get("none") or []
    args = other["rule"]["args"]
    if (
        {*lacking} & {*refused}
        or {*barring} & {*given}
        or any(_differ(one, another) for one in have for another in args)
    ):
        yield item
        return
    for cap in lacking:
        if cap not in given:
            yield {**item, "none": [*refused, cap]}
    for cap in barring:
        if cap not in refused:
            yield {**item, "all": [*given, cap]}
    used = [argument.get("index", 0) for argument in have]
    for one in args:
        if one.get("index", 0) not in used and one.get("op") in OPPOSITE:
            yield {**item, "rule": {**item["rule"], "args": [*have, _opposite(one)]}}


def _differ(one: "Json", other: "Json") -> bool:
    """Return whether two comparisons are known to exclude each other."""
    if one.get("index", 0) != other.get("index", 0):
        return False
    if one == _opposite(other):
        return True
    if one.get("op") == EQ:
        return not _accepts(other, one.get("value", 0))
    if one.get("op") != MASKED_EQ or other.get("op") != MASKED_EQ:
        return False
    mask: int = one.get("value", 0) & other.get("value", 0)
    unlike: int = one.get("valueTwo", 0) ^ other.get("valueTwo", 0)
    return unlike & mask != 0


def _opposite(one: "Json") -> "Json":
    return {**one, "op": OPPOSITE.get(one.get("op", ""))}


def _accepts(argument: "Json", family: int) -> bool:
    """Return whether a comparison holds for a value, such as a family."""
    accepted = holds(
        argument.get("op", ""), family, argument.get("value", 0), argument.get("valueTwo", 0)
    )
    if accepted is None:
        raise Refusal(f"a rule on socket has the comparison {quoted(argument.get('op'))}.")
    return accepted

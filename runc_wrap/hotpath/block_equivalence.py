"""Recognizes the engine's default profile: whether two linux.seccomp blocks are the same by call.

Engines order and group their rules differently in each release; that changes no call. So each call
of a block is compared by its outcomes: action, errno and the compared arguments. Anything that the
engines do not write (a listener, an unknown or repeated key, another type) makes a block different.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Container
    from typing import Any

    Json = dict[str, Any]
    Outcome = tuple[object, ...]  # action, errno, comparisons

AS_APPLIED = "as-applied"  # for policy_file: the engine's profile unchanged, where a mode stands
_BLOCK = frozenset({"defaultAction", "defaultErrnoRet", "architectures", "flags", "syscalls"})
_RULE = frozenset({"names", "action", "errnoRet", "args"})
_ARGUMENT = frozenset({"index", "value", "valueTwo", "op"})
_ERRNO, _EPERM = "SCMP_ACT_ERRNO", 1  # and what runtimes use for an error without a number
_MOST = 64  # outcomes of one call; engines have at most five


class _Unlike(Exception):
    """No engine writes this in its default profile."""


def is_same(block: "Json", own: "Json") -> bool:
    """Return whether a foreign block has the same result as `own`, an engine's, for each call."""
    try:
        head, calls = by_call(own)
        return by_call(block, calls) == (head, calls)
    except (_Unlike, KeyError, TypeError, RecursionError):  # a key lacks, or lists stand for words
        return False


def by_call(
    block: "Json", known: "Container[str] | None" = None
) -> "tuple[object, dict[str, tuple[Outcome, ...]]]":
    """Return what a block says apart from calls, and the outcomes of each call.

    Only `known` calls may be in it: a foreign block may name a million. The order of outcomes
    counts only if they differ in action or errno: then the first may win. Raises _Unlike, KeyError,
    TypeError or RecursionError for what no engine writes.
    """
    _check(block, _BLOCK)
    flags = block.get("flags")
    head = (
        _result(block.get("defaultAction"), block.get("defaultErrnoRet")),
        frozenset(block.get("architectures") or ()),
        None if flags is None else frozenset(flags),
    )
    calls: dict[str, tuple[Outcome, ...]] = {}
    several = set()
    for rule in block.get("syscalls") or ():
        _check(rule, _RULE)
        compared = tuple(sorted(map(_comparison, rule.get("args") or ())))
        one = ((*_result(rule.get("action"), rule.get("errnoRet")), compared),)
        if type(rule["names"]) is not list:
            raise _Unlike
        for name in rule["names"]:
            if name in calls:
                several.add(name)
                calls[name] = _more(calls[name], one)
            elif known is not None and name not in known:
                raise _Unlike
            else:
                calls[name] = one
    for name in several:
        calls[name] = _settled(calls[name])
    return head, calls


def _more(outcomes: "tuple[Outcome, ...]", one: "tuple[Outcome, ...]") -> "tuple[Outcome, ...]":
    if len(outcomes) >= _MOST:
        raise _Unlike
    return outcomes + one


def _settled(outcomes: "tuple[Outcome, ...]") -> "tuple[Outcome, ...]":
    """Return a call's outcomes without repetitions, sorted if all have one result."""
    single = tuple(dict.fromkeys(outcomes))
    if len({one[:2] for one in single}) > 1:
        return single
    return tuple(sorted(single, key=lambda one: one[2]))  # type: ignore[arg-type,return-value]  # of comparisons, which _comparison makes sortable


def _result(action: object, errno: object) -> "tuple[object, object]":
    """Return an action and its errno, EPERM if an error has none."""
    if errno is not None and type(errno) is not int:
        raise _Unlike
    return action, _EPERM if errno is None and action == _ERRNO else errno


def _comparison(argument: "Json") -> "tuple[int, str, int, int]":
    _check(argument, _ARGUMENT)
    second = argument.get("valueTwo")
    numbers = argument["index"], argument["value"], 0 if second is None else second
    if any(type(number) is not int for number in numbers):  # 1.0 and true equal 1 in Python only
        raise _Unlike
    index, value, second = numbers
    return index, argument["op"], value, second


def _check(found: object, known: "frozenset[str]") -> None:
    if type(found) is not dict or not found.keys() <= known:
        raise _Unlike

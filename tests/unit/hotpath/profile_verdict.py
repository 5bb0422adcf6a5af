"""A profile's answer to one call, as runtimes and libseccomp read it: a model for tests."""

from typing import Any

Json = dict[str, Any]
PASSING = {"SCMP_ACT_ALLOW", "SCMP_ACT_LOG", "SCMP_ACT_TRACE", "SCMP_ACT_NOTIFY"}


def holds(argument: Json, values: dict[int, int]) -> bool:
    found, value = values.get(argument["index"], 0), argument["value"]
    answers: dict[str, bool] = {
        "SCMP_CMP_NE": found != value,
        "SCMP_CMP_LT": found < value,
        "SCMP_CMP_LE": found <= value,
        "SCMP_CMP_EQ": found == value,
        "SCMP_CMP_GE": found >= value,
        "SCMP_CMP_GT": found > value,
        "SCMP_CMP_MASKED_EQ": found & value == argument.get("valueTwo", 0) & value,
    }
    return answers[argument["op"]]


def matches(rule: Json, name: str, values: dict[int, int]) -> bool:
    arguments = rule.get("args") or []
    indexes = [argument["index"] for argument in arguments]
    how = all if len(set(indexes)) == len(indexes) else any
    return name in rule["names"] and how(holds(argument, values) for argument in arguments)


def outcomes(block: Json, name: str, values: dict[int, int]) -> list[str]:
    """Return the actions of all rules that match, in order; the default's if there are none."""
    found = [rule["action"] for rule in block["syscalls"] if matches(rule, name, values)]
    return found or [block["defaultAction"]]


def passes(block: Json, name: str, values: dict[int, int]) -> bool:
    """Return whether a call is let through.

    Rules with the default action are dropped first. The first unconditional rule beats all
    conditional ones; of those a denial wins, otherwise the first.
    """
    default = block["defaultAction"], block.get("defaultErrnoRet") or 1
    told = [r for r in block["syscalls"] if (r["action"], r.get("errnoRet") or 1) != default]
    found = [rule for rule in told if matches(rule, name, values)]
    plain = [rule for rule in found if not rule.get("args")]
    if not plain and any(rule["action"] not in PASSING for rule in found):
        return False
    return ([*plain, *found, {"action": block["defaultAction"]}][0]["action"]) in PASSING

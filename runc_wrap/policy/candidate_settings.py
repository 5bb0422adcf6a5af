"""The candidates that a policy looks at: which profile each is beside, and in which mode."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from runc_wrap.hotpath.compiled_policy import CompiledPolicy, PolicyRule
from runc_wrap.hotpath.decision import ENFORCE, ENFORCE_LOG, OBSERVE, profile_of
from runc_wrap.hotpath.policy_rule_match import ANYTHING, matches_any
from runc_wrap.policy.settings import schema
from runc_wrap.policy.settings.schema import DecidingTable

MODES = (ENFORCE, ENFORCE_LOG, OBSERVE)  # in which a candidate can be looked at
KEY = "candidate"


class Pair(NamedTuple):
    """A candidate beside a profile, both by the names that they have for one engine."""

    profile: str
    mode: str
    candidate: str


@dataclass(frozen=True)
class CandidateCost:
    """What a candidate changes: calls denied more, calls not previewed, the filter's length.

    `unnamed`: it also denies numbers without a name. `uncounted`: why `calls` is empty, if it is
    not known.
    """

    calls: list[str]
    left: list[str]
    before: int
    after: int
    unnamed: bool = False
    uncounted: str = ""


def written(rules: list[PolicyRule], values: Mapping[str, Any]) -> list[PolicyRule]:
    """Return the compiled rules, with the default's candidate in those that it is for."""
    candidate = values["default.candidate"]
    return [
        {**one, "candidate": candidate} if candidate and _inherits(one) else one for one in rules
    ]


def _inherits(rule: Mapping[str, Any]) -> bool:
    """Tell whether the default's candidate is for a rule: not if its calls are recorded."""
    is_other = {KEY, "profile"} & rule.keys() or rule.get("record")
    return not is_other and rule.get("mode", ENFORCE) in MODES


def is_for(table: schema.DecidingTable) -> bool:
    """Tell whether a candidate is looked at in a table, its own or the default's."""
    return bool(table.written.get(KEY) or (table.effective[KEY] and _inherits(table.written)))


def problems(values: Mapping[str, Any]) -> Iterator[str]:
    """Yield a sentence for each candidate that cannot be looked at."""
    for table in _with_candidate(values):
        what, mode = f"{table.place(KEY)}{table.kind}.candidate", table.effective["mode"]
        if mode not in MODES:
            yield (
                f"{what} is looked at beside a profile that is enforced, and the mode is {mode}: "
                f"use {', '.join(MODES[:2])} or {OBSERVE}, or write the candidate as the profile."
            )
        if table.effective["record"]:
            yield (
                f"{what} and record = true go not together: the agent could not tell what the "
                "profile allows; leave one of them out."
            )
    yield from _unlooked(values)


def _unlooked(values: Mapping[str, Any]) -> Iterator[str]:
    """Yield a sentence for each rule that inherits observe without the candidate."""
    default, *rules = schema.deciding_tables(values)
    if default.written[KEY] and default.written["mode"] == OBSERVE:
        for rule in rules:
            if not {KEY, "mode"} & rule.written.keys() and not _inherits(rule.written):
                yield (
                    f"{rule.place('name')}default.candidate is not for this "
                    "rule, which has a profile of its own or records: the mode observe, which it "
                    'inherits, would let every call through. Write mode = "enforce" or a candidate '
                    'into it; mode = "observe" if you mean that.'
                )


def remarks(found: Iterable[Pair]) -> Iterator[str]:
    """Yield what a candidate does that the settings do not say."""
    if any(one.mode == OBSERVE for one in found):
        yield (
            "note: with a candidate the mode observe enforces the profile: only what the candidate "
            "denies more goes to the agent."
        )


def logging(values: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the place of each candidate, of which the kernel logs what it denies, and its key."""
    return [(one.place(KEY), f"{one.kind}.candidate") for one in _with_candidate(values)]


def _with_candidate(values: Mapping[str, Any]) -> list[DecidingTable]:
    return [one for one in schema.deciding_tables(values) if one.written.get(KEY)]


def pairs(policy: CompiledPolicy) -> list[Pair]:
    """Return the pairs that containers can get, each once."""
    default, found = policy["default"], dict[Pair, None]()
    for table in ({**default, "engine": [ANYTHING]}, *policy["rules"]):
        used: Mapping[str, Any] = {**default, **table}
        for engine in policy["runtime_default"] if KEY in table else ():
            if matches_any(used.get("engine", [ANYTHING]), engine):
                profile, other = (profile_of(used[key], engine, policy) for key in ("profile", KEY))
                modes = (used["mode"],) if used["mode"] != OBSERVE else (OBSERVE, ENFORCE)
                found |= dict.fromkeys(Pair(profile, mode, other) for mode in modes)
    return list(found)

"""The rules as a whole: mistakes, rules that can never apply, the compiled form."""

import datetime as dt
from collections.abc import Callable, Iterator
from typing import Any, cast

from runc_wrap.host import engine_names
from runc_wrap.hotpath.compiled_policy import PolicyRule
from runc_wrap.hotpath.container_identity import UNKNOWN
from runc_wrap.hotpath.policy_rule_match import ANYTHING, SELECTORS, matches
from runc_wrap.policy.settings import schema

Place = Callable[..., str]

Rule = dict[str, Any]
_ALL = 100
_OF_KUBERNETES = ("namespace", "pod", "container", "image")
_WITHOUT_NAMES = {UNKNOWN, *(each.name for each in engine_names.KNOWN.values() if each.is_users)}
_ONE_DAY = dt.timedelta(days=1)
MOST = 1000  # rules: each is compared with every one before it


def problems(rules: list[Rule], place: Place) -> Iterator[str]:
    """Yield what is wrong with rules, apart from invalid settings, which were already reported."""
    if len(rules) > MOST:
        there = f"{place(schema.RULES, MOST)}there are {len(rules)} rules, and at most {MOST} are"
        yield f'{there} taken; select by patterns, such as namespace = ["batch-*"].'
        return
    fitting = [(number, rule) for number, rule in enumerate(rules) if _fits(rule)]
    for number, rule in fitting:
        for key, wrong in _of_one(rule):
            yield f"{place(schema.RULES, number, key)}{wrong}."
    for at, (number, rule) in enumerate(fitting):
        found = filter(None, (_conflict(earlier, rule) for _, earlier in fitting[:at]))
        if first := next(found, None):
            yield f"{place(schema.RULES, number)}{first}."


def _fits(rule: Rule) -> bool:
    return not any(schema.problem(f"{schema.RULES}.{key}", value) for key, value in rule.items())


def _of_one(rule: Rule) -> Iterator[tuple[str, str]]:
    """Yield (key, what is wrong) of one rule."""
    if "name" not in rule:
        yield "name", 'the rule has no name; write name = "what it is for"'
    if rule.get("mode") == "off":
        for key in ("profile", "percent", "candidate"):
            if key in rule:
                yield key, _OFF[key]
    empty = next((key for key in SELECTORS if rule.get(key) == []), None)
    if empty:
        yield empty, f"rule.{empty} is an empty list, which selects nothing; leave it out for all"
    named = next((key for key in _OF_KUBERNETES if ANYTHING not in rule.get(key, [ANYTHING])), None)
    if named and "engine" in rule and _WITHOUT_NAMES.issuperset(rule["engine"]):
        engines = ", ".join(rule["engine"])
        why = f"there any user can choose the name of a {named}; select by engine or handler"
        yield named, f"rule.{named} never matches for {engines}: {why}"


_OFF = {
    "profile": "rule.profile has no meaning with mode off; drop one of the two",
    "candidate": "rule.candidate has no meaning with mode off; drop one of the two",
    "percent": "rule.percent with mode off would exempt arbitrary containers; select by name, or "
    "invert the rule: the new mode with a percentage, then a rule with off",
}


def _conflict(earlier: Rule, later: Rule) -> str | None:
    """Return why a rule can never apply after another, or has the same name."""
    if earlier.get("name") == later.get("name") and "name" in later:
        return f"there is already a rule {later['name']!r:.80}; choose another name"
    if earlier.get("percent", _ALL) < _ALL or "until" in earlier or not _covers(earlier, later):
        return None
    before = f"{earlier.get('name')!r:.80} before it selects all that it selects"
    return f"the rule is never reached: {before}; put it before that one, or drop it"


def _covers(earlier: Rule, later: Rule) -> bool:
    """Tell whether the earlier rule surely selects all that the later one does; may miss cases."""
    return all(
        ANYTHING in earlier[key]
        or (key in later and all(_within(pattern, earlier[key]) for pattern in later[key]))
        for key in SELECTORS
        if key in earlier
    )


def _within(pattern: str, patterns: list[str]) -> bool:
    plain = "*" not in pattern and "?" not in pattern
    return pattern in patterns or (plain and any(matches(one, pattern) for one in patterns))


def remarks(rules: list[Rule], place: Place, now: dt.datetime) -> Iterator[str]:
    """Yield warnings and notes for the owner about valid rules."""
    for number, rule in enumerate(rules):
        if "until" in rule and ends(rule["until"]) <= int(now.timestamp()):
            yield (
                f"warning: {place(schema.RULES, number, 'until')}the rule {rule['name']!r:.80} has "
                f"ended ({rule['until']}); drop it, or set a later day."
            )
        if rule.get("percent") == 0:
            yield (
                f"note: {place(schema.RULES, number, 'percent')}the rule {rule['name']!r:.80} "
                "applies to 0 percent of the containers, that is, to none."
            )


def ends(until: dt.date) -> int:
    """Return the first second, since the epoch, in which a rule no longer applies."""
    if isinstance(until, dt.datetime):
        return int(until.timestamp())
    midnight = dt.datetime.combine(until, dt.time(), dt.UTC)
    return int((midnight + _ONE_DAY).timestamp())


def compiled(rules: list[Rule]) -> list[PolicyRule]:
    """Return the rules as the hot path reads them."""
    made = [{**one, "until": ends(one["until"])} if "until" in one else one for one in rules]
    return cast("list[PolicyRule]", made)

"""Valid settings and rules, the messages about invalid ones, and the rules' compiled form."""

import datetime as dt
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runc_wrap.hotpath import policy_rule_match
from runc_wrap.hotpath.container_identity import Identity
from runc_wrap.policy.settings import rule_checks, schema

anything: st.SearchStrategy[object] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9) | st.dates(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=5,
)


INVALID = [
    ("runtime", [], "runtime is []; it takes a list"),
    ("runtime", ["runc", 1], "it takes a list"),
    ("on_error", True, "on_error is True; it takes refuse"),
    ("on_error", "refsue", "it takes refuse or run-unmodified (did you mean refuse?)"),
    ("rule.percent", True, "it takes a whole number from 0 to 100"),
    ("rule.percent", 101, "it takes a whole number"),
    ("rule.until", "2027-01-31", "it takes a day (2027-01-31) or a time with its offset"),
    ("rule.until", dt.datetime(2027, 1, 31), "2027-01-31T00:00:00; a time needs its offset"),  # noqa: DTZ001
    ("rule.until", dt.date(9999, 12, 31), "the last year has no end"),
    ("rule.namespace", ["Batch-*"], "matches nothing: no namespace has 'B'"),
    ("rule.namespace", ["a[bc]"], "no namespace has '['"),
    ("rule.handler", ["a/b"], "no handler has '/'"),
    ("rule.engine", ["dokcer"], "buildah, unknown (did you mean docker?)"),
    ("rule.image", ["a", "a"], "'a' is listed twice"),
    ("overlay.deny", ["io uring"], "it takes a list of system calls"),
    ("overlay.deny_sockets", ["AF_ALGG"], "not a socket family (did you mean AF_ALG?)"),
    ("overlay.deny_sockets", ["AF_ALG", 38], "38 is listed twice"),
    ("overlay.deny_sockets", [46], "46 is not a socket family"),
    ("overlay.existing", 1, "it takes true or false"),
    pytest.param("on_error", 1 << 99_999, "on_error is a huge number; it takes", id="huge"),
    ("default.profile", "", "default.profile is ''; it takes"),
    ("default.profile", "a\nb", "it takes runtime-default"),
    ("runtime_default.containers_common", 5, "of containers/common (0.62.3; not Podman"),
]


@pytest.mark.parametrize(("name", "value", "said"), INVALID)
def test_an_invalid_value_is_shown_with_the_valid_ones(name: str, value: Any, said: str) -> None:
    assert said in str(schema.problem(name, value))


@given(st.text(), anything)
def test_an_unknown_name_is_refused_with_the_known_ones(name: str, value: object) -> None:
    said = schema.problem(f"x{name}", value)
    assert said is not None
    assert said.startswith(f"x{name}"[:80])
    assert all(known in said for known in schema.BY_NAME)


@given(st.sampled_from(sorted(schema.BY_NAME)), anything)
def test_any_value_is_accepted_or_reported_briefly(name: str, value: object) -> None:
    said = schema.problem(name, value)
    assert said is None or len(said) < len(name) + 300


DAY = dt.date(2027, 1, 31)


def _place(*key: Any) -> str:
    return f"{key[1:]}: "


def _problems(*rules: dict[str, Any]) -> list[str]:
    named = [{"name": f"r{number}", **rule} for number, rule in enumerate(rules)]
    return list(rule_checks.problems(named, _place))


UNINTENDED = [
    ({"mode": "off", "profile": "moby"}, "(0, 'profile'): rule.profile has no meaning"),
    ({"mode": "off", "percent": 5}, "(0, 'percent'): rule.percent with mode off"),
    ({"image": []}, "(0, 'image'): rule.image is an empty list"),
    ({"engine": ["docker"], "namespace": ["x"]}, "rule.namespace never matches for docker"),
    ({"engine": ["podman", "buildah"], "image": ["x"]}, "(0, 'image'): rule.image never"),
]


@pytest.mark.parametrize(("rule", "said"), UNINTENDED)
def test_a_rule_that_cannot_be_intended_is_reported(rule: dict[str, Any], said: str) -> None:
    [told] = _problems(rule)
    assert said in told


def test_each_rule_has_a_unique_name() -> None:
    [told] = rule_checks.problems([{"mode": "audit"}], _place)
    assert "the rule has no name" in told
    [told] = _problems({"name": "a", "pod": ["x"]}, {"name": "a", "pod": ["y"]})
    assert "(1,): there is already a rule 'a'" in told


COVERED = [
    ({}, {"pod": ["x"]}, False),
    ({"pod": ["*"]}, {}, False),
    ({"pod": ["x"]}, {"pod": ["x"]}, False),
    ({"pod": ["x-*"]}, {"pod": ["x-1", "x-*"]}, False),
    ({"pod": ["x-*"]}, {"pod": ["x-1"], "image": ["y"]}, False),
    ({"pod": ["x-*"]}, {"pod": ["x?1"]}, True),
    ({"pod": ["x-?"]}, {"pod": ["x-*"]}, True),
    ({"pod": ["x"], "image": ["y"]}, {"pod": ["x"]}, True),
    ({"pod": ["x"]}, {}, True),
    ({"percent": 99}, {}, True),
    ({"percent": 100}, {}, False),
    ({"until": DAY}, {}, True),
]


@pytest.mark.parametrize(("earlier", "later", "reached"), COVERED)
def test_a_rule_after_one_that_covers_it_is_never_reached(
    earlier: dict[str, Any], later: dict[str, Any], reached: bool
) -> None:
    told = _problems(earlier, later)
    assert bool(told) is not reached
    assert all("(1,): the rule is never reached: 'r0'" in line for line in told)


def test_more_rules_than_can_be_compared_are_refused_at_once() -> None:
    most = [{"pod": [f"x-{number}"]} for number in range(rule_checks.MOST)]
    assert _problems(*most) == []
    (told,) = _problems(*most, {"pod": ["y"]})
    assert told.startswith("(1000,): there are 1001 rules, and at most 1000 are taken")


EAST = dt.timezone(dt.timedelta(hours=2))


ENDS = [
    (DAY, dt.datetime(2027, 2, 1, tzinfo=dt.UTC)),
    (dt.date(2024, 2, 29), dt.datetime(2024, 3, 1, tzinfo=dt.UTC)),
    (dt.datetime(2027, 1, 31, 18, tzinfo=EAST), dt.datetime(2027, 1, 31, 16, tzinfo=dt.UTC)),
]


@pytest.mark.parametrize(("until", "end"), ENDS)
def test_a_rule_until_a_day_applies_to_the_days_end(until: dt.date, end: dt.datetime) -> None:
    assert rule_checks.ends(until) == int(end.timestamp())
    rule = {"name": "a", "until": until}
    assert rule_checks.compiled([rule]) == [{"name": "a", "until": rule_checks.ends(until)}]
    before, after = end - dt.timedelta(seconds=1), end
    assert not list(rule_checks.remarks([rule], _place, before))
    [told] = rule_checks.remarks([rule], _place, after)
    assert told.startswith("warning: (0, 'until'): the rule 'a' has ended")


patterns = st.lists(st.text("ab*?", min_size=1, max_size=3), min_size=1, max_size=2, unique=True)
days = st.dates(dt.date(2020, 1, 1), dt.date(2030, 1, 1))
keys = {"pod": patterns, "image": patterns, "percent": st.integers(0, 100), "until": days}
rules = st.lists(st.fixed_dictionaries({}, optional=keys), min_size=1, max_size=4)


@given(rules, st.text("ab", max_size=3), st.text("ab", max_size=3) | st.none(), st.integers(0))
def test_a_rule_reported_as_never_reached_never_decides(
    written: list[dict[str, Any]], pod: str, image: str | None, now: int
) -> None:
    named = [{"name": f"r{number}", **rule} for number, rule in enumerate(written)]
    told = "".join(rule_checks.problems(named, _place))
    who = Identity("containerd", "runc", "id", {"pod": pod})
    who.image = image
    decided = policy_rule_match.first(rule_checks.compiled(named), who, now)
    if decided is not None:
        assert f"({decided['name'][1:]},): the rule is never reached" not in told

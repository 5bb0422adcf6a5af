"""Globs, as rules have them."""

import fnmatch
import re
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runc_wrap.hotpath.argv import Invocation
from runc_wrap.hotpath.container_identity import Identity, identify
from runc_wrap.hotpath.policy_rule_match import _spread, first, matches, matches_any


def test_a_glob_matches() -> None:
    assert matches("*:latest", "registry/x:latest")
    assert matches("[ab]", "[ab]")
    assert not matches("[ab]", "a")
    assert not matches("a", "A")
    assert matches_any(["x", "*"], None)  # an unknown value
    assert not matches_any(["?*", ""], None)


@given(st.text("ab*?", max_size=8), st.text("ab*?", max_size=10))
def test_globs_match_like_fnmatch_where_both_have_the_same_syntax(pattern: str, text: str) -> None:
    assert matches(pattern, text) == bool(re.match(fnmatch.translate(pattern), text))


@pytest.mark.parametrize("percent", [0, 1, 50, 99, 100])
def test_a_percentage_selects_exactly_that_share(percent: int) -> None:
    rule: Any = {"name": "r", "percent": percent}
    drawn = [bool(first([rule], _named(f"c{number}"), 0)) for number in range(2000)]
    places = [_spread(f"r\0c{number}") % 100 for number in range(2000)]
    assert set(places) == {*range(100)}
    assert drawn == [place < percent for place in places]


def test_a_percentage_selects_a_workload_and_not_one_of_its_pods() -> None:
    def drawn(pod: str, container: str) -> bool:
        who = SimpleNamespace(namespace="team", pod=pod, container=container, id=pod)
        return bool(first([rule], cast("Any", who), 0))

    rule: Any = {"name": "r", "percent": 50}
    found = {name: {drawn(f"pod-{n}", name) for n in range(20)} for name in map(str, range(20))}
    assert sorted(map(len, found.values())) == [1] * 20
    assert set.union(*found.values()) == {True, False}


def test_the_draw_is_stable_over_releases() -> None:
    """FNV-1a's own test vectors."""
    for text, value in (("", 0x811C9DC5), ("a", 0xE40C292C), ("foobar", 0xBF9CF968)):
        assert _spread(text) == value


def _named(name: str) -> Identity:
    return identify(Invocation("create", {"bundle": "/b"}, name), {}, "/x/runc-wrap")


def test_a_hostile_text_takes_no_time() -> None:
    assert not matches("*a" * 20 + "b", "a" * 20_000)

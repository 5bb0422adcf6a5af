"""The bench's own arithmetic: a table that cannot say "NOT met" would be worth nothing."""

from __future__ import annotations

import pytest

from bench import numbers, rows

CREATE = [
    {"bare": 0.040, "cold": 0.050, "agent": 0.041},
    {"bare": 0.080, "cold": 0.100, "agent": 0.081},
]


def test_ratios_and_differences_are_taken_within_a_round() -> None:
    assert numbers.ratios(CREATE, "cold", "bare") == pytest.approx([1.25, 1.25])
    assert numbers.differences(CREATE, "agent", "bare") == pytest.approx([0.001, 0.001])


def test_every_round_has_every_variant_once_and_a_seed_gives_one_order() -> None:
    found = list(numbers.orders(["a", "b", "c"], 20, seed=3))
    assert all(sorted(order) == ["a", "b", "c"] for order in found)
    assert found == list(numbers.orders(["a", "b", "c"], 20, seed=3))
    assert {order[0] for order in found} == {"a", "b", "c"}


@pytest.mark.parametrize(("slower", "met"), [(1.0, True), (1.1, False)])
def test_a_cold_create_over_the_bound_is_not_met(slower: float, met: bool) -> None:
    rounds = [{**one, "cold": one["cold"] * slower} for one in CREATE]
    assert rows.create_cold(rounds).met is met


@pytest.mark.parametrize(("more", "met"), [(0.0, True), (0.001, False)])
def test_an_agent_over_the_bound_is_not_met(more: float, met: bool) -> None:
    rounds = [{**one, "agent": one["agent"] + more} for one in CREATE]
    assert rows.create_added(rounds).met is met


def test_without_an_agent_nothing_is_claimed_of_it() -> None:
    rounds = [{"bare": 1.0, "cold": 1.0}]
    assert rows.create_added(rounds).verdict == "not measured"


BURST = {"cold": {"wall": 2.0, "each": [1.0, 2.0]}, "agent": {"wall": 1.0, "each": [0.5, 1.0]}}


@pytest.mark.parametrize(
    ("decided", "met"), [({"agent": 100}, True), ({"agent": 99, "cold": 1}, False), ({}, False)]
)
def test_a_create_that_falls_out_of_a_burst_is_not_met(decided: dict[str, int], met: bool) -> None:
    assert rows.at_once([BURST], decided).met is met


@pytest.mark.parametrize(
    ("added", "met"), [([0.01, 0.02, 0.11], True), ([0.01, 0.20, 0.11], False)]
)
def test_growth_that_is_not_linear_is_not_met(added: list[float], met: bool) -> None:
    sizes = (1024, 1024 * 1024, 10 * 1024 * 1024)
    rounds = {
        size: [{"bare": 1.0, "cold": 1.0 + more}] for size, more in zip(sizes, added, strict=True)
    }
    assert rows.growth("cold", rounds).met is met

"""The bench's arithmetic: a table that can never say "NOT met" would be useless."""

from __future__ import annotations

import math
import os
import random
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from bench import rows
from bench.evidence import Found
from bench.fleet import Merged
from bench.fleet_cluster import Used
from bench.measures import SIZES
from harness.measure import numbers
from harness.measure.agents import AtRest, at_rest
from harness.measure.timing import FailedError

if TYPE_CHECKING:
    from collections.abc import Callable

CREATE = [
    {"bare": 0.040, "cold": 0.050, "agent": 0.041},
    {"bare": 0.080, "cold": 0.100, "agent": 0.081},
]


NOISE = [1 + step / 1000 for step in range(-30, 31)]


def test_ratios_and_differences_are_taken_within_a_round() -> None:
    assert numbers.ratios(CREATE, "cold", "bare") == pytest.approx([1.25, 1.25])
    assert numbers.differences(CREATE, "agent", "bare") == pytest.approx([0.001, 0.001])


def test_every_round_has_every_variant_once_and_a_seed_gives_one_order() -> None:
    found = list(numbers.orders(["a", "b", "c"], 20, seed=3))
    assert all(sorted(order) == ["a", "b", "c"] for order in found)
    assert found == list(numbers.orders(["a", "b", "c"], 20, seed=3))
    assert {order[0] for order in found} == {"a", "b", "c"}


@pytest.mark.parametrize(("slower", "met"), [(1.0, rows.MET), (1.1, rows.NOT_MET)])
def test_a_cold_create_over_the_bound_is_not_met(slower: float, met: str) -> None:
    rounds = [{**one, "cold": one["cold"] * slower} for one in CREATE]
    assert rows.create_cold(rounds).verdict == met


@pytest.mark.parametrize(("more", "met"), [(0.0, rows.MET), (0.001, rows.NOT_MET)])
def test_an_agent_over_the_bound_is_not_met(more: float, met: str) -> None:
    rounds = [{**one, "agent": one["agent"] + more} for one in CREATE]
    assert rows.create_added(rounds).verdict == met


@pytest.mark.parametrize(("more", "met"), [(0.0, rows.MET), (0.001, rows.NOT_MET)])
def test_the_cost_with_an_exiting_runtime_is_checked_cold_and_with_an_agent(
    more: float, met: str
) -> None:
    each = {"bare": 0.001, "cold": 0.0095 + more, "agent": 0.0015 + more}
    found = rows.alone([each] * 9)
    assert [row.verdict for row in found] == [met, met]
    assert found[1].figure.startswith(f"{8.5 + more * 1e3:+.2f} ms")


def test_the_cost_of_evidence_is_a_difference_and_a_calls_cost_is_absolute() -> None:
    added = [{"nothing": 0.001, "agent": 0.0012}] * 9
    found = rows.evidence(Found(added, added, [{"observe": 2e-5}] * 9, [{"observe": 3e-4}] * 9))
    assert [row.figure for row in found] == [
        *["+200 µs [+200 +200]"] * 2,
        "in a loop 20.00 µs [20.00 20.00], now and then 300.00 µs [300.00 300.00]",
    ]


@pytest.mark.parametrize(("added", "met"), [(0.0001, rows.MET), (0.0004, rows.NOT_MET)])
def test_a_passed_on_command_over_its_bound_is_not_met(added: float, met: str) -> None:
    """The launcher adds 0.1 ms with musl here, and 0.4 ms with glibc."""
    assert rows.passed_on([{"bare": 0.001, "cold": 0.001 + added}] * 9).verdict == met


@pytest.mark.parametrize(
    ("slower", "verdict"), [(1.0, rows.MET), (1.02, rows.UNDECIDED), (1.05, rows.NOT_MET)]
)
def test_an_archive_slower_than_the_nodes_interpreter_is_not_met(
    slower: float, verdict: str
) -> None:
    copies = [
        {"node": 1.0, "copy 0": slower * noise, "copy 1": slower * (2 - noise)} for noise in NOISE
    ]
    assert rows.archived(copies).verdict == verdict
    assert "one copy of it against another 1.000" in rows.archived(copies).figure


@pytest.mark.parametrize(("size", "met"), [(14_900_000, rows.MET), (15_000_000, rows.NOT_MET)])
def test_an_archive_over_its_size_is_not_met(size: int, met: str) -> None:
    assert rows.archive_size(size).verdict == met


def test_without_an_agent_no_row_is_about_it() -> None:
    rounds = [{"bare": 1.0, "cold": 1.0}]
    assert rows.create_added(rounds).verdict == "not measured"


BURST = {"cold": {"wall": 2.0, "each": [1.0, 2.0]}, "agent": {"wall": 1.0, "each": [0.5, 1.0]}}


@pytest.mark.parametrize(
    ("decided", "met"),
    [
        ({"agent": 100}, rows.MET),
        ({"agent": 99, "cold": 1}, rows.NOT_MET),
        ({}, rows.NOT_MET),
    ],
)
def test_a_create_missing_from_a_burst_is_not_met(decided: dict[str, int], met: str) -> None:
    assert rows.at_once([BURST], decided).verdict == met


def test_a_burst_with_a_slower_rank_is_not_met_though_its_last_is_faster() -> None:
    early = {**BURST, "agent": {"wall": 1.0, "each": [1.1, 1.0]}}
    assert rows.at_once([early], {"agent": 100}).verdict == rows.NOT_MET
    assert "50% of the ranks slower" in rows.at_once([early], {"agent": 100}).figure


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [(1.0, 1.2, rows.MET), (1.2, 1.4, rows.UNDECIDED), (1.31, 1.4, rows.NOT_MET)],
)
def test_an_interval_that_contains_the_bound_decides_nothing(
    low: float, high: float, verdict: str
) -> None:
    rounds = [{"bare": 1.0, "cold": cold} for cold in (low, low, (low + high) / 2, high, high)]
    assert rows.create_cold(rounds).verdict == verdict


def test_stated_rows_have_no_bound() -> None:
    found = rows.stated("crun: create", [{"bare": 1.0, "cold": 9.0, "agent": 5.0}])
    assert [row.verdict for row in found] == [rows.STATED, rows.STATED]
    assert "9.000" in found[0].figure


GROWTHS: dict[str, tuple[Callable[[float], float], str]] = {
    "n": (lambda n: 0.01 + n / 3e8, rows.MET),
    "n log n": (lambda n: 0.01 + n * math.log(n) / 4e9, rows.MET),
    "n squared": (lambda n: 0.01 + n**2 / 2e14, rows.NOT_MET),
    "nothing, then much": (lambda n: 0.01 + (n > 2**20), rows.NOT_MET),
}


@pytest.mark.parametrize("growth", GROWTHS)
def test_growth_that_is_not_linear_is_not_met(growth: str) -> None:
    cost, verdict = GROWTHS[growth]
    rounds = {
        size: [{"bare": 1.0, "cold": 1.0 + cost(size) * noise} for noise in NOISE] for size in SIZES
    }
    assert rows.growth("cold", rounds).verdict == verdict


def test_growth_within_the_noise_decides_nothing() -> None:
    rounds = {
        size: [{"bare": 1.0, "cold": 1.0 + size / 3e8 + noise} for noise in (-0.1, 0, 0.1)]
        for size in SIZES
    }
    assert rows.growth("cold", rounds).verdict == rows.UNDECIDED


@pytest.mark.parametrize(
    ("resident", "worked", "cpu", "verdict"),
    [
        (20.0, 21.0, 0.0, rows.MET),
        (20.0, 31.0, 0.0, rows.NOT_MET),
        (31.0, 31.0, 0.0, rows.NOT_MET),
        (20.0, 21.0, 0.01, rows.NOT_MET),
    ],
)
def test_an_agent_that_grows_with_its_work_or_takes_time_at_rest_is_not_met(
    resident: float, worked: float, cpu: float, verdict: str
) -> None:
    found = AtRest(2, resident, resident, worked, 1000, cpu, 10)
    assert rows.at_rest(found).verdict == verdict


def test_an_agent_with_a_missing_process_is_not_measured() -> None:
    with pytest.raises(FailedError, match="1 processes of 2"):
        at_rest([os.getpid()], 0, lambda: 0)


def test_a_medians_interval_narrows_with_more_rounds_and_contains_it() -> None:
    generator = random.Random(1)  # noqa: S311 - no secret
    few, many = ([generator.gauss(5, 2) for _ in range(count)] for count in (16, 400))
    found = [numbers.sure(values) for values in (few, many)]
    assert all(one.low <= one.median <= one.high for one in found)
    assert found[1].high - found[1].low < (found[0].high - found[0].low) / 2
    assert numbers.sure([3.0]) == numbers.Summary(3.0, 3.0, 3.0, 1)


def test_a_medians_interval_contains_the_true_value_in_about_19_of_20_samples() -> None:
    generator = random.Random(2)  # noqa: S311 - no secret
    samples = ([generator.expovariate(1) for _ in range(60)] for _ in range(400))
    held = sum(one.low <= math.log(2) <= one.high for one in map(numbers.sure, samples))
    assert 0.92 < held / 400 <= 1


def test_a_fleets_report_is_bounded_in_time_and_in_memory() -> None:
    well = Merged(30.0, 20.0, 60 << 20, 10**9)
    beside = replace(well, others={"kubectl": Used(7.0, 10**9)})
    found = rows.fleet({
        "a": well, "b": replace(well, seconds=60.0), "c": replace(well, resident=10**9),
        "d": beside,
    })  # fmt: skip
    assert [one.verdict for one in found] == [rows.MET, *[rows.NOT_MET] * 3]
    assert found[0].figure == "30.0 s (20.0 s of CPU), 63 MB, 1.00 GB read"
    assert found[3].figure == f"{found[0].figure}; kubectl: 7.0 s of CPU, 1000 MB"

"""The bench's arithmetic: a table that can never say "NOT met" would be useless."""

import math
import random

import pytest

from bench import rows
from harness import measurement


@pytest.mark.parametrize(("scale", "verdict"), [(0.99, rows.MET), (1.01, rows.NOT_MET)])
def test_what_is_added_is_met_up_to_its_bound(scale: float, verdict: str) -> None:
    """Each bound from both sides: 0.25 ms for state, 0.7 and 9 ms for a create, 0.6 ms for exec."""
    each = {"bare": 1e-3, "agent": 1e-3 + 7e-4 * scale, "cold": 1e-3 + 9e-3 * scale}
    exec_ = {"bare": 1e-3, "agent": 1e-3 + 6e-4 * scale}
    rounds = [{way: at + seconds for way, seconds in each.items()} for at in range(9)]
    found = [
        *rows.alone(rounds),  # each difference is taken within a round
        rows.passed_on([{"bare": 1e-3, "cold": 1e-3 + 2.5e-4 * scale}] * 9),
        rows.untouched("runc", {"state": [{"bare": 1.0, "agent": 1.0}] * 9, "exec": [exec_] * 9}),
    ]
    assert {row.verdict for row in found} == {verdict}
    assert found[0].figure.startswith(f"{0.7 * scale:+.2f} ms")


INTERVALS = [(1.0, 1.2, rows.MET), (1.2, 1.4, rows.UNDECIDED), (1.31, 1.4, rows.NOT_MET)]


@pytest.mark.parametrize(("low", "high", "verdict"), INTERVALS)
def test_an_interval_that_contains_the_bound_decides_nothing(
    low: float, high: float, verdict: str
) -> None:
    ratios = (low, low, (low + high) / 2, high, high)
    each = enumerate(ratios, 1)  # within a round, each of another length
    rounds = [{"bare": 1.0 * at, "agent": 1.0 * at, "cold": cold * at} for at, cold in each]
    assert rows.creates(rounds)[1].verdict == verdict


def test_a_medians_interval_contains_the_true_value_in_about_19_of_20_samples() -> None:
    generator = random.Random(2)  # noqa: S311 - no secret
    samples = ([generator.expovariate(1) for _ in range(60)] for _ in range(400))
    held = sum(one.low <= math.log(2) <= one.high for one in map(measurement.sure, samples))
    assert 0.92 < held / 400 <= 1

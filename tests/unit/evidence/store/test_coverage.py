from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from runc_wrap.evidence.store import coverage


def test_overlapping_intervals_are_joined_and_clipped() -> None:
    found = coverage.overlap([(0, 5), (4, 8), (20, 30), (50, 60)], 2, 25)
    assert found == [(2, 8), (20, 25)]
    assert coverage.length(found) == 11


@given(st.floats(0, 1e9), st.floats(0, 1e9))
def test_longer_watching_never_lowers_confidence_and_doubts_never_raise_it(
    one: float, other: float
) -> None:
    low, high = sorted((one, other))
    assert coverage.grade(low, doubtful=False) <= coverage.grade(high, doubtful=False)
    assert coverage.grade(high, doubtful=True) <= coverage.grade(high, doubtful=False)

"""Intervals of watched time lead to a confidence."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from runc_wrap.report.confidence import WORDS, watched_well
from runc_wrap.report.container_evidence import seconds_within


def test_time_that_was_watched_twice_counts_once_and_only_while_the_container_ran() -> None:
    assert seconds_within([(0, 5), (4, 8), (20, 30), (50, 60)], 2, 25) == 6 + 5


@given(st.floats(0, 1e9), st.floats(0, 1e9))
def test_longer_watching_never_lowers_confidence_and_doubts_never_raise_it(
    one: float, other: float
) -> None:
    low, high = sorted((one, other))

    def grade(seconds: float, *, doubtful: bool) -> int:
        return WORDS.index(watched_well(seconds, doubtful=doubtful))

    assert grade(low, doubtful=False) <= grade(high, doubtful=False)
    assert grade(high, doubtful=True) <= grade(high, doubtful=False)

from __future__ import annotations

import calendar
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runc_wrap.evidence.store import coverage


@given(st.integers(-2_000_000_000, 4_102_444_799))
def test_times_follow_the_calendar(seconds: int) -> None:
    text = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))
    assert coverage.epoch(text) == seconds == calendar.timegm(time.gmtime(seconds))
    assert coverage.rfc3339(seconds) == text


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        5,
        "2026-11-18 00:00:00Z",
        "2026-1a-18T00:00:00Z",
        "٢" * 20,
        "2026-99-99T00:00:00Z",
        "2026-00-01T00:00:00Z",
        "2026-02-29T00:00:00Z",
        "2026-12-32T00:00:00Z",
        "2026-12-31T24:00:00Z",
        "2026-12-31T00:60:00Z",
        "2026-12-31T00:00:61Z",
    ],
)
def test_an_invalid_time_is_none(text: object) -> None:
    assert coverage.epoch(text) is None


def test_overlapping_intervals_are_joined_and_clipped() -> None:
    found = coverage.overlap([(0, 5), (4, 8), (20, 30), (50, 60)], 2, 25)
    assert found == [(2, 8), (20, 25)]
    assert coverage.length(found) == 11


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.5, "less than a second"), (61, "1 minute"), (7200, "2 hours"), (86400, "1 day")],
)
def test_durations_have_words(seconds: float, words: str) -> None:
    assert coverage.words(seconds) == words


@given(st.floats(0, 1e9), st.floats(0, 1e9))
def test_longer_watching_never_lowers_confidence_and_doubts_never_raise_it(
    one: float, other: float
) -> None:
    low, high = sorted((one, other))
    assert coverage.grade(low, doubtful=False) <= coverage.grade(high, doubtful=False)
    assert coverage.grade(high, doubtful=True) <= coverage.grade(high, doubtful=False)

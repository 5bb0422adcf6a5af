"""Times as text."""

import calendar
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runc_wrap import time_text


@given(st.integers(-2_000_000_000, 4_102_444_799))
def test_times_follow_the_calendar(seconds: int) -> None:
    text = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))
    assert time_text.epoch(text) == seconds == calendar.timegm(time.gmtime(seconds))
    assert time_text.rfc3339(seconds) == text


NO_TIMES = """
2026-1a-18T00:00:00Z 2026-00-01T00:00:00Z 2026-02-29T00:00:00Z 2026-12-32T00:00:00Z
2026-12-31T24:00:00Z 2026-12-31T00:60:00Z 2026-12-31T00:00:61Z
"""


@pytest.mark.parametrize("text", [None, 5, "2026-11-18 00:00:00Z", "٢" * 20, *NO_TIMES.split()])
def test_an_invalid_time_is_none(text: object) -> None:
    assert time_text.epoch(text) is None


DURATIONS = [(0.5, "less than a second"), (61, "1 minute"), (7200, "2 hours"), (86400, "1 day")]


@pytest.mark.parametrize(("seconds", "words"), DURATIONS)
def test_durations_have_words(seconds: float, words: str) -> None:
    assert time_text.duration(seconds) == words

"""Intervals of lost records cover every loss."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runc_wrap.evidence.sightings import AUDIT, LossSpan
from runc_wrap.evidence.store import loss_intervals
from runc_wrap.evidence.store.loss_intervals import Hole

SPANS = st.lists(
    st.tuples(st.integers(0, 9), st.floats(0, 1e6), st.floats(0, 5e3)),
    max_size=3 * loss_intervals.MOST,
)


@given(SPANS)
def test_intervals_cover_and_count_all_that_is_added_and_stay_few_and_disjoint(
    spans: list[tuple[int, float, float]],
) -> None:
    found: list[Hole] = []
    for records, begin, length in spans:
        loss_intervals.add(found, Hole(records, begin, begin + length))
    assert loss_intervals.total(found) == sum(records for records, _, _ in spans)
    assert len(found) <= loss_intervals.MOST
    for _, begin, length in spans:
        assert any(one.begin <= begin and begin + length <= one.end for one in found)
    assert all(before.end < after.begin for before, after in pairwise(found))


@pytest.mark.parametrize(
    ("added", "expected"),
    [
        ([(0, 5), (7, 9)], [(0, 5), (7, 9)]),
        ([(7, 9), (0, 5)], [(0, 5), (7, 9)]),
        ([(0, 5), (5, 9)], [(0, 9)]),
        ([(0, 2), (4, 5), (1, 9)], [(0, 9)]),
        ([(3, 3), (3, 3)], [(3, 3)]),
    ],
)
def test_touching_intervals_become_one(
    added: list[tuple[float, float]], expected: list[tuple[float, float]]
) -> None:
    found: list[Hole] = []
    for begin, end in added:
        loss_intervals.add(found, Hole(2, begin, end))
    assert [(one.begin, one.end) for one in found] == expected
    assert loss_intervals.total(found) == 2 * len(added)


@pytest.mark.parametrize(
    ("lost", "hole"),
    [
        (LossSpan(50, 3, AUDIT, ""), Hole(3, 50, 50)),
        (LossSpan(50, 3, AUDIT, "", 40), Hole(3, 40, 50)),
        (LossSpan(50, 3, AUDIT, "", 60), Hole(3, 50, 50)),  # a clock was set back
        (LossSpan(0, 3, AUDIT, ""), Hole(3, 0, loss_intervals.EVER)),
    ],
)
def test_a_loss_lasts_from_its_begin_or_is_at_any_time(lost: LossSpan, hole: Hole) -> None:
    assert loss_intervals.hole_of(lost) == hole


def test_with_too_many_kinds_the_reasons_are_not_distinguished() -> None:
    found: loss_intervals.Holes = {}
    for place in range(2 * loss_intervals.MOST_KINDS):
        loss_intervals.lose(found, LossSpan(place, 1, AUDIT, f"why {place}"))
    assert len(found) == loss_intervals.MOST_KINDS + 1
    assert sum(map(loss_intervals.total, found.values())) == 2 * loss_intervals.MOST_KINDS

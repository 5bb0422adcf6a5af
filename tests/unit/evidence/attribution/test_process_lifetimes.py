"""A process' container at a moment, at the borders of its life."""

from __future__ import annotations

import pytest

from runc_wrap.evidence.attribution.process_lifetimes import Lives

KEY, OTHER = ("/run/test", "c1"), ("/run/test", "c2")


@pytest.mark.parametrize(
    ("when", "whose"),
    [
        (9.9, set()),
        (10.0, {KEY}),
        (15.0, {KEY}),
        (20.0, {KEY}),
        (20.0005, {KEY}),  # a record is stamped a little after the end that the kernel tells
        (20.5, set()),
        (30.0, {OTHER}),
    ],
)
def test_a_record_at_the_end_of_a_process_is_its_containers(
    when: float, whose: set[tuple[str, str]]
) -> None:
    lives = Lives()
    lives.begin(7, 10.0, KEY)
    lives.end(7, 20.0)
    lives.begin(7, 30.0, OTHER)
    assert lives.of(7, when) == whose

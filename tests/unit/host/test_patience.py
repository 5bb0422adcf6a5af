"""Waiting: how often it is asked, and for how long."""

from __future__ import annotations

import time

import pytest

from runc_wrap.host import patience


@pytest.mark.parametrize(("seconds", "answer", "asked"), [(9.0, 3, 4), (2.0, 0, 3), (0.0, 0, 1)])
def test_it_asks_until_the_answer_is_true_or_the_time_is_over(
    monkeypatch: pytest.MonkeyPatch, seconds: float, answer: int, asked: int
) -> None:
    now = [0.0]
    answers = iter([0, 0, 0, 3])
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    monkeypatch.setattr(time, "sleep", lambda pause: now.__setitem__(0, now[0] + pause))
    assert patience.wait_for(lambda: next(answers), seconds, 1.0) == answer
    assert len([*answers]) == 4 - asked

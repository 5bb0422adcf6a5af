from __future__ import annotations

import os
import select
from typing import TYPE_CHECKING

import pytest

from runc_wrap.agent import wakeup_limit
from runc_wrap.agent.wakeup_limit import Resting

if TYPE_CHECKING:
    from collections.abc import Iterator


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(wakeup_limit, "time", made)
    return made


@pytest.fixture
def ready() -> Iterator[int]:
    """A descriptor that is always readable."""
    reader, writer = os.pipe()
    os.write(writer, b"x")
    yield reader
    os.close(reader)
    os.close(writer)


@pytest.fixture
def poll(ready: int) -> Iterator[select.epoll]:
    with select.epoll() as made:
        made.register(ready, select.EPOLLIN)
        yield made


def test_a_pausing_source_is_not_polled_and_another_rest_does_not_prolong_the_pause(
    poll: select.epoll, ready: int, clock: Clock
) -> None:
    quiet = Resting(poll)
    assert poll.poll(0)
    quiet.rest(ready, 1)
    clock.now += wakeup_limit.SECONDS / 2
    quiet.wake_due()
    assert (poll.poll(0), quiet.due()) == ([], [100 + wakeup_limit.SECONDS])
    quiet.rest(ready, 2)  # the pause is not prolonged
    clock.now += wakeup_limit.SECONDS / 2
    quiet.wake_due()
    assert (poll.poll(0) != [], quiet.due()) == (True, [])


def test_a_woken_source_is_polled_at_once(poll: select.epoll, ready: int) -> None:
    quiet = Resting(poll)
    quiet.rest(ready, 1)
    quiet.wake([ready, -1])
    assert (poll.poll(0) != [], quiet.due()) == (True, [])


def test_more_events_shorten_the_pause(poll: select.epoll, ready: int, clock: Clock) -> None:
    quiet, taken, rests = Resting(poll), 0, []
    for came in (0, 4000, 2000, 1000, 10, 0):
        taken += came
        quiet.rest(ready, taken)
        rests.append(quiet.due()[0] - clock.now)
        clock.now += rests[-1]
        quiet.wake_due()
    assert rests == pytest.approx([0.25, 0.0625, 0.03125, 0.03125, 0.25, 0.25])

"""The rate at which one container's calls are answered, whatever its number of listeners."""

from __future__ import annotations

import os
import select
import time
from typing import TYPE_CHECKING

import pytest

from runc_wrap.agent.observe import rate_limit
from runc_wrap.agent.observe.rate_limit import BURST, RATE, REST, Pacing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ONE, OTHER = ("one", "/b/one"), ("other", "/b/other")


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


@pytest.fixture
def poll() -> Iterator[select.epoll]:
    with select.epoll() as made:
        yield made


@pytest.fixture
def ready(poll: select.epoll) -> Iterator[Callable[[], int]]:
    """Make descriptors that are always readable, as a listener that floods is."""
    opened: list[int] = []

    def make() -> int:
        take, give = os.pipe()
        os.write(give, b".")
        opened.extend((take, give))
        poll.register(take, select.EPOLLIN)
        return take

    yield make
    for fd in opened:
        os.close(fd)


def _turns(pace: Pacing, poll: select.epoll, whose: dict[int, tuple[str, str]]) -> dict[int, int]:
    """Answer all pending calls; return how many of each."""
    pace.wake_due()
    answered = dict.fromkeys(whose, 0)
    while events := poll.poll(0):
        for fd, _ in events:
            if pace.may_answer(whose[fd], fd):
                pace.answered(whose[fd])
                answered[fd] += 1
        if any(count > 2 * BURST for count in answered.values()):
            break  # the one that is not to be paced
    return answered


def test_a_container_that_floods_gets_its_burst_and_then_its_rate(
    clock: list[float], poll: select.epoll, ready: Callable[[], int]
) -> None:
    pace, whose = Pacing(poll), {ready(): ONE}
    assert sum(_turns(pace, poll, whose).values()) == pytest.approx(BURST, abs=2)
    for _ in range(20):
        clock[0] += REST
        assert sum(_turns(pace, poll, whose).values()) == pytest.approx(RATE * REST, abs=2)


def test_a_container_that_was_quiet_for_an_hour_has_no_more_than_its_burst(
    clock: list[float], poll: select.epoll, ready: Callable[[], int]
) -> None:
    pace, whose = Pacing(poll), {ready(): ONE}
    _turns(pace, poll, whose)
    clock[0] += 3600
    assert sum(_turns(pace, poll, whose).values()) == pytest.approx(BURST, abs=2)


def test_the_listeners_of_one_container_share_its_rate(
    clock: list[float], poll: select.epoll, ready: Callable[[], int]
) -> None:
    pace, whose = Pacing(poll), {ready(): ONE for _ in range(5)}
    first = _turns(pace, poll, whose)
    whose[ready()] = ONE  # that is, an exec
    clock[0] += REST
    second = _turns(pace, poll, whose)
    assert sum(first.values()) == pytest.approx(BURST, abs=6)
    assert sum(second.values()) == pytest.approx(RATE * REST, abs=6)
    assert min(first.values()) > BURST / 6
    assert min(second.values()) > 0


def test_another_container_is_not_delayed(
    clock: list[float], poll: select.epoll, ready: Callable[[], int]
) -> None:
    pace = Pacing(poll)
    flooding = ready()
    _turns(pace, poll, {flooding: ONE})
    clock[0] += REST / 2
    assert _turns(pace, poll, {flooding: ONE, (fd := ready()): OTHER})[fd] >= BURST - 2


def test_the_service_wakes_for_a_call_to_answer_and_not_for_an_ended_listener(
    clock: list[float], poll: select.epoll, ready: Callable[[], int]
) -> None:
    pace, fd = Pacing(poll), ready()
    assert pace.due() == []
    _turns(pace, poll, {fd: ONE})
    assert pace.due() == [clock[0] + rate_limit.REST]
    poll.unregister(fd)
    pace.forget(ONE, fd, is_last=True)
    assert pace.due() == []
    clock[0] += REST
    pace.wake_due()  # of a number that is not in it any more
    assert pace.may_answer(ONE, fd)

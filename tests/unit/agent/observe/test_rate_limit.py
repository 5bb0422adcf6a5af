"""The rate at which one container's calls are answered, whatever its number of listeners."""

from __future__ import annotations

import os
import select
import time
from typing import TYPE_CHECKING

import pytest

from runc_wrap.agent.observe.rate_limit import BURST, RATE, REST, Pace
from runc_wrap.agent.wakeup_limit import Resting

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


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


def _turns(resting: Resting, poll: select.epoll, paces: dict[int, Pace]) -> dict[int, int]:
    """Answer all pending calls as the service does; return how many of each."""
    resting.wake_due()
    answered = dict.fromkeys(paces, 0)
    while events := poll.poll(0):
        for fd, _ in events:
            if paces[fd].until > time.monotonic():
                resting.rest_until(fd, paces[fd].until)
            else:
                paces[fd].answered()
                answered[fd] += 1
        if any(count > 2 * BURST for count in answered.values()):
            break  # the one that is not to be paced
    return answered


def test_a_container_that_floods_gets_its_burst_and_then_its_rate(
    clock: list[float], poll: select.epoll, ready: Callable[[], int]
) -> None:
    resting, paces = Resting(poll), {ready(): Pace()}
    assert sum(_turns(resting, poll, paces).values()) == pytest.approx(BURST, abs=2)
    for _ in range(20):
        clock[0] += REST
        assert sum(_turns(resting, poll, paces).values()) == pytest.approx(RATE * REST, abs=2)


def test_a_container_that_was_quiet_for_an_hour_has_no_more_than_its_burst(
    clock: list[float], poll: select.epoll, ready: Callable[[], int]
) -> None:
    resting, paces = Resting(poll), {ready(): Pace()}
    _turns(resting, poll, paces)
    clock[0] += 3600
    assert sum(_turns(resting, poll, paces).values()) == pytest.approx(BURST, abs=2)


def test_the_listeners_of_one_container_share_its_rate(
    clock: list[float], poll: select.epoll, ready: Callable[[], int]
) -> None:
    pace = Pace()
    resting, paces = Resting(poll), {ready(): pace for _ in range(5)}
    first = _turns(resting, poll, paces)
    paces[ready()] = pace  # that is, an exec
    clock[0] += REST
    second = _turns(resting, poll, paces)
    assert sum(first.values()) == pytest.approx(BURST, abs=6)
    assert sum(second.values()) == pytest.approx(RATE * REST, abs=6)
    assert min(first.values()) > BURST / 6
    assert min(second.values()) > 0


def test_another_container_is_not_delayed(
    clock: list[float], poll: select.epoll, ready: Callable[[], int]
) -> None:
    resting, pace, flooding = Resting(poll), Pace(), ready()
    _turns(resting, poll, {flooding: pace})
    clock[0] += REST / 2
    assert _turns(resting, poll, {flooding: pace, (fd := ready()): Pace()})[fd] >= BURST - 2


def test_the_service_wakes_for_a_call_to_answer_and_not_for_an_ended_listener(
    clock: list[float], poll: select.epoll, ready: Callable[[], int]
) -> None:
    resting, fd = Resting(poll), ready()
    assert resting.due() == []
    _turns(resting, poll, {fd: Pace()})
    assert resting.due() == [clock[0] + REST]
    poll.unregister(fd)
    resting.forget(fd)
    assert resting.due() == []
    clock[0] += REST
    resting.wake_due()  # of a number that is not in it any more

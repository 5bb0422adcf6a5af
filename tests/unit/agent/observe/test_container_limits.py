"""How often the service turns to a source, and to one container's calls and callers."""

import select
import time
from collections.abc import Callable

import pytest

from runc_wrap.agent.observe import container_limits as limits
from runc_wrap.agent.observe.container_limits import ObservedContainer, Resting


def test_a_pausing_source_is_not_polled_and_another_rest_does_not_prolong_the_pause(
    poll: select.epoll, ready: Callable[[], int], clock: list[float]
) -> None:
    quiet, source = Resting(poll), ready()
    assert poll.poll(0)
    quiet.rest(source, 1)
    clock[0] += limits.WAKE_EVERY / 2
    quiet.wake_due()
    assert (poll.poll(0), quiet.due()) == ([], [100 + limits.WAKE_EVERY])
    quiet.rest(source, 2)  # the pause is not prolonged
    clock[0] += limits.WAKE_EVERY / 2
    quiet.wake_due()
    assert (poll.poll(0) != [], quiet.due()) == (True, [])


def test_a_woken_source_is_polled_at_once(poll: select.epoll, ready: Callable[[], int]) -> None:
    quiet, source = Resting(poll), ready()
    quiet.rest(source, 1)
    quiet.wake([source, -1])
    assert (poll.poll(0) != [], quiet.due()) == (True, [])


def test_more_events_shorten_the_pause(
    poll: select.epoll, ready: Callable[[], int], clock: list[float]
) -> None:
    quiet, source, taken, rests = Resting(poll), ready(), 0, []
    for came in (0, 4000, 2000, 1000, 10, 0):
        taken += came
        quiet.rest(source, taken)
        rests.append(quiet.due()[0] - clock[0])
        clock[0] += rests[-1]
        quiet.wake_due()
    assert rests == pytest.approx([0.25, 0.0625, 0.03125, 0.03125, 0.25, 0.25])


def _turns(
    resting: Resting, poll: select.epoll, paces: dict[int, ObservedContainer]
) -> dict[int, int]:
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
        if any(count > 2 * limits.BURST for count in answered.values()):
            break  # the one that is not to be paced
    return answered


def test_the_listeners_of_a_container_that_floods_share_its_burst_and_then_its_rate(
    clock: list[float], poll: select.epoll, ready: Callable[[], int]
) -> None:
    pace = ObservedContainer(("c", ""))
    resting, paces = Resting(poll), {ready(): pace for _ in range(5)}
    first = _turns(resting, poll, paces)
    paces[ready()] = pace  # that is, an exec
    assert sum(first.values()) == pytest.approx(limits.BURST, abs=6)
    assert min(first.values()) > limits.BURST / 6
    for _ in range(20):
        clock[0] += limits.REST
        later = _turns(resting, poll, paces)
        assert sum(later.values()) == pytest.approx(limits.RATE * limits.REST, abs=6)
        assert min(later.values()) > 0
    clock[0] += 3600  # after an hour of quiet it has no more than its burst
    assert sum(_turns(resting, poll, paces).values()) == pytest.approx(limits.BURST, abs=6)


def test_the_service_wakes_for_a_call_to_answer_and_not_for_an_ended_listener(
    clock: list[float], poll: select.epoll, ready: Callable[[], int]
) -> None:
    resting, fd = Resting(poll), ready()
    assert resting.due() == []
    _turns(resting, poll, {fd: ObservedContainer(("c", ""))})
    assert resting.due() == [clock[0] + limits.REST]
    poll.unregister(fd)
    resting.forget(fd)
    assert resting.due() == []
    clock[0] += limits.REST
    resting.wake_due()  # of a number that is not in it any more


def test_in_a_flood_only_some_callers_are_read() -> None:
    one, looked = ObservedContainer(("c", "")), 0

    def call(tid: int, now: float) -> None:
        nonlocal looked
        if one.known(tid, now) is None:
            looked += 1
            one.threads[tid] = limits.Caller(tid, 0, "name", "")

    for tid in range(limits.FULL):
        call(tid, 5.0)
    assert looked == limits.FULL
    for more in range(10 * limits.EACH):
        call(1000 + more, 5.5)
    assert looked == limits.FULL + 10
    assert one.known(1, 5.9) == limits.Caller(1, 0, "name", "")
    call(1, 6.0)  # a second later it is looked at again
    assert looked == limits.FULL + 11

"""The evidence worker that hangs; of the decisions worker tests/runtime/test_agent_life tells."""

from __future__ import annotations

import os
import select
import signal
import socket
import time
from typing import TYPE_CHECKING

import pytest

from runc_wrap.agent import stall_detection
from runc_wrap.agent.observe.notify import Inflight
from runc_wrap.agent.stall_detection import LOOKS, MOST_LOOKS, SECONDS, Pulse, Watch
from runc_wrap.host import procfs

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def memory() -> Iterator[Inflight]:
    made = Inflight.new()
    yield made
    made.memory.close()
    os.close(made.fd)


def test_a_worker_busy_with_one_thing_for_long_hangs_and_a_waiting_one_does_not(
    memory: Inflight, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = [stall_detection.is_stuck(memory.fd)]
    memory.begin()
    found.append(stall_detection.is_stuck(memory.fd))
    later = time.monotonic_ns() + int(1.1 * stall_detection.BUSY_SECONDS * 1e9)
    monkeypatch.setattr(time, "monotonic_ns", lambda: later)
    found.append(stall_detection.is_stuck(memory.fd))
    memory.rest()
    found.append(stall_detection.is_stuck(memory.fd))
    assert found == [False, False, True, False]


def _looks(pulse: Pulse, clock: list[float], number: int, *, is_ready: bool = True) -> list[bool]:
    found = []
    for _ in range(number):
        clock[0] += max(pulse.seconds(has_listeners=True), 0.0)
        found.append(pulse.is_lost(os.getpid(), is_ready=is_ready))
    return found


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


@pytest.fixture
def pulse() -> Iterator[Pulse]:
    made = Pulse()
    yield made
    os.close(made.memory)


def test_a_worker_that_makes_progress_is_kept(pulse: Pulse, clock: list[float]) -> None:
    turns = stall_detection.Progress(pulse.memory)
    for _ in range(10):
        assert not any(_looks(pulse, clock, LOOKS - 1))
        turns.moved()


@pytest.mark.parametrize("has_cpu", [True, False])
def test_a_hanging_worker_is_replaced_and_one_without_cpu_gets_more_time(
    pulse: Pulse, clock: list[float], monkeypatch: pytest.MonkeyPatch, *, has_cpu: bool
) -> None:
    monkeypatch.setattr(stall_detection, "is_runnable", lambda _: not has_cpu)
    found = _looks(pulse, clock, MOST_LOOKS + 1)
    assert found.index(True) == (LOOKS if has_cpu else MOST_LOOKS)
    pulse.begin()
    assert not any(_looks(pulse, clock, LOOKS))


def test_a_starting_worker_gets_more_time(
    pulse: Pulse, clock: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stall_detection, "is_runnable", lambda _: False)
    assert _looks(pulse, clock, MOST_LOOKS + 1, is_ready=False).index(True) == MOST_LOOKS


def test_the_keepers_own_pause_counts_as_one_check(
    pulse: Pulse, clock: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stall_detection, "is_runnable", lambda _: False)
    _looks(pulse, clock, 1)
    clock[0] += 1000
    assert not any(_looks(pulse, clock, LOOKS - 1))


@pytest.fixture
def listening(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as made:
        made.bind(str(tmp_path / "decide.sock"))
        made.listen(5)
        yield made


@pytest.fixture
def watch(listening: socket.socket) -> Iterator[Watch]:
    with select.epoll() as poll:
        made = Watch(poll, listening.fileno())
        yield made
        os.close(made.progress)


@pytest.mark.parametrize(
    ("before", "after", "is_stalled"),
    [
        (False, False, True),  # it waits, and nobody accepts
        (True, False, False),  # accepted before the keeper looked, and nobody else has come
        (False, True, False),  # accepted after that
    ],
)
def test_a_decisions_worker_that_accepts_no_waiting_caller_hangs(
    watch: Watch,
    listening: socket.socket,
    clock: list[float],
    *,
    before: bool,
    after: bool,
    is_stalled: bool,
) -> None:
    turns = stall_detection.Progress(watch.progress)

    def accept() -> None:
        listening.accept()[0].close()
        turns.moved()

    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as launcher:
        launcher.connect(listening.getsockname())
        if before:
            accept()
        watch.begin()
        if after:
            accept()
        assert not watch.is_stalled(is_ready=True)  # not yet
        assert watch.seconds(is_ready=True) == [SECONDS]
        clock[0] += SECONDS
        assert watch.is_stalled(is_ready=True) == is_stalled
        assert watch.seconds(is_ready=True) == []


def test_a_stopped_process_is_not_runnable_and_a_busy_one_is() -> None:
    pid = os.fork()
    if pid == 0:
        while True:
            pass
    try:
        assert procfs.is_runnable(pid)
        os.kill(pid, signal.SIGSTOP)
        os.waitpid(pid, os.WUNTRACED)
        assert not procfs.is_runnable(pid)
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    assert not procfs.is_runnable(pid)

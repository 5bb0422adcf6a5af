"""Restarting workers: at once, then with growing delays."""

from __future__ import annotations

import subprocess
import time
from typing import TYPE_CHECKING

from runc_wrap.agent.supervisor import workers

if TYPE_CHECKING:
    import pytest


def test_a_worker_that_keeps_ending_restarts_with_growing_bounded_delays(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: clock[0])

    def none() -> int:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr("posix.fork", none)
    worker = workers.Worker("decisions")
    pauses = []
    for _ in range(12):
        worker.start(["/bin/true"], [], {})
        assert worker.pid == 0
        pauses.append(worker.due - clock[0])
        clock[0] = worker.due
    assert pauses[0] == 0
    assert pauses == sorted(pauses)
    assert pauses[-2:] == [30.0, 30.0]
    clock[0] += 11  # it lived that long this time
    worker.ended()
    assert worker.due == clock[0]


def test_the_keeper_waits_a_while_for_a_killed_worker_that_does_not_end() -> None:
    """Like one that waits for a device: this one was not killed at all."""
    with subprocess.Popen(["/bin/sleep", "60"]) as sleeping:
        begun = time.monotonic()
        workers._await(sleeping.pid, begun + 0.2)  # noqa: SLF001 - what stop() does after SIGKILL
        assert 0.2 <= time.monotonic() - begun < 30
        assert sleeping.poll() is None
        sleeping.kill()

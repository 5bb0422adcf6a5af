"""Starting workers again: at once, then ever later."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runc_wrap.agent import workers

if TYPE_CHECKING:
    import pytest


def test_a_worker_that_ends_soon_starts_again_later_and_later_up_to_a_bound(
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

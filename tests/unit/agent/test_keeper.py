"""What the keeper does about evidence workers that stand still."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from runc_wrap.agent import stalling
from runc_wrap.agent.keeper import MOST_ABANDONED, Keeper
from runc_wrap.agent.stalling import LOOKS, Pulse
from runc_wrap.agent.workers import Worker

if TYPE_CHECKING:
    import pytest


def test_of_workers_that_cannot_be_killed_a_few_are_left_and_the_keeper_rests_meanwhile(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As where the disk that evidence is written to answers no more."""
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    monkeypatch.setattr("posix.kill", lambda *_: None)
    monkeypatch.setattr(stalling, "is_runnable", lambda _: False)
    keeper = Keeper.__new__(Keeper)
    keeper.held = {"seccomp-1": -1}
    keeper.pulse, keeper.abandoned, keeper.evidence = Pulse(), set(), Worker("evidence")
    for pid in range(1, MOST_ABANDONED + 3):
        keeper.evidence.pid = keeper.evidence.pid or pid
        keeper.evidence.is_ready = True
        keeper.pulse.begin()
        for _ in range(2 * LOOKS):
            if keeper.evidence.pid:
                seconds = keeper._until_look()  # noqa: SLF001 - what its loop waits for
                assert seconds > 0
                now[0] += seconds
            keeper._end_stuck()  # noqa: SLF001 - what its loop does
    assert keeper.abandoned == {*range(1, MOST_ABANDONED + 1)}
    assert keeper.evidence.pid == MOST_ABANDONED + 1
    os.close(keeper.pulse.memory)

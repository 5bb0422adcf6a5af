"""The evidence worker that hangs; of the decisions worker tests/runtime/test_agent_life tells."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import pytest

from runc_wrap.agent import stalling
from runc_wrap.agent.notify import Inflight

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def memory() -> Iterator[Inflight]:
    made = Inflight.new()
    yield made
    made.memory.close()
    os.close(made.fd)


def test_who_is_at_one_thing_for_long_hangs_and_who_waits_does_not(
    memory: Inflight, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = [stalling.is_stuck(memory.fd)]
    memory.begin()
    found.append(stalling.is_stuck(memory.fd))
    later = time.monotonic_ns() + int(1.1 * stalling.BUSY_SECONDS * 1e9)
    monkeypatch.setattr(time, "monotonic_ns", lambda: later)
    found.append(stalling.is_stuck(memory.fd))
    memory.rest()
    found.append(stalling.is_stuck(memory.fd))
    assert found == [False, False, True, False]

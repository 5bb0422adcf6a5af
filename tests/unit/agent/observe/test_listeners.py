"""What is recorded of a call that a listener sent."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, cast

from runc_wrap.agent.observe import notify
from runc_wrap.agent.observe.listeners import Listener, Listeners
from runc_wrap.agent.observe.observed_container import Container

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from runc_wrap.agent.descriptor_store import Store
    from runc_wrap.evidence.model import Sighting

CAPSET, X86_64 = 126, 0xC000003E
CALL = notify.Call((7, 0, 0, CAPSET, X86_64, 0, 1, 2, 3, 4, 5, 6))


class _Received:
    """Stands for the memory into which the kernel writes a notification."""

    def receive(self, _listener: int, _number: int) -> notify.Call:
        return CALL

    def count(self, _call: int) -> None:
        pass


def test_a_call_has_the_time_before_its_answer_after_which_its_thread_may_run_another_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answered: list[float] = []

    def proceed(*_: int) -> bool:
        answered.append(time.time())
        time.sleep(0.01)  # as if another process had the CPU
        return True

    monkeypatch.setattr(notify, "proceed", proceed)
    monkeypatch.setattr(notify, "is_valid", lambda *_: True)
    seen: list[Sighting] = []
    listeners = Listeners(
        str(tmp_path), cast("Store", None), lambda _, sighting: seen.append(sighting)
    )
    listeners.inflight = cast("notify.Inflight", _Received())
    listeners.answer(Listener(1, -1, {}, Container(("c", "/b"))))
    assert seen[0].number == CAPSET
    assert seen[0].time <= answered[0]

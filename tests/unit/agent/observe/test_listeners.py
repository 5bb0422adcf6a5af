"""What is recorded of a call that a listener sent."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, cast

import pytest

from runc_wrap.agent.observe import notify
from runc_wrap.agent.observe.listeners import Listener, Listeners
from runc_wrap.agent.observe.observed_container import ObservedContainer
from runc_wrap.evidence.sightings import UNMADE
from runc_wrap.profiles.return_codes import USER_NOTIF

if TYPE_CHECKING:
    from pathlib import Path

    from runc_wrap.agent.descriptor_store import DescriptorStore
    from runc_wrap.evidence.sightings import Sighting

CAPSET, CLONE3, X86_64 = 126, 435, 0xC000003E
CALL = notify.Notification((7, 0, 0, CAPSET, X86_64, 0, 1, 2, 3, 4, 5, 6))


class _Received:
    """Stands for the memory into which the kernel writes a notification."""

    def __init__(self, call: notify.Notification = CALL) -> None:
        self._call = call

    def receive(self, _listener: int, _number: int) -> notify.Notification:
        return self._call

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
        str(tmp_path), cast("DescriptorStore", None), lambda _, sighting: seen.append(sighting)
    )
    listeners.inflight = cast("notify.Inflight", _Received())
    listeners.answer(Listener(1, -1, {}, ObservedContainer(("c", "/b"))))
    assert seen[0].number == CAPSET
    assert seen[0].time <= answered[0]


@pytest.mark.parametrize(("number", "is_unmade"), [(CLONE3, True), (CAPSET, False)])
def test_a_clone3_whose_caller_is_killed_while_it_waits_was_not_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, *, is_unmade: bool
) -> None:
    """Its memory may be another process' by then: nothing of it is known."""
    monkeypatch.setattr(notify, "proceed", lambda *_: False)
    monkeypatch.setattr(notify, "is_valid", lambda *_: False)
    seen: list[Sighting] = []
    listeners = Listeners(
        str(tmp_path), cast("DescriptorStore", None), lambda _, one: seen.append(one)
    )
    call = notify.Notification((7, 0, 0, number, X86_64, 0, 1, 88, 3, 4, 5, 6))
    listeners.inflight = cast("notify.Inflight", _Received(call))
    listeners.answer(Listener(1, -1, {}, ObservedContainer(("c", "/b"))))
    assert (seen[0].code == USER_NOTIF | UNMADE) is is_unmade
    assert (seen[0].args is None) is is_unmade

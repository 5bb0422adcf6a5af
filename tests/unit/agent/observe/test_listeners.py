"""What is recorded of a call that a listener sent."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, cast

import pytest

from harness.host import moments
from runc_wrap.agent.descriptor_store import ARRIVING, LISTENER
from runc_wrap.agent.observe import notify
from runc_wrap.agent.observe.listeners import Listener, Listeners, read_state, write_state
from runc_wrap.agent.observe.observed_container import ObservedContainer
from runc_wrap.agent.systemd_protocol import NamedDescriptor
from runc_wrap.evidence.sightings import UNMADE
from runc_wrap.host import runtime_state
from runc_wrap.profiles.return_codes import USER_NOTIF

if TYPE_CHECKING:
    from pathlib import Path

    from runc_wrap.agent.descriptor_store import DescriptorStore
    from runc_wrap.evidence.sightings import Sighting

CAPSET, CLONE3, X86_64 = 126, 435, 0xC000003E
CALL = notify.Notification((7, 0, 0, CAPSET, X86_64, 0, 1, 2, 3, 4, 5, 6))


class _Received:
    """Stands for the memory into which the kernel writes a notification."""

    unwritten = 0

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


class _Left(_Received):
    """The memory that a killed process left: a call it had received, counted or not."""

    was_stuck = False
    left = (1, CALL)

    def __init__(self, *, is_counted: bool) -> None:
        super().__init__()
        self.counted = [CALL.id] if is_counted else []

    def is_counted(self, call: int) -> bool:
        return call in self.counted

    def count(self, call: int) -> None:
        self.counted.append(call)


@pytest.mark.parametrize("is_counted", [True, False])
def test_a_call_that_a_killed_process_left_counts_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, is_counted: bool
) -> None:
    """It was killed between counting and answering, or before."""
    monkeypatch.setattr(notify, "proceed", lambda *_: True)
    monkeypatch.setattr(notify, "is_valid", lambda *_: True)
    listeners = Listeners(str(tmp_path), cast("DescriptorStore", None), lambda *_: None)
    listeners.by_fd[-1] = Listener(1, -1, {}, ObservedContainer(("c", "/b")))
    memory = _Left(is_counted=is_counted)
    listeners._answer_left(cast("notify.Inflight", memory))  # noqa: SLF001 - a part of `restore`
    assert memory.counted == [CALL.id]


class _Stored:
    """Stands for the descriptor store; `names` are what it has."""

    def __init__(self, *names: str) -> None:
        self.names = set(names)

    def remove(self, name: str) -> None:
        self.names.remove(name)


STATE = {"id": "c", "bundle": "/b", "root": "/run/r"}


def test_a_listener_is_its_containers_whenever_the_process_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its connection, from which another process could read whose it is, goes last."""
    monkeypatch.setattr(Listeners, "_add", lambda *_: None)
    store = _Stored("listener-1", f"{ARRIVING}1")
    listeners = Listeners(str(tmp_path), cast("DescriptorStore", store), lambda *_: None)

    def left() -> tuple[bool, bool]:
        known = read_state(listeners.directory, f"{LISTENER}1") == STATE
        return known, f"{ARRIVING}1" in store.names

    found = moments.of(Listeners.add, lambda: listeners.add(1, -1, STATE), left)
    assert set(found) == {(False, True), (True, True), (True, False)}


def test_a_listeners_container_is_still_known_when_its_own_filters_are_kept(
    tmp_path: Path,
) -> None:
    listeners = Listeners(str(tmp_path), cast("DescriptorStore", None), lambda *_: None)
    write_state(listeners.directory, f"{LISTENER}1", STATE)
    assert listeners._keep_own(Listener(1, -1, STATE, ObservedContainer(("c", "/b"))))  # noqa: SLF001 - called in a call's check
    assert STATE.items() <= read_state(listeners.directory, f"{LISTENER}1").items()


@pytest.mark.parametrize(
    ("running", "held", "is_deaf"),
    [(7, False, True), (None, False, False), (7, True, False)],
    ids=["it runs without any", "it has ended", "an exec in it has ended"],
)
def test_a_container_that_runs_without_its_listeners_is_noticed(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    running: int | None,
    *,
    held: bool,
    is_deaf: bool,
) -> None:
    monkeypatch.setattr(runtime_state, "running", {("/run/r", "c"): running}.get)
    monkeypatch.setattr(Listeners, "_add", lambda self, one: self.by_fd.update({one.fd: one}))
    monkeypatch.setattr(Listeners, "_answer_left", lambda *_: None)
    listeners = Listeners(str(tmp_path), cast("DescriptorStore", None), lambda *_: None)
    monkeypatch.setattr(listeners, "_memory", lambda _: _Received())
    for number in (1, 2):
        write_state(listeners.directory, f"{LISTENER}{number}", STATE)
    listeners.restore([NamedDescriptor(f"{LISTENER}2", -1)] if held else [])
    assert listeners.is_deaf is is_deaf

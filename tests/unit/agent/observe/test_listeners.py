"""What is recorded of a call that a listener sent, and what of a listener outlives its service."""

import os
import time
from pathlib import Path
from typing import cast

import pytest

from runc_wrap.agent.descriptor_store import INFLIGHT, LISTENER, DescriptorStore
from runc_wrap.agent.observe import seccomp_unotify
from runc_wrap.agent.observe.container_limits import ObservedContainer
from runc_wrap.agent.observe.inspector_client import Inspector
from runc_wrap.agent.observe.listeners import Listener, Listeners, read_state, write_state
from runc_wrap.evidence.sightings import UNMADE, Sighting
from runc_wrap.host import runtime_state
from runc_wrap.profiles.return_codes import USER_NOTIF

CAPSET, CLONE3, X86_64 = 126, 435, 0xC000003E
CALL = seccomp_unotify.Notification((7, 0, 0, CAPSET, X86_64, 0, 1, 2, 3, 4, 5, 6))
STATE = {"id": "c", "bundle": "/b", "root": "/run/r"}


class _Received:
    """Stands for the memory into which the kernel writes a notification."""

    unwritten = 0

    def __init__(self, call: seccomp_unotify.Notification = CALL) -> None:
        self._call = call

    def receive(self, _listener: int, _number: int) -> seccomp_unotify.Notification:
        return self._call

    def count(self, _call: int) -> None:
        pass


class _Stored:
    """Stands for the descriptor store; `names` are what it has."""

    def __init__(self) -> None:
        self.names: set[str] = set()

    def put(self, name: str, _: int) -> None:
        self.names.add(name)

    def remove(self, name: str) -> None:
        self.names.discard(name)


class Service:
    """A service's listeners, its store, and what it records; each call of it is let go on."""

    def __init__(self, prefix: Path) -> None:
        self.seen: list[Sighting] = []
        self.store = _Stored()
        store = cast("DescriptorStore", self.store)
        self.listeners = Listeners(str(prefix), store, lambda _, one: self.seen.append(one))

    def listener(self) -> Listener:
        container = ObservedContainer(("c", "/b"))
        return Listener(1, -1, STATE, container, self.listeners.inspector)

    def answer(self, call: seccomp_unotify.Notification = CALL) -> Sighting:
        self.listeners.inflight = cast("seccomp_unotify.Inflight", _Received(call))
        self.listeners.answer(self.listener())
        return self.seen[0]


@pytest.fixture
def service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Service:
    monkeypatch.setattr(seccomp_unotify, "proceed", lambda *_: True)
    monkeypatch.setattr(seccomp_unotify, "is_valid", lambda *_: True)
    monkeypatch.setattr(Inspector, "start", lambda _: None)
    return Service(tmp_path)


def test_a_call_has_the_time_before_its_answer_after_which_its_thread_may_run_another_program(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    answered: list[float] = []

    def proceed(*_: int) -> bool:
        answered.append(time.time())
        time.sleep(0.01)  # as if another process had the CPU
        return True

    monkeypatch.setattr(seccomp_unotify, "proceed", proceed)
    seen = service.answer()
    assert seen.number == CAPSET
    assert seen.time <= answered[0]


@pytest.mark.parametrize(("number", "is_unmade"), [(CLONE3, True), (CAPSET, False)])
def test_a_clone3_whose_caller_is_killed_while_it_waits_was_not_made(
    service: Service, monkeypatch: pytest.MonkeyPatch, number: int, *, is_unmade: bool
) -> None:
    """Its memory may be another process' by then: nothing of it is known."""
    monkeypatch.setattr(seccomp_unotify, "is_valid", lambda *_: False)
    call = seccomp_unotify.Notification((7, 0, 0, number, X86_64, 0, 1, 88, 3, 4, 5, 6))
    seen = service.answer(call)
    assert (seen.code == USER_NOTIF | UNMADE) is is_unmade
    assert (seen.args is None) is is_unmade


@pytest.mark.parametrize("is_counted", [True, False])
def test_a_call_a_killed_process_left_counts_once(
    service: Service, monkeypatch: pytest.MonkeyPatch, *, is_counted: bool
) -> None:
    """It was killed between counting and answering, or before."""
    monkeypatch.setattr(seccomp_unotify.Inflight, "left", (1, CALL))
    memory = seccomp_unotify.Inflight.new()
    if is_counted:
        memory.count(CALL.id)
    service.listeners.by_fd[-1] = service.listener()
    service.listeners._answer_left(memory)  # noqa: SLF001 - a part of `restore`
    assert (memory.unwritten, memory.is_counted(CALL.id)) == (1, True)


def test_a_listener_is_stored_as_long_as_its_container_lives(service: Service) -> None:
    """With the memory of calls before any of these comes."""
    service.listeners.restore({})
    assert service.store.names == {INFLIGHT}
    found = [os.open("/dev/null", os.O_RDONLY) for _ in range(2)]
    for number, fd in enumerate(found, 1):
        service.listeners.keep(number, fd)
        service.listeners.add(number, fd, STATE)
    names = {f"{LISTENER}{number}" for number in (1, 2)}
    for fd, gone in zip(found, (f"{LISTENER}1", f"{LISTENER}2"), strict=True):
        assert service.store.names == {INFLIGHT, *names}
        service.listeners.gone(service.listeners.by_fd[fd])
        names.remove(gone)
        assert read_state(service.listeners.directory, gone) == {}
    assert service.store.names == {INFLIGHT}
    assert service.listeners.containers == {}


def test_a_listeners_container_is_known_when_its_own_filters_are_kept(service: Service) -> None:
    directory = service.listeners.directory
    write_state(directory, f"{LISTENER}1", STATE)
    assert service.listeners._keep(service.listener(), "own_filters", [])  # noqa: SLF001 - in a call's check
    assert STATE.items() <= read_state(directory, f"{LISTENER}1").items()


DEAF = [(7, False, True), (None, False, False), (7, True, False)]


@pytest.mark.parametrize(("running", "held", "deaf"), DEAF)
def test_a_container_that_runs_without_its_listeners_is_noticed(
    service: Service, monkeypatch: pytest.MonkeyPatch, running: int | None, held: bool, deaf: bool
) -> None:
    """Not one that has ended, nor one in which an exec has."""
    monkeypatch.setattr(runtime_state, "running", {("/run/r", "c"): running}.get)
    monkeypatch.setattr(Listeners, "_add", lambda self, one: self.by_fd.update({one.fd: one}))
    monkeypatch.setattr(Listeners, "_answer_left", lambda *_: None)
    listeners = service.listeners
    monkeypatch.setattr(listeners, "_memory", lambda _: _Received())
    for number in (1, 2):
        write_state(listeners.directory, f"{LISTENER}{number}", STATE)
    listeners.restore({f"{LISTENER}2": -1} if held else {})
    assert listeners.is_deaf is deaf

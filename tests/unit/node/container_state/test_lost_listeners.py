"""Whose listener counts as lost while the service that holds them is started again, or hangs."""

import json
import os
from pathlib import Path

import pytest

from runc_wrap.host import procfs
from runc_wrap.ledger import decision_record
from runc_wrap.node import flush_request
from runc_wrap.node.container_state import lost_listeners
from runc_wrap.node.container_state.container_status import Entry, Node
from runc_wrap.node.flush_request import FlushAnswer
from runc_wrap.node.paths import Places
from tests.unit.node.container_state.test_container_status import container, process

RECORD = decision_record.of({"id": "c10", "action": "inject", "mode": "observe"})
FIRST, SERVICE = 10, 70
ABSENT = FlushAnswer("no agent runs", is_absent=True)
SILENT = FlushAnswer("the agent did not answer")
ANSWERED = FlushAnswer("the agent could not write all in time", 0.0)


class Scene:
    """A container in observe, an hour old, and the service that has listeners open or has not."""

    def __init__(self, prefix: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.places = Places(prefix)
        self.places.listeners.mkdir(parents=True)
        self.open: dict[int, set[str]] = {}
        self.asked = 0
        self._patch = monkeypatch
        monkeypatch.setattr(os, "geteuid", lambda: 0)
        monkeypatch.setattr(procfs, "pids", lambda: [*self.open])
        monkeypatch.setattr(procfs, "open_files", lambda pid: self.open.get(pid, set()))
        monkeypatch.setattr(procfs, "age", lambda _: 3600.0)

    def serve(self) -> None:
        lock = os.path.realpath(lost_listeners.lock(self.places))
        self.open[SERVICE] = {lock, "anon_inode:seccomp notify"}

    def take(self) -> None:
        """Have the service record the listener of the container's first process."""
        record = json.dumps({"id": "c10", "root": "/r", "pid": FIRST})
        (self.places.listeners / "seccomp-1.json").write_text(record)

    def found(self, answer: FlushAnswer, *meanwhile: str) -> tuple[list[int], int]:
        """Return the accused processes, and how many sentences say that nothing is known."""

        def ask(*_: object) -> FlushAnswer:
            self.asked += 1
            for done in meanwhile:
                getattr(self, done)()
            return answer

        self._patch.setattr(flush_request, "ask", ask)
        entry = Entry(container(FIRST), RECORD, [process(FIRST, seccomp=2, first=True)])
        node = lost_listeners.mark(Node([entry], 0, []), self.places)
        (marked,) = node.entries
        return [one.pid for one in marked.unheard], len(node.unreadable)


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scene:
    return Scene(tmp_path, monkeypatch)


def test_no_listener_is_lost_that_the_service_has_once_it_is_back(scene: Scene) -> None:
    scene.take()  # its record outlives the service
    assert scene.found(ANSWERED, "serve") == ([], 0)
    assert scene.asked == 1
    assert scene.found(SILENT) == ([], 0)
    assert scene.asked == 1  # nobody is accused: nothing is asked


def test_no_listener_is_lost_that_waits_until_a_busy_service_takes_it(scene: Scene) -> None:
    scene.serve()
    assert scene.found(ANSWERED, "take") == ([], 0)


@pytest.mark.parametrize("answer", [ABSENT, SILENT])
def test_a_listener_that_no_process_has_is_lost(scene: Scene, answer: FlushAnswer) -> None:
    scene.take()
    assert scene.found(answer) == ([FIRST], 0)
    scene.open[1] = {"anon_inode:seccomp notify"}  # systemd's descriptor store
    assert scene.found(answer) == ([], 0)


def test_a_listener_is_lost_only_if_the_service_answers_and_has_it_not(scene: Scene) -> None:
    scene.serve()
    assert scene.found(SILENT) == ([], 1)
    assert scene.found(ANSWERED) == ([FIRST], 0)

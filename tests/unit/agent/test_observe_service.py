"""The service observe as a process, with listeners of processes that are not in containers."""

import contextlib
import json
import math
import os
import signal
import socket
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from harness.host.processes import short_directory, wait_until
from runc_wrap.agent import observe_service
from runc_wrap.agent.observe_service import Observer
from runc_wrap.agent.record import recorder
from runc_wrap.agent.record.recorder import Recorder
from runc_wrap.evidence.store import evidence_memory, evidence_reader
from runc_wrap.profiles import syscall_names

if syscall_names.known_to_libseccomp([]) is None:
    pytest.skip("needs libseccomp", allow_module_level=True)

from collections.abc import Iterator

from harness.containers import listener_process
from harness.containers.listener_process import Sender

LISTENER = "anon_inode:seccomp notify"
SECONDS_TO_NOTICE = 5  # that another release is installed: docs/agent.md


@dataclass
class Running:
    """The service's process, and its socket for listeners."""

    pid: int
    path: str

    def give(self, sender: Sender) -> None:
        """Send a listener as a runtime does, and keep no copy."""
        with socket.socket(socket.AF_UNIX) as runtime:
            runtime.connect(self.path)
            message = json.dumps({"state": {"id": "c"}}).encode()
            socket.send_fds(runtime, [message], [sender.listener])
        os.close(sender.listener)
        sender.listener = -1

    def listeners(self) -> list[str]:
        """Return the numbers that listeners have in it."""
        found = []
        for entry in Path(f"/proc/{self.pid}/fd").iterdir():
            with contextlib.suppress(OSError):
                if str(entry.readlink()) == LISTENER:
                    found.append(entry.name)
        return found


@contextlib.contextmanager
def running(place: Path) -> Iterator[Running]:
    with socket.socket(socket.AF_UNIX) as listening, socket.socket(socket.AF_UNIX) as evidence:
        path = str(place / "notify")
        listening.bind(path)
        listening.listen()
        evidence.bind("")  # any address
        evidence.listen()
        pid = os.fork()
        if pid == 0:
            try:
                held = {"notify": listening.fileno(), "evidence": evidence.fileno()}
                Observer(str(place), held).serve()
            finally:
                os._exit(1)
        try:
            yield Running(pid, path)
        finally:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


@pytest.fixture
def observe() -> Iterator[Running]:
    with short_directory("observe") as place, running(place) as started:
        yield started


def test_an_ended_listener_does_not_remove_another_one_that_systemd_holds(observe: Running) -> None:
    """epoll still reports it, by its number, which the next one has."""
    with listener_process.sender() as first, listener_process.sender() as second:
        copy = os.dup(first.listener)  # systemd's
        observe.give(first)
        first.call()
        assert os.read(first.results, 100) == listener_process.AS_USUAL
        number = observe.listeners()
        os.kill(first.pid, signal.SIGKILL)
        os.waitpid(first.pid, 0)
        wait_until(lambda: observe.listeners() == [], "it to close what ended")
        observe.give(second)
        for _ in range(3):
            second.call()
            assert os.read(second.results, 100) == listener_process.AS_USUAL
        assert observe.listeners() == number
        os.close(copy)


def test_calls_are_answered_while_evidence_is_not_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(observe_service, "_RECORD_AGAIN", 0.1)
    monkeypatch.setattr(recorder, "WRITE_AFTER", 0.1)
    with short_directory("observe") as place, listener_process.sender() as sender:
        stored = place / "var" / "evidence"
        stored.parent.mkdir()
        stored.write_text("")  # in the place of its directory
        with running(place) as started:
            started.give(sender)
            sender.call()
            assert os.read(sender.results, 100) == listener_process.AS_USUAL
            stored.unlink()
            wait_until((stored / "containers").is_dir, "evidence to be begun")
            sender.call()
            assert os.read(sender.results, 100) == listener_process.AS_USUAL
            wait_until((stored / evidence_reader.STATE).exists, "evidence to be written")
        found = evidence_reader.state(str(stored))
        assert sum(map(evidence_memory.lost_records, found.lost.values())) == 1  # the first call


def test_an_idle_service_looks_which_release_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a supervisor nothing else may wake it for a minute."""
    monkeypatch.setattr(Recorder, "due", lambda _: time.monotonic() + 60.0)
    with short_directory("observe") as place:
        pid = os.fork()
        if pid == 0:  # it takes signals
            with contextlib.suppress(BaseException), socket.socket(socket.AF_UNIX) as evidence:
                observer = Observer(str(place), {"evidence": evidence.fileno()})
                os._exit(math.ceil(observer._seconds()))  # noqa: SLF001 - of a turn
            os._exit(99)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) <= SECONDS_TO_NOTICE

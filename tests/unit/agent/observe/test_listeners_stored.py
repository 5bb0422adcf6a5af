"""What a full or busy descriptor store has no place for is stored once it has."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

import pytest

from harness.host.processes import short_directory
from runc_wrap.agent.descriptor_store import DescriptorStore
from runc_wrap.agent.observe.inspector_client import Inspector
from runc_wrap.agent.observe.listeners import Listeners
from runc_wrap.agent.systemd_protocol import Supervisor

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ROOM = 8  # descriptors: one is the memory of calls


class Systemd:
    """The descriptors that it keeps, by name; it refuses what there is no room for."""

    def __init__(self, taker: socket.socket) -> None:
        self._taker = taker
        self.kept: set[str] = set()

    def names(self) -> set[str]:
        """Take what was sent; return what is kept."""
        while True:
            try:
                message, fds, _, _ = socket.recv_fds(self._taker, 999, 4)
            except BlockingIOError:
                return self.kept
            for fd in fds:
                os.close(fd)
            name = message.decode().split("FDNAME=")[1].split("\n")[0]
            if message.startswith(b"FDSTOREREMOVE"):
                self.kept.discard(name)
            elif len(self.kept) < ROOM:
                self.kept.add(name)


@pytest.fixture(name="place")
def short() -> Iterator[Path]:
    with short_directory("store") as place:
        yield place


@pytest.fixture(name="systemd")
def simulated_systemd(place: Path) -> Iterator[Systemd]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as taker:
        taker.bind(str(place / "notify"))
        taker.setblocking(False)
        yield Systemd(taker)


@pytest.fixture(name="listeners")
def listeners_of_a_service(
    place: Path, systemd: Systemd, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Listeners]:
    """The listeners of a service that has just begun; nothing reads their callers."""
    environment = {
        b"FDSTORE": str(ROOM).encode(),
        b"NOTIFY_SOCKET": os.fsencode(place / "notify"),
    }
    supervisor = Supervisor(environment)
    monkeypatch.setattr(Inspector, "start", lambda _self: None)
    made = Listeners(str(place), DescriptorStore(supervisor, environment, []), lambda *_: None)
    made.restore([])
    assert systemd.names() == {"inflight"}
    yield made
    supervisor.close()
    for fd in made.by_fd:
        os.close(fd)


def _come(listeners: Listeners, systemd: Systemd, number: int, container: str) -> None:
    """Take a listener of a container as the service does: kept first, then known."""
    fd = os.open("/dev/null", os.O_RDONLY)
    listeners.keep(number, fd)
    listeners.add(number, fd, {"id": container, "bundle": f"/{container}", "root": ""})
    systemd.names()


def test_a_listener_without_a_place_is_stored_once_there_is_room(
    listeners: Listeners, systemd: Systemd
) -> None:
    for number in range(1, ROOM + 2):
        _come(listeners, systemd, number, f"c{number}")
    assert systemd.names() == {"inflight", *(f"seccomp-{number}" for number in range(1, ROOM))}
    first = next(one for one in listeners.by_fd.values() if one.number == 1)
    listeners.gone(first)
    listeners.store.put_late_ones()
    assert systemd.names() == {"inflight", *(f"seccomp-{at}" for at in range(2, ROOM + 1))}


def test_a_listener_that_systemd_was_too_busy_for_is_stored_later(
    listeners: Listeners, systemd: Systemd, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in (1, 2, 3):
        _come(listeners, systemd, number, "greedy")
    send = Supervisor.send
    answers = iter([False])  # to the first message
    monkeypatch.setattr(
        Supervisor,
        "send",
        lambda *words, **more: next(answers, None) is None and send(*words, **more),
    )
    _come(listeners, systemd, 4, "modest")
    assert systemd.names() == {"inflight", *(f"seccomp-{number}" for number in range(1, 4))}
    listeners.store.put_late_ones()
    assert systemd.names() == {"inflight", *(f"seccomp-{number}" for number in range(1, 5))}

"""systemd's protocol for services: descriptors, messages, watchdog."""

from __future__ import annotations

import os
import socket
import sys
import threading
import time
from typing import TYPE_CHECKING

import pytest

from harness.host.processes import short_directory
from runc_wrap.agent import systemd_protocol
from runc_wrap.agent.systemd_protocol import NamedDescriptor, Supervisor, Watchdog

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Notifying = Callable[[Path | str], Supervisor]

_SHOW = """
import os
from runc_wrap.agent import systemd_protocol
found = systemd_protocol.received(os.environb)
print([(each.name, os.read(each.fd, 9), os.get_inheritable(each.fd)) for each in found])
print(systemd_protocol.received({**os.environb, b"LISTEN_PID": b"1"}))
"""


@pytest.fixture
def place() -> Iterator[Path]:
    with short_directory("handing") as found:
        yield found / "notify"


@pytest.fixture
def systemd(place: Path) -> Iterator[socket.socket]:
    with _listening(place) as taker:
        yield taker


def _listening(place: Path) -> socket.socket:
    taker = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    taker.bind(str(place))
    taker.setblocking(False)
    return taker


@pytest.fixture
def notifying() -> Iterator[Notifying]:
    """Make the services' end; its connections are closed afterwards."""
    made = []

    def make(address: Path | str) -> Supervisor:
        made.append(Supervisor({b"NOTIFY_SOCKET": os.fsencode(address)}))
        return made[-1]

    yield make
    for one in made:
        one.close()


def test_a_program_finds_the_descriptors_by_their_names(tmp_path: Path) -> None:
    """Some of them have numbers that collide."""
    pairs = [os.pipe() for _ in range(3)]
    for at, (_, writer) in enumerate(pairs):
        os.write(writer, b"%d" % at)
    handed = [NamedDescriptor(f"n{at}", pairs[at][0]) for at in (2, 0, 1)]
    out = tmp_path / "out"
    child = os.fork()
    if child == 0:
        with out.open("w") as file:
            os.dup2(file.fileno(), 1)
        argv = [sys.executable, "-c", _SHOW]
        environment = {**os.environb, b"PYTHONPATH": os.fsencode(os.pathsep.join(sys.path))}
        systemd_protocol.become(argv, handed, environment)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    for fds in pairs:
        for fd in fds:
            os.close(fd)
    expected = [(f"n{at}", b"%d" % at, False) for at in (2, 0, 1)]
    assert out.read_text().splitlines() == [str(expected), "[]"]


@pytest.mark.parametrize(
    "environment", [{}, {b"LISTEN_FDS": b"1"}, {b"LISTEN_FDS": b"x", b"LISTEN_PID": b"-1"}]
)
def test_descriptors_for_another_process_are_ignored(environment: dict[bytes, bytes]) -> None:
    assert systemd_protocol.received(environment) == []


def test_a_message_arrives_with_its_descriptors(
    place: Path, systemd: socket.socket, notifying: Notifying
) -> None:
    reader, writer = os.pipe()
    assert notifying(place).send(b"FDSTORE=1\nFDNAME=a", [writer])
    message, fds, _, _ = socket.recv_fds(systemd, 99, 4)
    assert (message, len(fds)) == (b"FDSTORE=1\nFDNAME=a", 1)
    os.write(fds[0], b"x")
    assert os.read(reader, 1) == b"x"
    for each in (reader, writer, *fds):
        os.close(each)


def test_a_notify_socket_that_was_replaced_is_connected_to_anew(
    place: Path, notifying: Notifying
) -> None:
    ours = notifying(place)
    with _listening(place):
        assert ours.send(b"X=1")
    place.unlink()
    assert not ours.send(b"X=2")
    with _listening(place) as second:
        assert ours.send(b"X=3")
        assert second.recv(9) == b"X=3"


def test_a_full_queue_is_waited_for_a_second_if_asked(
    place: Path, systemd: socket.socket, notifying: Notifying
) -> None:
    ours = notifying(place)
    sent = 0
    while ours.send(b"X=1"):
        sent += 1
        assert sent < 10_000
    begun = time.monotonic()
    assert not ours.send(b"LAST=1", waits=True)
    assert 0.9 < time.monotonic() - begun < 10
    drain = threading.Timer(0.1, lambda: [systemd.recv(9) for _ in range(sent)])
    drain.start()
    assert ours.send(b"LAST=1", waits=True)
    drain.join()
    assert systemd.recv(9) == b"LAST=1"


@pytest.mark.parametrize("whose", [{}, {b"WATCHDOG_PID": b"%d" % os.getpid()}])
def test_systemd_is_notified_twice_per_watchdog_interval(
    place: Path,
    systemd: socket.socket,
    monkeypatch: pytest.MonkeyPatch,
    whose: dict[bytes, bytes],
    notifying: Notifying,
) -> None:
    now = [50.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    watchdog = Watchdog(notifying(place), {b"WATCHDOG_USEC": b"30000000", **whose})
    told = []
    for _ in range(7):
        watchdog.tell_due()
        while message := _next(systemd):
            told.append((now[0], message))
        now[0] = max(min(now[0] + 5.0, *watchdog.due()), now[0] + 0.1)
    assert told == [(when, b"WATCHDOG=1") for when in (50.0, 65.0, 80.0)]


@pytest.mark.parametrize(
    "environment",
    [{}, {b"WATCHDOG_USEC": b"x"}, {b"WATCHDOG_USEC": b"3000000", b"WATCHDOG_PID": b"1"}],
)
def test_without_a_systemd_watchdog_nothing_is_sent_and_no_timer_runs(
    place: Path, systemd: socket.socket, environment: dict[bytes, bytes], notifying: Notifying
) -> None:
    watchdog = Watchdog(notifying(place), environment)
    watchdog.tell_due()
    assert watchdog.due() == []
    assert _next(systemd) == b""


def _next(systemd: socket.socket) -> bytes:
    try:
        return systemd.recv(99)
    except BlockingIOError:
        return b""

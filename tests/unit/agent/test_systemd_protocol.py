"""systemd's protocol for services: descriptors, messages, watchdog."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from typing import TYPE_CHECKING

import pytest

from runc_wrap.agent import systemd_protocol
from runc_wrap.agent.systemd_protocol import NamedDescriptor, Supervisor, Watchdog

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.unit.agent.conftest import Systemd

_SHOW = """
import os
from runc_wrap.agent import systemd_protocol
found = systemd_protocol.received(os.environb)
print([(each.name, os.read(each.fd, 9), os.get_inheritable(each.fd)) for each in found])
print(systemd_protocol.received({**os.environb, b"LISTEN_PID": b"1"}))
"""


@pytest.fixture
def notifying(systemd: Systemd) -> Iterator[Supervisor]:
    """The services' end."""
    with contextlib.closing(Supervisor({b"NOTIFY_SOCKET": os.fsencode(systemd.path)})) as made:
        yield made


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


def test_a_notify_socket_that_was_replaced_is_connected_to_anew(
    systemd: Systemd, notifying: Supervisor
) -> None:
    assert notifying.send(b"X=1")
    systemd.close()
    assert not notifying.send(b"X=2")
    systemd.listen()
    assert notifying.send(b"X=3")
    assert systemd.messages() == [b"X=3"]


def test_a_full_queue_is_waited_for_a_second_if_asked(
    systemd: Systemd, notifying: Supervisor
) -> None:
    sent = 0
    while notifying.send(b"X=1"):
        sent += 1
        assert sent < 10_000
    begun = time.monotonic()
    assert not notifying.send(b"LAST=1", waits=True)
    assert 0.9 < time.monotonic() - begun < 10
    drain = threading.Timer(0.1, lambda: [systemd.take() for _ in range(sent)])
    drain.start()
    assert notifying.send(b"LAST=1", waits=True)
    drain.join()
    assert systemd.messages() == [b"LAST=1"]


@pytest.mark.parametrize("whose", [{}, {b"WATCHDOG_PID": b"%d" % os.getpid()}])
def test_systemd_is_notified_twice_per_watchdog_interval(
    systemd: Systemd, clock: list[float], whose: dict[bytes, bytes], notifying: Supervisor
) -> None:
    watchdog = Watchdog(notifying, {b"WATCHDOG_USEC": b"30000000", **whose})
    told = []
    for _ in range(7):
        watchdog.tell_due()
        told += [(clock[0], message) for message in systemd.messages()]
        clock[0] = max(min(clock[0] + 5.0, *watchdog.due()), clock[0] + 0.1)
    assert told == [(when, b"WATCHDOG=1") for when in (100.0, 115.0, 130.0)]


@pytest.mark.parametrize(
    "environment",
    [{}, {b"WATCHDOG_USEC": b"x"}, {b"WATCHDOG_USEC": b"3000000", b"WATCHDOG_PID": b"1"}],
)
def test_without_a_systemd_watchdog_nothing_is_sent_and_no_timer_runs(
    systemd: Systemd, environment: dict[bytes, bytes], notifying: Supervisor
) -> None:
    watchdog = Watchdog(notifying, environment)
    watchdog.tell_due()
    assert (watchdog.due(), systemd.messages()) == ([], [])

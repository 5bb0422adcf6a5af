"""What a service has of its supervisor: descriptors, their store, watchdog, log, its command."""

import contextlib
import itertools
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from runc_wrap.agent import service_log, start_command, systemd_protocol
from runc_wrap.agent.descriptor_store import DescriptorStore
from runc_wrap.agent.systemd_protocol import Supervisor, Watchdog
from tests.unit.agent.conftest import Systemd

_SHOW = """
import os
from runc_wrap.agent import systemd_protocol
found = systemd_protocol.received(os.environb)
print([(name, os.read(fd, 9), os.get_inheritable(fd)) for name, fd in found])
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
    handed = [(f"n{at}", pairs[at][0]) for at in (2, 0, 1)]
    child = os.fork()
    if child == 0:
        with (tmp_path / "out").open("w") as file:
            os.dup2(file.fileno(), 1)
        environment = {**os.environb, b"PYTHONPATH": os.fsencode(os.pathsep.join(sys.path))}
        systemd_protocol.become([sys.executable, "-c", _SHOW], handed, environment)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    for fd in itertools.chain(*pairs):
        os.close(fd)
    expected = [(f"n{at}", b"%d" % at, False) for at in (2, 0, 1)]
    assert (tmp_path / "out").read_text() == f"{expected}\n[]\n"


def test_descriptors_for_another_process_are_ignored() -> None:
    for environment in ({}, {b"LISTEN_FDS": b"1"}, {b"LISTEN_FDS": b"x", b"LISTEN_PID": b"-1"}):
        assert systemd_protocol.received(environment) == []


def test_a_notify_socket_made_anew_is_connected_to(systemd: Systemd, notifying: Supervisor) -> None:
    assert notifying.send(b"X=1")
    systemd.taker.close()
    assert not notifying.send(b"X=2")
    systemd.path.unlink()
    again = Systemd(systemd.path)
    assert notifying.send(b"X=3")
    assert again.messages() == [b"X=3"]
    again.taker.close()


def test_a_full_queue_is_waited_for_if_asked(systemd: Systemd, notifying: Supervisor) -> None:
    sent = 0
    while notifying.send(b"X=1"):
        sent += 1
        assert sent < 10_000
    begun = time.monotonic()
    assert not notifying.send(b"LAST=1", waits=True)
    assert 0.9 < time.monotonic() - begun < 10
    drain = threading.Timer(0.1, systemd.messages, [sent])
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


def test_without_a_watchdog_nothing_is_sent(systemd: Systemd, notifying: Supervisor) -> None:
    others = {b"WATCHDOG_USEC": b"3000000", b"WATCHDOG_PID": b"1"}
    for environment in ({}, {b"WATCHDOG_USEC": b"x"}, others):
        watchdog = Watchdog(notifying, environment)
        watchdog.tell_due()
        assert (watchdog.due(), systemd.messages()) == ([], [])


Stores = Callable[..., DescriptorStore]


@pytest.fixture
def stores(systemd: Systemd) -> Iterator[Stores]:
    """Make stores at this address; their connections are closed afterwards."""
    made = []

    def make(most: bytes = b"9", held: Sequence[str] = ()) -> DescriptorStore:
        environment = {b"FDSTORE": most, b"NOTIFY_SOCKET": os.fsencode(systemd.path)}
        made.append(Supervisor(environment))
        return DescriptorStore(made[-1], environment, dict.fromkeys(held, 0))

    yield make
    for one in made:
        one.close()


def test_descriptors_are_stored_and_removed_by_name(systemd: Systemd, stores: Stores) -> None:
    """A connection whose runtime has hung up still holds its message: systemd must not drop it."""
    store = stores()
    store.put("seccomp-1", 0)
    store.put("arriving-2", 0, until_closed=True)
    store.remove("arriving-2")
    assert systemd.messages() == [
        b"FDSTORE=1\nFDNAME=seccomp-1",
        b"FDSTORE=1\nFDNAME=arriving-2\nFDPOLL=0",
        b"FDSTOREREMOVE=1\nFDNAME=arriving-2",
    ]


def test_a_descriptor_that_finds_no_room_is_reported_and_not_sent(
    systemd: Systemd, capfd: pytest.CaptureFixture[str], stores: Stores
) -> None:
    """Those count that were handed over, too."""
    store = stores(b"2", ["inflight", "notify"])
    store.put("seccomp-1", 0)
    assert capfd.readouterr().err == ""
    store.put("seccomp-2", 0)
    assert "holds 2 already: calls through seccomp-2 fail" in capfd.readouterr().err
    store.remove("seccomp-1")
    store.put("seccomp-3", 0)
    sent = [message.split(b"=")[-1] for message in systemd.messages()]
    assert sent == [b"seccomp-1", b"seccomp-1", b"seccomp-3"]


def test_what_found_no_answer_is_reported_and_stored_once_there_is_one(
    systemd: Systemd, stores: Stores, capfd: pytest.CaptureFixture[str]
) -> None:
    """Of those that have not ended meanwhile: else a restart fails calls of a container."""
    store = stores()
    aside = systemd.path.rename(systemd.path.with_name("aside"))
    store.remove("seccomp-0")  # this is repeated, too
    for name in ("seccomp-1", "seccomp-2", "seccomp-3"):
        store.put(name, 0)
        assert f"does not answer: calls through {name} fail" in capfd.readouterr().err
    store.put("arriving-4", 0, until_closed=True)  # its number may be another's soon
    store.put_late_ones()
    aside.rename(systemd.path)
    store.remove("seccomp-2")
    store.put_late_ones()
    store.put_late_ones()
    assert sorted(systemd.messages()) == [
        b"FDSTORE=1\nFDNAME=seccomp-1",
        b"FDSTORE=1\nFDNAME=seccomp-3",
        b"FDSTOREREMOVE=1\nFDNAME=seccomp-0",
        b"FDSTOREREMOVE=1\nFDNAME=seccomp-2",
    ]


def test_without_a_store_nothing_is_sent(systemd: Systemd, stores: Stores) -> None:
    for most in (b"0", b"", b"x"):
        store = stores(most)
        store.put("seccomp-1", 0)
        store.remove("seccomp-1")
        assert systemd.messages() == []


def test_of_too_many_the_last_are_late(systemd: Systemd, stores: Stores) -> None:
    """A release hands all to the next one, also what was not stored."""
    store = stores(b"2", ["inflight", "seccomp-2", "seccomp-1", "arriving-3"])
    names = ("seccomp-1", "seccomp-2", "arriving-3")
    assert [name in store.late for name in names] == [True, False, False]
    store.remove("seccomp-2")
    store.put_late_ones()
    assert systemd.messages()[-1] == b"FDSTORE=1\nFDNAME=seccomp-1"
    assert not stores(b"", ["seccomp-1"]).late


def test_what_is_said_is_one_line_whatever_a_name_has(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """The journal would take a line's own priority, and a terminal its escape sequences."""
    monkeypatch.setattr(service_log, "_SERVICE", "observe")
    for write in (service_log.say, service_log.warn):
        write("a\n<0>b\x1b[31m\udc80é")
        assert capfd.readouterr().err == "runc-wrap observe: a <0>b [31m é\n"


@pytest.mark.parametrize("used", ["python3.12", "python3.13"])
def test_the_agent_is_found_beside_what_another_python_left(tmp_path: Path, used: str) -> None:
    release = tmp_path / "lib" / "releases" / "2"
    for name in ("python3.12", "python3.13"):
        (release / "venv" / "lib" / name / "site-packages").mkdir(parents=True)
    start = release / "venv" / "lib" / used / "site-packages" / "runc_wrap" / "agent" / "start.py"
    start.parent.mkdir(parents=True)
    start.touch()
    (tmp_path / "lib" / "current").symlink_to("releases/2")
    words = start_command.command_anew(str(tmp_path), "decide")
    assert (tmp_path / words[-3]).resolve() == start

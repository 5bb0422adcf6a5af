"""systemd's protocol between the keeper and its workers."""

from __future__ import annotations

import os
import socket
import sys
import threading
from typing import TYPE_CHECKING

import pytest

from harness.host.processes import short_directory
from runc_wrap.agent import systemd_protocol
from runc_wrap.agent.supervisor import keeper
from runc_wrap.agent.systemd_protocol import Named

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

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
        yield found


def test_a_program_finds_the_descriptors_by_their_names(tmp_path: Path) -> None:
    """Some of them have numbers that collide."""
    pairs = [os.pipe() for _ in range(3)]
    for at, (_, writer) in enumerate(pairs):
        os.write(writer, b"%d" % at)
    handed = [Named(f"n{at}", pairs[at][0]) for at in (2, 0, 1)]
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


def test_a_message_arrives_with_its_sender_and_its_descriptors(place: Path) -> None:
    taker = systemd_protocol.listen(str(place / "s"))
    assert (place / "s").stat().st_mode & 0o777 == 0o600
    assert systemd_protocol.receive(taker) is None
    reader, writer = os.pipe()
    assert systemd_protocol.send(str(place / "s"), b"FDSTORE=1\nFDNAME=a=b", [writer])
    message = systemd_protocol.receive(taker)
    assert message
    assert (message.pid, message.uid) == (os.getpid(), os.getuid())
    assert (message.lines[0], message.value(b"FDNAME")) == (b"FDSTORE=1", "a=b")
    assert message.value(b"OTHER") == ""
    (fd,) = message.fds
    os.write(fd, b"x")
    assert os.read(reader, 1) == b"x"
    assert not os.get_inheritable(fd)
    for each in (reader, writer, fd):
        os.close(each)
    taker.close()


def test_an_abstract_address_is_written_as_systemd_does() -> None:
    name = f"runc-wrap-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as taker:
        taker.bind(f"\0{name}")
        assert systemd_protocol.send(f"@{name}", systemd_protocol.READY)
        assert taker.recv(99) == b"READY=1"


@pytest.mark.parametrize("address", ["", "/nowhere/at/all"])
def test_a_missing_notify_socket_is_not_an_error(address: str) -> None:
    assert not systemd_protocol.send(address, systemd_protocol.READY)


@pytest.mark.parametrize(
    ("name", "storable"),
    [
        ("seccomp-1", True),
        ("x" * 64, True),
        ("x" * 65, False),
        ("", False),
        ("decide", False),
        ("lock", False),
        ("keeper", False),
        ("a:b", False),
        ("a\nb", False),
        ("\u00e9", False),
    ],
)
def test_only_valid_descriptor_names_are_stored(name: str, storable: bool) -> None:
    assert keeper._is_storable(name) == storable  # noqa: SLF001 - hostile names never come from our own workers


def test_a_full_socket_is_waited_for_up_to_the_given_time(place: Path) -> None:
    address = str(place / "full")
    taker = systemd_protocol.listen(address)
    sent = 0
    while systemd_protocol.send(address, b"X=1"):
        sent += 1
        assert sent < 10_000
    assert not systemd_protocol.send(address, b"LAST=1", seconds=0.05)
    drain = threading.Timer(0.1, lambda: [systemd_protocol.receive(taker) for _ in range(sent)])
    drain.start()
    assert systemd_protocol.send(address, b"LAST=1", seconds=10)
    drain.join()
    last = systemd_protocol.receive(taker)
    assert last is not None
    assert last.lines == [b"LAST=1"]
    taker.close()

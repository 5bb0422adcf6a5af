"""A runtime's message, complete or in pieces, valid or not: a received listener is kept."""

import json
import os
import resource
import select
import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.host.processes import short_directory
from runc_wrap.agent.descriptor_store import DescriptorStore
from runc_wrap.agent.observe import call_arguments, listener_handover
from runc_wrap.agent.observe.listener_handover import Acceptor, Arrival
from runc_wrap.agent.systemd_protocol import Supervisor

STATE = {"id": "c1", "bundle": "/b", "pid": 5, "annotations": {"a": "b" * 100}}
MESSAGE = {"fds": ["seccompFd"], "pid": 7, "metadata": "runc-wrap/1", "state": STATE}
TOLD = {"id": "c1", "bundle": "/b", "pid": 7, "metadata": "runc-wrap/1"}
NOTHING = {"id": "", "bundle": "", "pid": 0, "metadata": ""}


Ends = tuple[socket.socket, Arrival]


@pytest.fixture
def ends() -> Iterator[Ends]:
    runtime, ours = socket.socketpair()
    arrival = Arrival(0, ours.detach())
    yield runtime, arrival
    runtime.close()
    if arrival.listener is not None:
        os.close(arrival.listener)
    arrival.end()


def send(runtime: socket.socket, text: bytes, count: int = 1) -> None:
    fds = [os.open("/dev/null", os.O_RDONLY) for _ in range(count)]
    socket.send_fds(runtime, [text], fds)
    for fd in fds:
        os.close(fd)


@pytest.mark.parametrize("text", [b"{", b"\xff\x00}", b"[1]}", b"[]", b'{"state": 5, "pid": true}'])
def test_a_listener_is_kept_despite_any_other_error(ends: Ends, text: bytes) -> None:
    runtime, arrival = ends
    send(runtime, text)
    runtime.close()
    for _ in range(3):
        arrival.read()
    assert arrival.is_whole
    assert arrival.listener is not None
    assert arrival.state() == NOTHING


def test_other_descriptors_that_are_sent_are_closed(ends: Ends) -> None:
    runtime, arrival = ends
    send(runtime, b"{}", 3)
    arrival.read()
    assert len(arrival.fds) == 3
    arrival.end()
    for fd in arrival.fds[1:]:
        with pytest.raises(OSError):
            os.fstat(fd)
    arrival.fds = arrival.fds[:1]


def test_an_endless_message_is_given_up(ends: Ends, monkeypatch: pytest.MonkeyPatch) -> None:
    runtime, arrival = ends
    monkeypatch.setattr(listener_handover, "LARGEST", 1000)
    send(runtime, b"x" * 600)
    arrival.read()
    first = arrival.is_whole
    runtime.send(b"x" * 600)
    arrival.read()
    assert (first, arrival.is_whole) == (False, True)


_json = st.recursive(
    st.none() | st.integers() | st.text(max_size=5) | st.just("EQ"),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=12,
)


@given(_json)
def test_metadata_of_any_form_are_harmless(told: Any) -> None:
    found = call_arguments.allowed(f"runc-wrap/1 {json.dumps(told)}")
    for groups in found.values():
        call_arguments.allows(groups, (0,) * 6, 0xFFFFFFFF)


def test_foreign_metadata_allow_nothing() -> None:
    own = 'runc-wrap/1 {"c000003e:135": [[[0, "EQ", 8, 0]]]}'
    assert call_arguments.allowed(own) == {(0xC000003E, 135): [[[0, "EQ", 8, 0]]]}
    without = own.removeprefix("runc-")
    for foreign in ("", "runc-wrap/1", "runc-wrap/2 {}", without, "runc-wrap/1 {\udc80"):
        assert call_arguments.allowed(foreign) == {}


class Door:
    """What is taken and kept of connections, and the runtimes' ends of them."""

    def __init__(self) -> None:
        self.poll = select.epoll()
        self.taken: list[Arrival] = []
        self.kept: list[int] = []
        self.runtimes: list[socket.socket] = []
        self.arrivals = listener_handover.Arrivals(
            self.poll, self.taken.append, lambda number, _: self.kept.append(number)
        )

    def connect(self, number: int, text: bytes = b"", listener: int | None = None) -> int:
        runtime, ours = socket.socketpair()
        self.runtimes.append(runtime)
        if text:
            send(runtime, text)
        arrival = Arrival(number, ours.detach())
        fd = arrival.connection.fileno()
        self.arrivals.add(arrival, listener)
        return fd


@pytest.fixture
def door() -> Iterator[Door]:
    one = Door()
    yield one
    for runtime in one.runtimes:
        runtime.close()
    for arrival in [*one.taken, *one.arrivals.by_fd.values()]:
        if arrival.listener is not None:
            os.close(arrival.listener)
        arrival.end()
    one.poll.close()


@pytest.mark.parametrize("end", [b"", b"\n"])  # runc's, crun's
def test_who_said_all_is_taken_at_once_after_its_listener_was_kept(door: Door, end: bytes) -> None:
    fd = door.connect(3, json.dumps(MESSAGE).encode() + end)
    assert ([one.number for one in door.taken], door.kept) == ([3], [3])
    assert fd not in door.arrivals.by_fd
    assert door.taken[0].state() == TOLD


def test_a_listener_is_kept_before_the_message_is_whole_and_only_once(door: Door) -> None:
    text = json.dumps(MESSAGE).encode()
    fd = door.connect(3, text[:10])
    copy = os.dup(fd)  # systemd's
    assert (door.taken, door.kept) == ([], [3])
    assert [one for one, _ in door.poll.poll(0)] == [fd]
    door.runtimes[0].send(text[10:])
    door.arrivals.read(fd)
    assert ([one.number for one in door.taken], door.kept) == ([3], [3])
    door.runtimes[0].close()
    assert door.poll.poll(0) == []
    os.close(copy)
    listener = os.open("/dev/null", os.O_RDONLY)  # one that was kept for one killed
    door.connect(4, listener=listener)
    assert (door.kept, [one.listener for one in door.arrivals.by_fd.values()]) == ([3], [listener])


def test_who_is_late_is_taken_as_it_is(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    door.connect(3)
    door.arrivals.give_up_late_ones()
    assert door.taken == []
    (due,) = door.arrivals.due()
    monkeypatch.setattr(time, "monotonic", lambda: due)
    door.arrivals.give_up_late_ones()
    assert ([one.listener for one in door.taken], len(door.arrivals.by_fd)) == ([None], 0)


def test_without_free_descriptors_a_connection_waits_in_the_queue() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    store = DescriptorStore(Supervisor({}), {}, {})
    with short_directory("door") as place, socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(place / "notify"))
        listening.listen()
        door = Acceptor(listening.fileno(), store, [4, 7])
        assert door.accept() is None
        with socket.socket(socket.AF_UNIX) as runtime:
            runtime.connect(str(place / "notify"))
            free = os.dup(0)
            os.close(free)
            resource.setrlimit(resource.RLIMIT_NOFILE, (free, hard))
            try:
                with pytest.raises(OSError, match="Too many open files"):
                    door.accept()
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            accepted = door.accept()
            assert accepted
            assert accepted[0] == 8
            os.close(accepted[1])
        door.listening.close()

"""Requests to the service observe to write: only root's, answered together, with a timeout."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from typing import TYPE_CHECKING

import pytest

from harness.host.processes import short_directory
from runc_wrap.agent.record import write_requests
from runc_wrap.agent.record.write_requests import Questions
from runc_wrap.host import socket_peers
from runc_wrap.node import agent_flush
from runc_wrap.node.paths import Places

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def place() -> Iterator[Path]:
    with short_directory("asked") as directory:
        (directory / "var/agent").mkdir(parents=True)
        yield directory


@pytest.fixture
def asked(place: Path) -> Iterator[Questions]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listening:
        listening.bind(str(place / "var/agent/evidence.sock"))
        listening.listen(64)
        made = Questions(listening.fileno())
        yield made
        made.close()


def asking(place: Path) -> socket.socket:
    made = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    made.settimeout(5)
    made.connect(str(place / "var/agent/evidence.sock"))
    return made


def test_one_write_answers_all_waiting_callers(place: Path, asked: Questions) -> None:
    assert (asked.asked, asked.due()) == (None, [])
    before = time.time()
    with asking(place) as one, asking(place) as other:
        asked.take()
        assert asked.asked is not None
        assert before <= asked.asked <= time.time()
        asked.answer(123.5)
        assert [each.recv(99) for each in (one, other)] == [b"runc-wrap/1\x00123.500\x00"] * 2
        assert [each.recv(99) for each in (one, other)] == [b"", b""]


def test_the_next_answer_comes_a_moment_after_the_last(place: Path, asked: Questions) -> None:
    with asking(place):
        asked.take()
        asked.answer(1.0)
    with asking(place):
        asked.take()
        assert asked.asked is None
        (due,) = asked.due()
        assert due == pytest.approx(
            time.monotonic() + write_requests.SOONEST, abs=write_requests.SOONEST / 2
        )


def test_other_users_are_disconnected(
    place: Path, asked: Questions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket_peers, "uid_of", lambda _: 4242)
    with asking(place) as one:
        asked.take()
        assert asked.asked is None
        assert one.recv(99) == b""


def test_callers_beyond_the_limit_wait_and_departed_ones_do_not_count(
    place: Path, asked: Questions
) -> None:
    for _ in range(write_requests.MOST):
        asking(place).close()
    with asking(place) as last:
        asked.take()
        asked.answer(1.0)
        asked.answer(2.0)
        assert last.recv(99) == b"runc-wrap/1\x002.000\0"


def test_a_request_times_out(
    place: Path, asked: Questions, monkeypatch: pytest.MonkeyPatch
) -> None:
    with asking(place):
        asked.take()
        assert not asked.is_late
        later = time.time() + write_requests.SECONDS
        monkeypatch.setattr(time, "time", lambda: later)
        assert asked.is_late


def test_a_command_reports_that_the_agent_does_not_answer(place: Path, asked: Questions) -> None:
    begin = time.monotonic()
    found = agent_flush.ask(Places(place), 0.2)
    assert 0.2 <= time.monotonic() - begin < 1.5
    assert found.note(1_700_000_000.0) == (
        "as of 2023-11-14T22:13:20Z: the agent did not answer within 0.2 seconds"
    )
    assert found.note(0.0) == ""  # nobody ever looked
    asked.take()


@pytest.mark.parametrize(
    ("until", "why"), [(1e11, ""), (1_700_000_000.0, "the agent could not write all in time")]
)
def test_a_command_reports_how_recent_the_data_is_if_not_all_was_written(
    place: Path, until: float, why: str
) -> None:
    with _answering(place, f"runc-wrap/1\0{until}\0".encode()):
        found = agent_flush.ask(Places(place), 5)
    assert (found.why, found.until) == (why, until)


def test_after_the_services_replacement_the_request_is_repeated(place: Path) -> None:
    with _answering(place, b"", b"nonsense", b"runc-wrap/1\0x\0", b"runc-wrap/1\x001e11\0"):
        assert agent_flush.ask(Places(place), 5).why == ""


def test_without_an_agent_a_command_does_not_wait(place: Path) -> None:
    begin = time.monotonic()
    assert agent_flush.ask(Places(place)).is_absent
    assert time.monotonic() - begin < 1


@contextlib.contextmanager
def _answering(place: Path, *packets: bytes) -> Iterator[None]:
    """Answer one connection after the other."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listening:
        listening.bind(str(place / "var/agent/evidence.sock"))
        listening.listen(8)

        def answer() -> None:
            for packet in packets:
                connection, _ = listening.accept()
                with connection:
                    connection.send(packet) if packet else None

        thread = threading.Thread(target=answer)
        thread.start()
        yield
        thread.join(10)

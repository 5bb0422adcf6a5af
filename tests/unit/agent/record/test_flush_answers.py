"""Only root may report an exec to the service observe, or ask it to write; it answers together."""

import contextlib
import os
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.host.processes import short_directory
from harness.node.requirements import requires
from runc_wrap.agent.record import flush_answers
from runc_wrap.agent.record.exec_notices import Executions, named
from runc_wrap.agent.record.flush_answers import Questions
from runc_wrap.evidence.attribution.ledger_containers import Known
from runc_wrap.host import socket_peers
from runc_wrap.node import flush_request
from runc_wrap.node.paths import Places
from tests.unit.evidence.samples import line, write_ledger

PYTHON = "/usr/bin/python3"  # one that every user can run
WORDS = b"runc-wrap/1\0/usr/bin/runc-wrap\0exec\0ID\0"
# Sends from a user namespace where it is uid 0, to a socket that every user may send to
AS_ROOT_OF_ITS_OWN = ["setpriv", "--reuid=4242", "--clear-groups", "unshare", "-U", "-r"]
AS_USER = ["setpriv", "--reuid=4242", "--clear-groups"]
SEND = "import socket, sys; s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM); "
SEND += "s.sendto(sys.argv[2].encode().replace(b'|', b'\\0'), sys.argv[1])"


@pytest.fixture
def door() -> Iterator[Path]:
    requires("setpriv", "unshare", PYTHON, root=True)
    with short_directory("told") as directory:
        directory.chmod(0o755)
        yield directory / "exec.sock"


@pytest.fixture
def told(door: Path) -> Iterator[Executions]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as bound:
        bound.bind(str(door))
        door.chmod(0o666)
        executions = Executions(bound.fileno())
        with executions.socket:
            yield executions


def _send(door: Path, text: bytes) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.sendto(text, str(door))


def test_roots_notices_have_pid_time_and_words(door: Path, told: Executions) -> None:
    before = time.time()
    _send(door, WORDS + b"\xff\0")
    ((pid, when, words),) = told.take()
    assert (pid, words) == (os.getpid(), ["exec", "ID", "\udcff"])
    assert before - 0.001 <= when <= time.time() + 0.001
    assert [*told.take()] == []


@pytest.mark.parametrize("user", [AS_USER, AS_ROOT_OF_ITS_OWN])
def test_notices_of_other_users_are_ignored(door: Path, told: Executions, user: list[str]) -> None:
    text = WORDS.replace(b"\0", b"|").decode()
    argv = [*user, PYTHON, "-I", "-S", "-c", SEND, str(door), text]
    subprocess.run(argv, check=True)
    _send(door, WORDS)
    ((pid, _, _),) = told.take()
    assert pid == os.getpid()


def test_foreign_datagrams_are_ignored(door: Path, told: Executions) -> None:
    odd = [b"", b"\0", WORDS[:-1], WORDS.replace(b"/1", b"/2"), b"runc-wrap/1", WORDS + b"x" * 5000]
    for text in odd:
        _send(door, text)
        assert [*told.take()] == []


KEY, DEFAULT = ("/run/test", "c1"), ("/run/runc", "c2")


def test_an_exec_names_its_container_by_root_and_id(tmp_path: Path) -> None:
    others = (line("c2", root="/run/runc"), line("c2", root=None), line("app"))
    containers = Known(write_ledger(tmp_path, line("c1"), *others))
    for words, key in (
        ("runc --root /run/test exec c1 true", KEY),
        ("runc --root=/run/test exec -d c1 true", KEY),
        ("runc -root /run/test --log /l --log-format json exec --process /p --detach c1", KEY),
        ("crun --root /run/test --systemd-cgroup exec --pid-file /c2 --tty c1", KEY),
        ("runc --root /run/test exec --user app --env=A=b -t c1 sh", KEY),
        ("runc --root /run/test exec -u app -c CAP_KILL c1 app", KEY),
        ("runc exec c2 true", DEFAULT),
        ("runc --root /run/test exec c1 c2", KEY),
        ("runc --root /run/test exec c3 sh", None),
        ("runc exec c1 true", None),  # the default root has no such container
        ("runc --root /run/other exec c1 true", None),
        ("runc --root exec exec", None),
    ):
        assert named(words.split(), containers) == key, words


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
        with made.listening:
            yield made
            made.answer(0.0)


def asking(place: Path) -> socket.socket:
    made = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    made.settimeout(5)
    made.connect(str(place / "var/agent/evidence.sock"))
    return made


def test_one_write_answers_all_waiting_callers(place: Path, asked: Questions) -> None:
    assert (asked.asked, asked.due()) == (None, [])
    before = time.time()
    asking(place).close()  # one that left keeps no answer from others
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
        (due,), soonest = asked.due(), flush_answers.SOONEST
        assert due == pytest.approx(time.monotonic() + soonest, abs=soonest / 2)


def test_other_users_are_disconnected(
    place: Path, asked: Questions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket_peers, "uid_of", lambda _: 4242)
    with asking(place) as one:
        asked.take()
        assert asked.asked is None
        assert one.recv(99) == b""


def test_a_request_expires(place: Path, asked: Questions, monkeypatch: pytest.MonkeyPatch) -> None:
    with asking(place):
        asked.take()
        assert not asked.is_late
        later = time.time() + flush_answers.SECONDS
        monkeypatch.setattr(time, "time", lambda: later)
        assert asked.is_late


def test_a_command_reports_that_the_agent_does_not_answer(place: Path, asked: Questions) -> None:
    begin = time.monotonic()
    found = flush_request.ask(Places(place), 0.2)
    assert 0.2 <= time.monotonic() - begin < 1.5
    assert found.note(1_700_000_000.0) == (
        "as of 2023-11-14T22:13:20Z: the agent did not answer within 0.2 seconds"
    )
    assert found.note(0.0) == ""  # nobody ever looked
    asked.take()


def test_a_request_is_repeated_after_a_replacement_and_tells_what_is_missing(place: Path) -> None:
    assert flush_request.ask(Places(place)).is_absent
    with _answering(place, b"", b"nonsense", b"runc-wrap/1\0x\0", b"runc-wrap/1\x001e11\0"):
        assert flush_request.ask(Places(place), 5).why == ""
    (place / "var/agent/evidence.sock").unlink()
    with _answering(place, b"runc-wrap/1\x001700000000\0"):
        found = flush_request.ask(Places(place), 5)
    assert found.why == "the agent could not write all in time"
    assert found.until == 1_700_000_000.0


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

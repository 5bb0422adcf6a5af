"""Only root may report an exec to the agent; the kernel supplies the sender's uid."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from harness.host.processes import short_directory
from harness.node.requirements import requires
from runc_wrap.agent.record.exec_notices import Executions, named
from runc_wrap.evidence.attribution.ledger_containers import Known
from tests.unit.evidence.samples import line, write_ledger

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from runc_wrap.hotpath.ledger_file import Key

PYTHON = "/usr/bin/python3"  # one that every user can run
WORDS = b"runc-wrap/1\0/usr/bin/runc-wrap\0exec\0ID\0"
# Sends from a user namespace where it is uid 0, to a socket that every user may send to
AS_ROOT_OF_ITS_OWN = ["setpriv", "--reuid=4242", "--clear-groups", "unshare", "-U", "-r"]
AS_USER = ["setpriv", "--reuid=4242", "--clear-groups"]
SEND = "import socket, sys; s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM); "
SEND += "s.sendto(sys.argv[2].encode().replace(b'|', b'\\0'), sys.argv[1])"


@pytest.fixture
def place() -> Iterator[Path]:
    requires("setpriv", "unshare", PYTHON, root=True)
    with short_directory("told") as directory:
        directory.chmod(0o755)
        yield directory / "exec.sock"


@pytest.fixture
def told(place: Path) -> Iterator[Executions]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as bound:
        bound.bind(str(place))
        place.chmod(0o666)
        with closing(Executions(bound.fileno())) as executions:
            yield executions


def _send(place: Path, text: bytes) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.sendto(text, str(place))


def test_roots_notices_have_pid_time_and_words(place: Path, told: Executions) -> None:
    before = time.time()
    _send(place, WORDS)
    ((pid, when, words),) = told.take()
    assert (pid, words) == (os.getpid(), ["exec", "ID"])
    assert before - 0.001 <= when <= time.time() + 0.001
    assert [*told.take()] == []


@pytest.mark.parametrize("user", [AS_USER, AS_ROOT_OF_ITS_OWN])
def test_notices_of_other_users_are_ignored(place: Path, told: Executions, user: list[str]) -> None:
    text = WORDS.replace(b"\0", b"|").decode()
    argv = [*user, PYTHON, "-I", "-S", "-c", SEND, str(place), text]
    subprocess.run(argv, check=True)
    _send(place, WORDS)
    ((pid, _, _),) = told.take()
    assert pid == os.getpid()


@pytest.mark.parametrize(
    "text",
    [b"", b"\0", WORDS[:-1], WORDS.replace(b"/1", b"/2"), b"runc-wrap/1", WORDS + b"x" * 5000],
)
def test_foreign_datagrams_are_ignored(place: Path, told: Executions, text: bytes) -> None:
    _send(place, text)
    assert [*told.take()] == []


def test_words_need_not_be_text(place: Path, told: Executions) -> None:
    _send(place, WORDS + b"\xff\0")
    ((_, _, words),) = told.take()
    assert words == ["exec", "ID", "\udcff"]


KEY, DEFAULT = ("/run/test", "c1"), ("/run/runc", "c2")


@pytest.fixture
def containers(tmp_path: Path) -> Known:
    default = line("c2", root="/run/runc")
    return Known(write_ledger(tmp_path, line("c1"), default, line("c2", root=None), line("app")))


@pytest.mark.parametrize(
    ("words", "key"),
    [
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
    ],
)
def test_an_exec_names_its_container_by_root_and_id(
    containers: Known, words: str, key: Key | None
) -> None:
    assert named(words.split(), containers) == key

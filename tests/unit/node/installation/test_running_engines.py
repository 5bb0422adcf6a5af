"""Whether containerd runs is told by its program and its socket, which nobody else can have."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from harness.host.processes import short_directory
from runc_wrap.host import program
from runc_wrap.node.installation import running_engines
from tests.unit.node import machine

if TYPE_CHECKING:
    from collections.abc import Iterator

TICKS = 0.02  # seconds: the kernel counts a process' start in ticks
LISTENS = """
import socket, sys
listening = socket.socket(socket.AF_UNIX)
listening.bind(sys.argv[1])
listening.listen()
print(flush=True)
sys.stdin.read()
"""


@pytest.fixture(name="programs")
def directory_of_programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only place where programs are looked up; no engine has a socket."""
    monkeypatch.setattr(running_engines, "SOCKETS", ())
    return machine.empty(tmp_path, monkeypatch)


def _copy(directory: Path) -> Path:
    """Return a program with the name containerd that waits for its input's end."""
    directory.mkdir(exist_ok=True)
    return Path(shutil.copy(Path("/bin/cat").resolve(), directory / "containerd"))


@contextmanager
def _running(*words: str | Path) -> Iterator[subprocess.Popen[bytes]]:
    if os.geteuid():
        pytest.skip("only root's processes count")
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        try:
            yield process
        finally:
            process.kill()


def test_a_process_of_that_name_is_not_containerd(programs: Path, tmp_path: Path) -> None:
    _copy(programs)
    with _running(_copy(tmp_path / "others")):
        assert running_engines.containerds() == set()


def test_the_installed_program_is(programs: Path) -> None:
    with _running(_copy(programs)) as process:
        assert running_engines.containerds() == {process.pid}


def test_it_still_is_after_an_upgrade_replaced_its_file(programs: Path) -> None:
    with _running(_copy(programs)) as process:
        (programs / "containerd").unlink()
        _copy(programs)
        assert running_engines.containerds() == {process.pid}


def test_a_replaced_program_of_another_mount_namespace_is_not(programs: Path) -> None:
    """A container chooses what is at that path there."""
    path = _copy(programs)
    with _running("/usr/bin/unshare", "--mount", path) as process:
        _wait_for(path, process.pid)
        assert running_engines.containerds() == {process.pid}
        path.unlink()
        _copy(programs)
        assert running_engines.containerds() == set()


def _wait_for(path: Path, pid: int) -> None:
    until = time.monotonic() + 60
    while Path(f"/proc/{pid}/exe").readlink() != path:
        assert time.monotonic() < until
        time.sleep(0.01)


@pytest.mark.usefixtures("programs")
def test_what_serves_its_socket_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """k3s has its own containerd, in a directory of its release."""
    with short_directory("engine") as directory:
        address = str(directory / "containerd.sock")
        monkeypatch.setattr(running_engines, "SOCKETS", (address,))
        assert running_engines.containerds() == set()
        with _running("/usr/bin/python3", "-c", LISTENS, address) as process:
            assert process.stdout
            process.stdout.readline()
            assert running_engines.containerds() == {process.pid}


def test_only_one_that_was_started_before_has_an_older_configuration(programs: Path) -> None:
    begun = time.time()
    with _running(_copy(programs)):
        assert running_engines.has_older_containerd(time.time() + TICKS)
        assert not running_engines.has_older_containerd(begun - TICKS)


@pytest.mark.usefixtures("programs")
def test_a_crio_that_was_started_before_still_calls_a_removed_handler(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    begun = time.time()
    with short_directory("engine") as directory:
        address = str(directory / "crio.sock")
        monkeypatch.setattr(running_engines, "CRIO_SOCKET", address)
        assert not running_engines.has_older_crio(time.time() + 60)
        with _running("/usr/bin/python3", "-c", LISTENS, address) as process:
            assert process.stdout
            process.stdout.readline()
            assert running_engines.has_older_crio(time.time() + 60)
            assert not running_engines.has_older_crio(begun - TICKS)


@pytest.mark.parametrize(
    ("printed", "has"),
    [
        ('{"a": {"path": "/p/bin/strict"}}', True),
        ('{"a": {"path": "/p/bin/other"}}', False),
        ("null", False),
        ("", False),
        ("Warning: it is late", True),  # unknown: the path stays, and leads to the real runtime
        ('["/p/bin/other"]', True),
    ],
)
def test_a_path_stays_if_docker_has_it_or_does_not_say_so_clearly(
    printed: str, programs: Path, *, has: bool
) -> None:
    machine.fake(programs, "docker", f"echo '{printed}'")
    assert running_engines.docker_has("/p/bin/strict") is has


@pytest.mark.usefixtures("programs")
def test_without_docker_no_path_stays_for_it() -> None:
    assert not running_engines.docker_has("/p/bin/strict")


def test_a_users_process_of_the_installed_program_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """Anybody may run it; only root's has the node's containers."""
    if os.geteuid():
        pytest.skip("only root becomes another user")
    monkeypatch.setattr(running_engines, "SOCKETS", ())
    with short_directory("engine") as directory:
        directory.chmod(0o755)
        monkeypatch.setattr(program, "FIXED_PATH", (str(directory),))
        words, user = [_copy(directory)], 12345
        with subprocess.Popen(words, stdin=subprocess.PIPE, user=user, group=user, cwd="/"):
            assert running_engines.containerds() == set()
        with _running(_copy(directory)) as process:
            assert running_engines.containerds() == {process.pid}


def test_one_that_has_ended_meanwhile_is_not_older(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running_engines, "containerds", lambda: {1 << 22})
    assert not running_engines.has_older_containerd(time.time() + TICKS)

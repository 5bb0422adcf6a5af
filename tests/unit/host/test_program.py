"""Programs that are run to their end, and waiting: time, what is printed, the environment."""

import hashlib
import os
import signal
from pathlib import Path
from types import SimpleNamespace

import pytest

from harness.host.processes import wait_until
from runc_wrap.host import program
from tests.unit.node import machine


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return machine.empty(tmp_path, monkeypatch)


def test_a_program_that_its_caller_gives_up_is_killed(folder: Path) -> None:
    machine.fake(folder, "docker", "exec sleep 300")
    ended = program.run("docker", "info", seconds=500, is_given_up=lambda: True)
    assert (ended.status, ended.said) == (program.GIVEN_UP, "`docker info` was interrupted")


def test_what_prints_without_end_is_killed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(program, "_LARGEST", 1 << 16)
    machine.fake(folder, "docker", "exec head -c 65536 /dev/zero")
    assert program.output("docker") == "\0" * 65536
    machine.fake(folder, "docker", "exec yes")
    ended = program.run("docker", "info", seconds=500)
    assert ended.said == "`docker info` printed more than 65536 bytes"
    machine.fake(folder, "docker", "yes >&2 & echo $! >$1; wait")
    child = folder.with_name("child")
    ended = program.run("docker", str(child), seconds=500)
    os.kill(int(child.read_text()), signal.SIGKILL)
    assert not ended.is_well


@pytest.mark.parametrize(
    ("stream", "end"),
    [*((stream, "exit 0") for stream in ("", ">&2", ">>/dev/stdout")),
     *(("", end) for end in ("exit 3", "exec sleep 300", "exec cat /dev/zero"))],
)  # fmt: skip
def test_what_a_program_started_cannot_print_on_when_it_has_ended(
    folder: Path, monkeypatch: pytest.MonkeyPatch, end: str, stream: str
) -> None:
    """Its output is in memory, and would grow as long as that child likes."""
    monkeypatch.setattr(program, "_LARGEST", 1 << 22)
    begun, refused = folder.with_name("begun"), folder.with_name("refused")
    loop = f"while echo on; do sleep 0.01; done {stream}"
    child = f"sh -c 'echo on; echo >{begun}; {loop}; echo >{refused}'"
    machine.fake(folder, "docker", f"{child} &\nwhile ! [ -e {begun} ]; do :; done\n{end}")
    ended = program.run("docker", seconds=2 if "sleep" in end else 100)
    assert ended.is_well is (end == "exit 0")
    wait_until(refused.exists, "its end", 60)


def test_a_program_may_open_its_output_again(folder: Path) -> None:
    machine.fake(folder, "docker", "echo one >>/dev/stderr; echo two >>/dev/stdout; cat; exit 3")
    ended = program.run("docker", seconds=100, stdin=b"three")
    assert (ended.status, ended.printed, ended.said) == (3, "two\nthree", "one")


def test_a_program_may_take_its_time_over_what_it_is_given(folder: Path) -> None:
    given = os.urandom(1 << 20)  # more than a pipe holds
    machine.fake(folder, "docker", "sleep 1; sha256sum; sleep 1")
    ended = program.run("docker", seconds=100, stdin=given)
    assert ended.printed.split()[0] == hashlib.sha256(given).hexdigest()


def test_no_variable_leads_a_program_away(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "tcp://another.example")
    monkeypatch.setenv("HOME", "/root")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    machine.fake(folder, "docker", "echo $DOCKER_HOST $HOME $PATH $LC_ALL $DOCKER_CONTEXT")
    path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    assert program.output("docker") == f"/nonexistent {path} C.UTF-8 default\n"
    assert program.run("docker", seconds=9, environment={"HOME": "/x"}).printed[:2] == "/x"


@pytest.mark.parametrize(("owner", "home"), [(0, program.NO_HOME), (65534, "/home/u")])
def test_a_user_who_is_root_in_a_namespace_of_their_own_keeps_what_leads_to_their_containers(
    monkeypatch: pytest.MonkeyPatch, owner: int, home: str
) -> None:
    monkeypatch.setenv("HOME", "/home/u")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(os, "stat", lambda _: SimpleNamespace(st_uid=owner))
    assert program.made_environment()["HOME"] == home

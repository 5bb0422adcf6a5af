"""The launcher and the agent: a clear answer is obeyed, any other takes the cold path.

The agent belongs to the test. Each test runs with the launcher as installed and with one built with
AddressSanitizer and UBSan, which end it with a report at the first fault.
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from harness.containers.bundles import Bundle
from harness.host.processes import attempt, short_directory, wait_until
from harness.node import install, launchers
from harness.node.agent import socket_of
from harness.node.launchers import VERSION, agent, identity, message
from tests.runtime.launcher.test_exec_runtime import Probed, inheritable

Answer = list[bytes]
BLOCK = {"defaultAction": "SCMP_ACT_ALLOW"}


@pytest.fixture(scope="session")
def sanitized(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("sanitized") / "runc-wrap"
    return launchers.compiled(target, *launchers.SANITIZED)


@pytest.fixture(params=["installed", "sanitized"])
def node(
    request: pytest.FixtureRequest, installed: install.Installed, sanitized: Path
) -> Iterator[install.Installed]:
    """An installation whose path leaves room for the socket's name."""
    with short_directory("agent") as directory:
        own = install.copy_of(installed, directory / "p")
        if request.param == "sanitized":
            own.wrapper.unlink()
            shutil.copy(sanitized, own.wrapper)
        yield own


@pytest.fixture
def probed(node: install.Installed, bundle: Bundle, built: Callable[[str], Path]) -> Probed:
    install.use_runtime(node, built("probe"))
    return Probed(node, bundle)


@pytest.fixture
def no_python(probed: Probed) -> Probed:
    """The cold path refuses, so a create that succeeds has not started Python."""
    (probed.node.prefix / "lib" / "current").unlink()
    return probed


def _go(config: Path) -> Answer:
    return [message(VERSION, "go", config, *identity(config))]


def _rename(config: Path) -> Answer:
    """Write the new config beside the old one, as the agent does."""
    new = config.with_name(".new")
    changed = json.loads(config.read_text())
    changed["linux"]["seccomp"] = BLOCK
    new.write_text(json.dumps(changed))
    return [message(VERSION, "rename", config, *identity(config), new, config, identity(new)[1])]


def test_an_answer_that_takes_a_moment_is_waited_for(no_python: Probed) -> None:
    """tests/runtime/agent/test_waits.py shows that none is waited for long."""

    def answer(_: list[bytes]) -> Answer:
        time.sleep(0.025)  # the kernel rounds a wait up to its tick
        return _go(no_python.bundle.config)

    with agent(no_python.node, answer):
        no_python.same()


@pytest.mark.parametrize("run_directory", [None, "", "/run/user/\udcff=0"])
def test_the_agent_gets_the_unchanged_arguments(probed: Probed, run_directory: str | None) -> None:
    """And XDG_RUNTIME_DIR, in which crun keeps its state: the agent may not read where we run."""
    odd = os.fsdecode(b"\xff\xfe")
    words = ["--log", "", *probed.create, odd]
    entry = "" if run_directory is None else f"XDG_RUNTIME_DIR={run_directory}"
    environment = dict([entry.split("=", 1)] if entry else [])
    with agent(probed.node, lambda _: [message(VERSION, "cold")]) as asked:
        attempt([probed.node.wrapper, *words], env=environment)
    first = [VERSION, b"runc", os.fsencode(entry), os.fsencode(probed.node.wrapper)]
    assert asked.requests == [[*first, *map(os.fsencode, words)]]


@pytest.mark.parametrize("make", [_go, _rename])
def test_the_answer_is_obeyed_and_the_runtime_gets_the_same_process_state_as_without_us(
    no_python: Probed, make: Callable[[Path], Answer]
) -> None:
    bundle = no_python.bundle
    before = bundle.config.read_bytes()
    environment = {"PATH": "/nowhere", "LC_CTYPE": "C", "EMPTY": ""}
    with inheritable(3) as fds, agent(no_python.node, lambda _: make(bundle.config)) as asked:
        seen = no_python.same(pass_fds=fds, env=environment)
    assert seen["argv"][0] == str((no_python.node.prefix / "lib/runtime/runc").readlink())
    assert len(asked.requests) == 1
    assert (bundle.config.read_bytes() == before) == (make is _go)
    assert bundle.read()["linux"].get("seccomp") == (BLOCK if make is _rename else None)
    assert not bundle.config.with_name(".new").exists()


Spoil = Callable[[Path], Answer]


def _edited(change: Callable[[list[bytes]], object], make: Callable[[Path], Answer]) -> Spoil:
    """A valid answer with one change to its fields."""

    def spoil(config: Path) -> Answer:
        fields = make(config)[0].split(b"\0")[:-1]
        change(fields)
        return [message(*fields)]

    return spoil


def _field(number: int, value: str | bytes, make: Callable[[Path], Answer] = _rename) -> Spoil:
    return _edited(lambda fields: fields.__setitem__(number, message(value)[:-1]), make)


# How an answer is parsed: tests/launcher/test_fuzz.py. Here is what becomes of one of each kind.
COLD: dict[str, Spoil] = {
    "cold": lambda _: [message(VERSION, "cold")],
    "closed without an answer": lambda _: [],
    "an empty message": lambda _: [b""],
    "garbage": lambda _: [bytes(range(256))],
    "another version": _field(0, "runc-wrap/2"),
    "go with the fields of rename": _field(1, "go"),
    "truncated": lambda config: [_rename(config)[0][:-1]],
    "a thousand fields more": _edited(lambda fields: fields.extend([b""] * 1000), _go),
    "a relative path": _field(2, "config.json"),
    "a relative temporary": _field(5, ".new"),
    "a path that is not there": _field(2, "/nowhere/config.json"),
    "another device": _field(3, "1"),
    "another inode": _field(4, "1"),
    "another inode to go": _field(4, "1", _go),
    "a temporary that is not there": _field(5, "/nowhere/.new"),
    "a place that is not there": _field(6, "/nowhere/config.json"),
    "another new inode": _field(7, "1"),
    "another place": _edited(lambda f: f.__setitem__(6, f[6] + b".other"), _rename),
    "larger than any answer": lambda config: [_go(config)[0] + b"\0" * 70_000],
    "garbage, then an answer": lambda config: [b"garbage", *_go(config)],
}


@pytest.mark.parametrize("case", COLD)
def test_anything_but_a_clear_answer_takes_the_cold_path(probed: Probed, case: str) -> None:
    with agent(probed.node, lambda _: COLD[case](probed.bundle.config)) as asked:
        probed.same()
    assert len(asked.requests) == 1
    assert [line["via"] for line in probed.node.ledger()] == ["cold"]  # the launcher writes none
    assert probed.is_confined


def test_a_refused_connection_takes_the_cold_path(probed: Probed) -> None:
    launchers.listening(probed.node).close()
    probed.same()
    assert probed.is_confined


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM])
def test_a_socket_of_another_type_takes_the_cold_path(
    probed: Probed, kind: socket.SocketKind
) -> None:
    path = socket_of(probed.node.prefix)
    path.parent.mkdir()
    with socket.socket(socket.AF_UNIX, kind) as other:
        other.bind(str(path))
        probed.same()
    assert probed.is_confined


def test_another_users_agent_is_not_trusted(probed: Probed) -> None:
    launchers.listening(probed.node).close()
    path = socket_of(probed.node.prefix)
    path.unlink()
    answer = _go(probed.bundle.config)[0]
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(str(path))
        os.seteuid(65534)  # whose socket it is, is settled when it listens
        try:
            listener.listen()
        finally:
            os.seteuid(0)
        process = subprocess.Popen([probed.node.wrapper, *probed.create], stdout=subprocess.DEVNULL)
        with listener.accept()[0] as connection:
            assert connection.recv(1 << 16) == b""
            with pytest.raises(BrokenPipeError):
                connection.send(answer)
        assert process.wait(30) == 0
    assert probed.is_confined


def test_stopping_the_agent_in_between_loses_no_create(probed: Probed) -> None:
    """Stopped and continued, a wait with a time limit is not resumed by the kernel (signal(7)).

    tests/runtime/agent/test_waits.py checks how long others wait.
    """
    with agent(probed.node, lambda _: [], hold=True) as asked:
        process = subprocess.Popen([probed.node.wrapper, *probed.create], stdout=subprocess.DEVNULL)
        wait_until(lambda: len(asked.requests) > 0, "the request")
        process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, process.pid, os.WSTOPPED)
        process.send_signal(signal.SIGCONT)
        assert process.wait(60) == 0
    assert probed.is_confined


def test_a_request_that_is_too_large_is_not_sent(probed: Probed) -> None:
    command, *rest = probed.create
    with agent(probed.node, lambda _: _go(probed.bundle.config)) as asked:
        probed.same([command, *["--pid-file", "x" * 1000] * 70, *rest])
    assert asked.requests == []
    assert probed.is_confined


def test_a_socket_whose_path_is_too_long_is_not_used(
    installed: install.Installed, bundle: Bundle, built: Callable[[str], Path], tmp_path: Path
) -> None:
    probed = Probed(install.copy_of(installed, tmp_path / ("long" * 25)), bundle)
    install.use_runtime(probed.node, built("probe"))
    with agent(probed.node, lambda _: _go(bundle.config)) as asked:
        probed.same()
    assert asked.requests == []
    assert probed.is_confined


def test_closed_standard_descriptors_stay_closed(no_python: Probed) -> None:
    def close() -> None:
        os.close(0)
        os.close(2)

    with agent(no_python.node, lambda _: _go(no_python.bundle.config)):
        seen = no_python.same(preexec_fn=close)
    assert {fd.partition(" ")[0] for fd in seen["fd"]}.isdisjoint("02")


def test_the_cold_path_reports_a_runtime_that_cannot_be_started(
    node: install.Installed, bundle: Bundle
) -> None:
    broken = node.prefix / "not-a-program"
    broken.write_bytes(b"\x7fELF nonsense")
    broken.chmod(0o755)
    install.use_runtime(node, broken)
    with agent(node, lambda _: _go(bundle.config)) as asked:
        done = attempt(bundle.argv(node.wrapper, "create"))
    assert len(asked.requests) == 1
    assert done.returncode == 1
    assert "cannot be executed" in json.loads(bundle.log.read_text())["msg"]

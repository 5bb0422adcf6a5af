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

from harness.containers import bundles
from harness.containers.bundles import Bundle
from harness.host.processes import short_directory, wait_until
from harness.node import install, launchers
from harness.node.launchers import VERSION, agent, identity, message
from tests.runtime.launcher.test_exec_runtime import _same

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
def probed(node: install.Installed, built: Callable[[str], Path]) -> install.Installed:
    """The same with the probe as its runtime."""
    install.use_runtime(node, built("probe"))
    return node


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return bundles.make(tmp_path / "bundle", "runc")


def _words(bundle: Bundle) -> list[str]:
    return ["create", "--bundle", str(bundle.path), "ID"]


def _confined(bundle: Bundle) -> bool:
    return "seccomp" in bundle.read()["linux"]


def _deciders(node: install.Installed) -> list[str]:
    """Return who decided each create so far; the launcher itself writes no line."""
    ledger = node.prefix / "var" / "ledger" / "ledger.jsonl"
    lines = ledger.read_text().splitlines() if ledger.exists() else []
    return [json.loads(line)["via"] for line in lines]


def _without_python(node: install.Installed) -> None:
    """From here on the cold path refuses, so a create that succeeds has not started Python."""
    (node.prefix / "lib" / "current").unlink()


def _go(config: Path) -> Answer:
    return [message(VERSION, "go", config, *identity(config))]


def _rename(config: Path) -> Answer:
    """Write the new config beside the old one, as the agent does."""
    new = config.with_name(".new")
    changed = json.loads(config.read_text())
    changed["linux"]["seccomp"] = BLOCK
    new.write_text(json.dumps(changed))
    return [message(VERSION, "rename", config, *identity(config), new, config, identity(new)[1])]


def test_an_answer_that_takes_a_moment_is_waited_for(
    probed: install.Installed, bundle: Bundle
) -> None:
    """tests/runtime/agent/test_waits.py shows that none is waited for long."""
    _without_python(probed)

    def answer(_: list[bytes]) -> Answer:
        time.sleep(0.025)  # the kernel rounds a wait up to its tick
        return _go(bundle.config)

    with agent(probed, answer):
        _same(probed, _words(bundle))


@pytest.mark.parametrize("run_directory", [None, "", "/run/user/\udcff=0"])
def test_the_agent_receives_the_unchanged_arguments(
    probed: install.Installed, bundle: Bundle, run_directory: str | None
) -> None:
    """And XDG_RUNTIME_DIR, in which crun keeps its state: the agent may not read where we run."""
    odd = os.fsdecode(b"\xff\xfe")
    words = ["--log", "", *_words(bundle), odd]
    entry = "" if run_directory is None else f"XDG_RUNTIME_DIR={run_directory}"
    environment = dict([entry.split("=", 1)] if entry else [])
    with agent(probed, lambda _: [message(VERSION, "cold")]) as asked:
        subprocess.run(
            [probed.wrapper, *words], capture_output=True, check=False, timeout=30, env=environment
        )
    first = [VERSION, b"runc", os.fsencode(entry), os.fsencode(probed.wrapper)]
    assert asked.requests == [[*first, *map(os.fsencode, words)]]


@pytest.mark.parametrize("make", [_go, _rename])
def test_the_answer_is_obeyed_and_the_runtime_gets_the_same_process_state_as_without_us(
    probed: install.Installed, bundle: Bundle, make: Callable[[Path], Answer]
) -> None:
    before = bundle.config.read_bytes()
    _without_python(probed)
    descriptors = [os.open("/dev/null", os.O_RDONLY) for _ in range(3)]
    try:
        for descriptor in descriptors:
            os.set_inheritable(descriptor, True)
        environment = {"PATH": "/nowhere", "LC_CTYPE": "C", "EMPTY": ""}
        with agent(probed, lambda _: make(bundle.config)) as asked:
            words = _words(bundle)
            seen = _same(probed, words, pass_fds=descriptors, env=environment)
    finally:
        for descriptor in descriptors:
            os.close(descriptor)
    assert seen["argv"][0] == str((probed.prefix / "lib/runtime/runc").readlink())
    assert len(asked.requests) == 1
    assert (bundle.config.read_bytes() == before) == (make is _go)
    assert bundle.read()["linux"].get("seccomp") == (BLOCK if make is _rename else None)
    assert not bundle.config.with_name(".new").exists()


@pytest.mark.parametrize("words", [["state", "ID"], ["--root", "/r", "kill", "create"], []])
def test_other_commands_do_not_ask_the_agent(probed: install.Installed, words: list[str]) -> None:
    with agent(probed, lambda _: []) as asked:
        subprocess.run([probed.wrapper, *words], capture_output=True, check=True, timeout=30)
    assert asked.requests == []


def test_without_a_runtime_the_agent_is_not_asked(node: install.Installed, bundle: Bundle) -> None:
    install.use_runtime(node, node.wrapper)
    with agent(node, lambda _: _go(bundle.config)) as asked:
        done = subprocess.run(
            [node.wrapper, *_words(bundle)], capture_output=True, text=True, check=False, timeout=30
        )
    assert (done.returncode, asked.requests) == (1, [])
    assert "is runc-wrap itself" in done.stderr


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
def test_anything_but_a_clear_answer_takes_the_cold_path(
    probed: install.Installed, bundle: Bundle, case: str
) -> None:
    before = len(_deciders(probed))
    with agent(probed, lambda _: COLD[case](bundle.config)) as asked:
        _same(probed, _words(bundle))
    assert len(asked.requests) == 1
    assert _deciders(probed)[before:] == ["cold"]
    assert _confined(bundle)


def test_a_refused_connection_takes_the_cold_path(
    probed: install.Installed, bundle: Bundle
) -> None:
    launchers.listening(probed).close()
    _same(probed, _words(bundle))
    assert _confined(bundle)


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM])
def test_a_socket_of_another_type_takes_the_cold_path(
    probed: install.Installed, bundle: Bundle, kind: socket.SocketKind
) -> None:
    path = probed.prefix / "var" / "agent" / "decide.sock"
    path.parent.mkdir()
    with socket.socket(socket.AF_UNIX, kind) as other:
        other.bind(str(path))
        _same(probed, _words(bundle))
    assert _confined(bundle)


def test_another_users_agent_is_not_trusted(probed: install.Installed, bundle: Bundle) -> None:
    launchers.listening(probed).close()
    path = probed.prefix / "var" / "agent" / "decide.sock"
    path.unlink()
    answer = _go(bundle.config)[0]
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(str(path))
        os.seteuid(65534)  # whose socket it is, is settled when it listens
        try:
            listener.listen()
        finally:
            os.seteuid(0)
        process = subprocess.Popen([probed.wrapper, *_words(bundle)], stdout=subprocess.DEVNULL)
        with listener.accept()[0] as connection:
            assert connection.recv(1 << 16) == b""
            with pytest.raises(BrokenPipeError):
                connection.send(answer)
        assert process.wait(30) == 0
    assert _confined(bundle)


def test_stopping_the_agent_in_between_loses_no_create(
    probed: install.Installed, bundle: Bundle
) -> None:
    """Stopped and continued, a wait with a time limit is not resumed by the kernel (signal(7)).

    tests/runtime/agent/test_waits.py checks how long others wait.
    """
    with agent(probed, lambda _: [], hold=True) as asked:
        process = subprocess.Popen([probed.wrapper, *_words(bundle)], stdout=subprocess.DEVNULL)
        wait_until(lambda: len(asked.requests) > 0, "the request")
        process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, process.pid, os.WSTOPPED)
        process.send_signal(signal.SIGCONT)
        assert process.wait(60) == 0
    assert _confined(bundle)


def test_a_request_that_is_too_large_is_not_sent(probed: install.Installed, bundle: Bundle) -> None:
    words = ["create", *["--pid-file", "x" * 1000] * 70, "--bundle", str(bundle.path), "ID"]
    with agent(probed, lambda _: _go(bundle.config)) as asked:
        _same(probed, words)
    assert asked.requests == []
    assert _confined(bundle)


def test_a_socket_whose_path_is_too_long_is_not_used(
    installed: install.Installed, bundle: Bundle, built: Callable[[str], Path], tmp_path: Path
) -> None:
    own = install.copy_of(installed, tmp_path / ("long" * 25))
    install.use_runtime(own, built("probe"))
    with agent(own, lambda _: _go(bundle.config)) as asked:
        _same(own, _words(bundle))
    assert asked.requests == []
    assert _confined(bundle)


def test_closed_standard_descriptors_stay_closed(probed: install.Installed, bundle: Bundle) -> None:
    def close() -> None:
        os.close(0)
        os.close(2)

    _without_python(probed)
    with agent(probed, lambda _: _go(bundle.config)):
        seen = _same(probed, _words(bundle), preexec_fn=close)
    assert {fd.partition(" ")[0] for fd in seen["fd"]}.isdisjoint("02")


def test_the_cold_path_reports_a_runtime_that_cannot_be_started(
    node: install.Installed, bundle: Bundle
) -> None:
    broken = node.prefix / "not-a-program"
    broken.write_bytes(b"\x7fELF nonsense")
    broken.chmod(0o755)
    install.use_runtime(node, broken)
    with agent(node, lambda _: _go(bundle.config)) as asked:
        argv = bundle.argv(node.wrapper, "create")
        done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=30)
    assert len(asked.requests) == 1
    assert done.returncode == 1
    assert "cannot be executed" in json.loads(bundle.log.read_text())["msg"]

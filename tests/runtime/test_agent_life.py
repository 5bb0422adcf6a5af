"""The agent's own life: sockets, cost at rest, deaths, upgrades, systemd, hostile callers."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bench.agents import resident
from runc_wrap.agent import requests
from tests.support import agent as agents
from tests.support import bundles, install
from tests.support.processes import attempt, environment, short_directory, wait_until
from tests.support.requirements import requires

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support.agent import Agent

NAMES = ("decide", "metrics", "notify")
RESIDENT = 30.0  # MB


@pytest.fixture
def node(installed: install.Installed) -> Iterator[install.Installed]:
    """An installation of its own, whose path is short enough for sockets."""
    requires(root=True)
    with short_directory("agent") as place:
        yield install.copy_of(installed, place / "p")


@pytest.fixture
def agent(node: install.Installed) -> Iterator[Agent]:
    with agents.running(node) as started:
        yield started


def _three(agent: Agent) -> list[int]:
    return [agent.keeper, agent.decisions, agent.evidence]


def _wait_three(agent: Agent, gone: list[int]) -> None:
    """Wait until all three are there, none of them one of those that are gone."""
    wait_until(lambda: not {0, *gone} & {*_three(agent)}, "three processes", 30)
    agent.wait_answering()


def _sockets(node: install.Installed) -> list[str]:
    return sorted(path.stem for path in (node.prefix / "var" / "agent").glob("*.sock"))


def test_only_root_reaches_the_sockets(agent: Agent, node: install.Installed) -> None:
    directory = node.prefix / "var" / "agent"
    assert directory.stat().st_mode & 0o777 == 0o700
    assert _sockets(node) == sorted([*NAMES, "keeper"])
    assert {path.stat().st_mode & 0o777 for path in directory.glob("*.sock")} == {0o600}
    assert agent.keeper


def test_it_ends_at_sigterm_and_takes_its_sockets_with_it(
    agent: Agent, node: install.Installed
) -> None:
    pids = _three(agent)
    os.kill(agent.keeper, signal.SIGTERM)
    assert agent.daemon.process.wait(10) == 0
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)
    assert _sockets(node) == []
    assert agents.ask(node.prefix, "runc", "create") == []


def test_a_second_agent_is_refused_and_the_first_stays(
    agent: Agent, node: install.Installed
) -> None:
    second = attempt([node.ctl, "agent"])
    assert second.returncode == 2
    assert "another agent runs here" in second.stderr
    agent.wait_answering()


def test_an_agent_whose_directory_was_replaced_leaves_its_successors_sockets(
    agent: Agent, node: install.Installed
) -> None:
    """Neither when it changes to another release nor when it ends."""
    keeper, _, evidence = _three(agent)
    directory = node.prefix / "var" / "agent"
    shutil.rmtree(directory)
    with agents.running(node) as second:

        def workers() -> list[int]:
            return agents.processes(node.prefix, "evidence")

        before = {path.name: path.stat().st_ino for path in directory.glob("*.sock")}
        os.kill(keeper, signal.SIGHUP)
        wait_until(lambda: evidence not in workers() and len(workers()) > 1, "its new worker")
        os.kill(keeper, signal.SIGTERM)
        assert agent.daemon.process.wait(10) == 0
        assert {path.name: path.stat().st_ino for path in directory.glob("*.sock")} == before
        second.wait_answering()
    assert _sockets(node) == []


def test_a_socket_of_another_program_is_not_taken(node: install.Installed) -> None:
    path = agents.socket_of(node.prefix)
    path.parent.mkdir()
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as other:
        other.bind(str(path))
        other.listen()
        refused = attempt([node.ctl, "agent"])
        assert (refused.returncode, "another program listens" in refused.stderr) == (2, True)
        assert path.exists()
    with agents.running(node) as agent:  # nobody listens there any more
        assert agent.decisions


def test_a_path_too_long_for_a_socket_is_said(installed: install.Installed, tmp_path: Path) -> None:
    node = install.copy_of(installed, tmp_path / ("x" * 80) / "p")
    refused = attempt([node.ctl, "agent"])
    assert refused.returncode == 2
    assert "107 bytes" in refused.stderr


def test_at_rest_it_takes_little_memory_and_no_time(agent: Agent) -> None:
    """Nothing ticks: in five seconds neither keeper nor decisions worker runs at all.

    The evidence worker hears of every program that starts on the machine, and waits without end.
    """
    time.sleep(2.5)  # the keeper looks once more, two seconds after a connection

    def seen() -> list[tuple[str, ...]]:
        found = []
        for pid in (agent.keeper, agent.decisions):
            status = Path(f"/proc/{pid}/status").read_text()
            times = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
            found.append((status.partition("\nvoluntary")[2], *times))
        return found

    before = seen()
    time.sleep(5)
    assert seen() == before
    agent.wait_answering()
    assert seen() != before  # the control
    assert resident(_three(agent)) < RESIDENT


@pytest.mark.parametrize(("size", "answer"), [(15, b"cold"), (0.9, b"rename")])
def test_a_config_of_15_mb_is_not_answered_for_and_leaves_no_memory_behind(
    agent: Agent, tmp_path: Path, size: float, answer: bytes
) -> None:
    """The second is the control: it is read, and shows in the most that the worker ever had."""
    bundle = bundles.make(tmp_path / "bundle", "runc")
    entries = int(size * 2**20 / 16)
    padded = f'{{"padding":[{",".join(["[[],{}]"] * (2 * entries))}],'
    bundle.config.write_text(bundle.config.read_text().replace("{", padded, 1))
    before = _peak(agent.decisions)
    begin = time.monotonic()
    assert agents.ask(agent.prefix, "runc", *bundle.argv("", "create")[1:])[1] == answer
    assert time.monotonic() - begin < 1
    grown = _peak(agent.decisions) - before
    assert grown < 1 if answer == b"cold" else grown > 5


def _peak(pid: int) -> float:
    """Return the most memory that a process ever had, in MB."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


@pytest.mark.parametrize("role", ["decisions", "evidence", "keeper"])
def test_whichever_is_killed_there_are_three_again(
    agent: Agent, node: install.Installed, role: str
) -> None:
    for _ in range(2):  # also the one that came in its place
        before = _three(agent)
        victim = getattr(agent, role)
        os.kill(victim, signal.SIGKILL)
        _wait_three(agent, [victim])
        if role == "keeper":
            assert agent.keeper == before[2]  # the evidence worker, in place
            _wait_three(agent, before[:2])
    second = attempt([node.ctl, "agent"])
    assert second.returncode == 2
    assert _sockets(node) == sorted([*NAMES, "keeper"])


def test_a_worker_that_dies_again_and_again_keeps_no_launcher_waiting(agent: Agent) -> None:
    """It starts again later and later; meanwhile the keeper hangs up at once."""
    for _ in range(3):
        wait_until(lambda: agent.decisions != 0, "the worker")
        os.kill(agent.decisions, signal.SIGKILL)
        time.sleep(0.05)
    started = time.monotonic()
    asked = 0
    while agent.decisions == 0:
        before = time.monotonic()
        agents.ask(agent.prefix, "nonsense", "")
        assert time.monotonic() - before < 0.5
        asked += 1
    assert asked > 1
    assert time.monotonic() - started > 0.1
    agent.wait_answering()


def test_a_worker_that_hangs_keeps_launchers_waiting_for_seconds_only(agent: Agent) -> None:
    """As one does whose file system hangs: it is replaced, and each create is fast again."""
    before = agent.decisions
    time.sleep(2.5)  # the keeper has seen the first connection, and that it was accepted
    os.kill(before, signal.SIGSTOP)
    started = time.monotonic()
    while agents.ask(agent.prefix, "nonsense", "", seconds=1) == []:
        assert time.monotonic() - started < 10
    assert time.monotonic() - started > 0.9  # the control: it did hang
    assert agent.decisions != before
    assert not Path(f"/proc/{before}").exists()
    assert agent.daemon.log.read_text().count("accepts nobody") == 1


def test_a_worker_that_is_only_busy_is_left_alone(agent: Agent) -> None:
    before = agent.decisions
    until = time.monotonic() + 5
    while time.monotonic() < until:
        os.kill(before, signal.SIGSTOP)
        time.sleep(0.4)
        os.kill(before, signal.SIGCONT)
        assert agents.ask(agent.prefix, "nonsense", "")
    assert agent.decisions == before


def test_a_descriptor_that_was_stored_outlives_the_keeper(agent: Agent) -> None:
    """As the evidence worker stores a container's seccomp listener."""
    reader, writer = os.pipe()
    name = "seccomp-7"
    with _as_evidence_worker(agent) as send:
        send(f"FDSTORE=1\nFDNAME={name}".encode(), [reader])
    wait_until(lambda: _inode(agent.keeper, reader) > 0, "the descriptor in the keeper")
    keeper = agent.keeper
    os.kill(agent.evidence, signal.SIGKILL)
    _wait_three(agent, [])
    wait_until(lambda: _inode(agent.evidence, reader) > 0, "the descriptor in a new worker")
    os.kill(keeper, signal.SIGHUP)
    wait_until(lambda: _inode(agent.evidence, reader) > 0, "the descriptor after an upgrade")
    os.kill(keeper, signal.SIGKILL)
    _wait_three(agent, [keeper])
    assert _inode(agent.keeper, reader) > 0
    for fd in (reader, writer):
        os.close(fd)


def _inode(pid: int, ours: int) -> int:
    """Return how many descriptors of a process are the same as one of ours."""
    wanted = Path(f"/proc/self/fd/{ours}").readlink()
    count = 0
    with contextlib.suppress(OSError):
        for entry in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(OSError):
                count += entry.readlink() == wanted
    return count


_FORGE = """
import os, socket, sys
with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as teller:
    ucred = b"".join(int(n).to_bytes(4, "little") for n in (sys.argv[2], 0, 0))
    fds = int(sys.argv[4]).to_bytes(4, "little")
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, fds)]
    credentials = [(socket.SOL_SOCKET, socket.SCM_CREDENTIALS, ucred)]
    teller.sendmsg([sys.argv[3].encode()], credentials + rights, 0, sys.argv[1])
"""


@contextlib.contextmanager
def _as_evidence_worker(agent: Agent) -> Iterator[Callable[[bytes, list[int]], None]]:
    """Send messages with the evidence worker's pid, as root may (unix(7), SCM_CREDENTIALS)."""
    address = str(agent.prefix / "var" / "agent" / "keeper.sock")

    def send(message: bytes, fds: list[int]) -> None:
        words = [address, str(agent.evidence), message.decode(), str(fds[0])]
        subprocess.run([sys.executable, "-c", _FORGE, *words], pass_fds=fds, check=True)

    yield send


def test_a_stranger_can_store_nothing(agent: Agent) -> None:
    reader, writer = os.pipe()
    address = str(agent.prefix / "var" / "agent" / "keeper.sock")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as teller:
        teller.connect(address)
        socket.send_fds(teller, [b"FDSTORE=1\nFDNAME=seccomp-7"], [reader])
    os.kill(agent.keeper, signal.SIGCHLD)
    time.sleep(0.2)
    assert _inode(agent.keeper, reader) == 0
    for fd in (reader, writer):
        os.close(fd)


def test_sighup_changes_to_the_installed_release(agent: Agent, node: install.Installed) -> None:
    _upgrade(node)
    before = _three(agent)
    os.kill(before[0], signal.SIGHUP)
    _wait_three(agent, before[1:])
    assert agent.keeper == before[0]
    assert all("/new/" in _words(pid) for pid in _three(agent))


def test_a_request_after_an_upgrade_is_left_to_the_cold_path_and_brings_the_new_release(
    agent: Agent, node: install.Installed, tmp_path: Path
) -> None:
    directory = tmp_path / "b"
    directory.mkdir()
    (directory / "config.json").write_text('{"linux":{}}')
    words = ["create", "--bundle", str(directory), "ID"]
    assert agents.ask(node.prefix, "runc", *words)[1] == b"rename"
    before = _three(agent)
    _upgrade(node)
    assert agents.ask(node.prefix, "runc", *words)[1:] in ([b"cold"], [])
    _wait_three(agent, before[1:])
    assert agents.ask(node.prefix, "runc", *words)[1] == b"rename"
    assert all("/new/" in _words(pid) for pid in _three(agent))


def _break_a_module(release: Path) -> None:
    """As a copy does that was cut short."""
    (module,) = release.glob("venv/lib/*/site-packages/runc_wrap/agent/arrivals.py")
    module.write_text("raise ImportError('cut short')\n")


def _break_its_python(release: Path) -> None:
    (release / "python").unlink()
    (release / "python").write_text("#!/bin/sh\n")


def _hang(release: Path) -> None:
    (release / "python").unlink()
    _script(release / "python", "exec sleep 60")


@pytest.mark.parametrize("broken", [_break_a_module, _break_its_python, _hang])
@pytest.mark.parametrize("by", ["a signal", "a create"])
def test_a_release_that_is_broken_is_not_changed_to(
    node: install.Installed, broken: Callable[[Path], None], by: str
) -> None:
    broken(_lay_out(node))
    with agents.running(node) as agent:
        before = _three(agent)
        _change_to_new(node)
        if by == "a signal":
            os.kill(before[0], signal.SIGHUP)
        else:
            assert agents.ask(node.prefix, "runc", "create", "ID")[1:] == [b"cold"]
        wait_until(lambda: "cannot be started" in agent.daemon.log.read_text(), "a complaint")
        agent.wait_answering()
        assert _three(agent) == before
        assert agent.daemon.log.read_text().count("cannot be started") == 1


def test_a_release_that_breaks_after_it_was_tried_is_not_changed_to(
    node: install.Installed,
) -> None:
    python = _lay_out(node) / "python"
    real = python.resolve()
    python.unlink()
    _script(python, f'chmod 600 "$0"; exec {real} "$@"')
    with agents.running(node) as agent:
        before = _three(agent)
        _change_to_new(node)
        os.kill(before[0], signal.SIGHUP)
        _wait_three(agent, before[1:])
        assert agent.keeper == before[0]
        assert not any("/new/" in _words(pid) for pid in _three(agent))
        wait_until(lambda: "cannot be started" in agent.daemon.log.read_text(), "the next trial")
        assert _sockets(node) == sorted([*NAMES, "keeper"])


def _script(path: Path, text: str) -> None:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def _words(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")


def _upgrade(node: install.Installed) -> None:
    """Put another release in place: the same code under another name."""
    _lay_out(node)
    _change_to_new(node)


def _lay_out(node: install.Installed) -> Path:
    releases = node.prefix / "lib" / "releases"
    old, shared = node.release, releases.resolve()
    releases.unlink()
    releases.mkdir()
    (releases / old.name).symlink_to(shared / old.name)
    shutil.copytree(old, releases / "new", symlinks=True)
    return releases / "new"


def _change_to_new(node: install.Installed) -> None:
    link = node.prefix / "lib" / "current.new"
    link.symlink_to("releases/new")
    link.replace(node.prefix / "lib" / "current")


ACTIVATE = """
import os, socket, sys
path = sys.argv[1]
kinds = {"decide": socket.SOCK_SEQPACKET, "notify": socket.SOCK_STREAM}
made = []
for name, kind in kinds.items():
    made.append(socket.socket(socket.AF_UNIX, kind))
    made[-1].bind(f"{path}/{name}.sock")
    made[-1].listen(4096)
fds = [os.dup(each.fileno()) for each in made]
for at, fd in enumerate(fds):
    os.dup2(fd, 20 + at)
for at in range(len(fds)):
    os.dup2(20 + at, 3 + at, inheritable=True)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="2", LISTEN_FDNAMES="unit:unit")
os.execv(sys.argv[2], sys.argv[2:])
"""


def _told(systemd: socket.socket) -> bytes:
    """Return what systemd is told next, apart from the memory that is stored at the beginning."""
    while (told := systemd.recv(99)) == b"FDSTORE=1\nFDNAME=inflight":
        continue
    return told


def test_sockets_from_systemd_are_used_told_and_left_in_place(node: install.Installed) -> None:
    """Socket activation, and Type=notify, as systemd does both."""
    directory = node.prefix / "var" / "agent"
    directory.mkdir(mode=0o700)
    notify = f"runc-wrap-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(f"\0{notify}")
        systemd.settimeout(20)
        argv = [sys.executable, "-c", ACTIVATE, str(directory), str(node.ctl), "agent"]
        with subprocess.Popen(argv, env=environment(NOTIFY_SOCKET=f"@{notify}")) as keeper:
            try:
                assert _told(systemd) == b"READY=1"
                assert agents.ask(node.prefix, "nonsense", "") == [b"runc-wrap/1", b"cold"]
                assert _sockets(node) == sorted([*NAMES, "keeper"])  # metrics it bound itself
                keeper.send_signal(signal.SIGHUP)
                assert _told(systemd) == b"READY=1"
                keeper.terminate()
                assert _told(systemd) == b"STOPPING=1"
                assert keeper.wait(10) == 0
                assert _sockets(node) == ["decide", "notify"]
            finally:
                agents.end_all(node.prefix)


def test_a_stored_descriptor_goes_to_systemd_too(node: install.Installed) -> None:
    notify = f"runc-wrap-test-store-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(f"\0{notify}")
        systemd.settimeout(20)
        with subprocess.Popen([node.ctl, "agent"], env=environment(NOTIFY_SOCKET=f"@{notify}")):
            try:
                assert _told(systemd) == b"READY=1"
                reader, writer = os.pipe()
                agent = agents.Agent(node.prefix, None)  # type: ignore[arg-type]  # only its pids are asked for
                with _as_evidence_worker(agent) as send:
                    send(b"FDSTORE=1\nFDNAME=seccomp-1", [reader])
                message, fds, _, _ = socket.recv_fds(systemd, 99, 1)
                assert message == b"FDSTORE=1\nFDNAME=seccomp-1"
                assert os.fstat(fds[0]).st_ino == os.fstat(reader).st_ino
                for fd in (reader, writer, *fds):
                    os.close(fd)
            finally:
                agents.end_all(node.prefix)


def _connected(node: Path) -> socket.socket:
    caller = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    caller.settimeout(10)
    caller.connect(str(agents.socket_of(node)))
    return caller


def test_who_says_nothing_is_hung_up_on_after_a_second(agent: Agent) -> None:
    with _connected(agent.prefix) as silent:
        started = time.monotonic()
        assert silent.recv(1) == b""
        assert 0.8 < time.monotonic() - started < 5


def test_a_second_request_on_one_connection_is_not_answered(agent: Agent) -> None:
    with _connected(agent.prefix) as caller:
        caller.send(agents.request("runc", "create"))
        assert caller.recv(99) == requests.COLD
        caller.send(agents.request("runc", "create"))
        with pytest.raises(ConnectionResetError):
            caller.recv(99)


def test_a_request_that_is_too_long_is_none(agent: Agent) -> None:
    with _connected(agent.prefix) as caller:
        caller.send(agents.request("runc", "create", "x" * requests.LARGEST))
        assert caller.recv(99) == requests.COLD


def test_thousands_of_silent_callers_cost_no_more_than_a_wait(agent: Agent) -> None:
    """More than it holds at once wait to be accepted; none of them is served before its turn."""
    with contextlib.ExitStack() as stack:
        for _ in range(600):
            stack.enter_context(_connected(agent.prefix))
        time.sleep(0.3)
        assert len(list(Path(f"/proc/{agent.decisions}/fd").iterdir())) < 300
        wait_until(lambda: agents.ask(agent.prefix, "x", "") != [], "an answer", 20)


_A_CALLER = """
import socket, sys
caller = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
caller.settimeout(5)
caller.connect(sys.argv[1])
try:
    caller.send(b"x\\0")
    print(caller.recv(99))
except (ConnectionResetError, BrokenPipeError):
    print("hung up")
"""


def test_another_user_is_hung_up_on(agent: Agent, node: install.Installed) -> None:
    """Even where the directory let them in."""
    requires("setpriv")
    path = agents.socket_of(node.prefix)
    for directory in (path.parent, *path.parent.parents):
        if directory.is_relative_to("/tmp") and directory != Path("/tmp"):
            directory.chmod(0o755)
    path.chmod(0o666)
    argv = ["/usr/bin/python3", "-c", _A_CALLER, str(path)]
    user = ["setpriv", "--reuid=1000", "--regid=1000", "--clear-groups"]
    assert attempt(argv).stdout == f"{requests.COLD!r}\n"
    assert attempt([*user, *argv]).stdout in {"b''\n", "hung up\n"}
    assert agent.daemon.process.poll() is None


def test_what_a_launcher_did_not_take_is_removed(agent: Agent, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"linux":{}}')
    packet = agents.request("runc", "create", "--bundle", str(tmp_path), "ID")
    with agents.asking(agent.prefix, packet) as answer:
        assert Path(os.fsdecode(answer[5])).exists()
    wait_until(lambda: len(list(tmp_path.iterdir())) == 1, "its removal")
    with agents.asking(agent.prefix, packet) as answer:
        os.kill(agent.decisions, signal.SIGTERM)
        wait_until(lambda: len(list(tmp_path.iterdir())) == 1, "its removal at the end")


def test_metrics_are_had_on_loopback_too_also_after_the_keeper_was_killed(
    node: install.Installed,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]

    def asked() -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
                return b"runc_wrap_policy_generation" in answer.read()
        except OSError:
            return False

    assert not asked(), "nobody must listen there yet"
    with agents.running(node, flags=["--metrics", f"127.0.0.1:{port}"]) as started:
        wait_until(asked, "an answer")
        before = _three(started)
        os.kill(before[0], signal.SIGKILL)
        _wait_three(started, before[:2])
        wait_until(asked, "an answer of the next keeper's worker")
    done = attempt([node.ctl, "agent", "--metrics", "0.0.0.0:9555"])
    assert (done.returncode, "loopback" in done.stderr) == (2, True)

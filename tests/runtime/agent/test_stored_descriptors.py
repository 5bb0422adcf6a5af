"""What the keeper holds for its workers, and systemd for the keeper."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from harness.host.processes import environment, wait_until
from harness.node import agent as agents
from harness.node import install

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from harness.node.agent import Agent


def test_a_stored_descriptor_outlives_the_keeper(agent: Agent) -> None:
    """The evidence worker stores a container's seccomp listener in this way."""
    reader, writer = os.pipe()
    name = "seccomp-7"
    with _as_evidence_worker(agent) as send:
        send(f"FDSTORE=1\nFDNAME={name}".encode(), [reader])
    wait_until(lambda: _inode(agent.keeper, reader) > 0, "the descriptor in the keeper")
    keeper, _, first = agent.three
    os.kill(first, signal.SIGKILL)
    agent.wait_three([first])
    second = agent.evidence
    wait_until(lambda: _inode(second, reader) > 0, "the descriptor in a new worker")
    os.kill(keeper, signal.SIGHUP)
    wait_until(lambda: _another_has(agent, second, reader), "the descriptor after an upgrade")
    agent.wait_three([second])
    os.kill(keeper, signal.SIGKILL)
    agent.wait_three([keeper])
    wait_until(lambda: _inode(agent.keeper, reader) > 0, "the descriptor in the next keeper")
    for fd in (reader, writer):
        os.close(fd)


def _another_has(agent: Agent, before: int, ours: int) -> bool:
    """Return whether another evidence worker than before has a descriptor."""
    workers = agents.processes(agent.prefix, "evidence")
    return before not in workers and any(_inode(pid, ours) for pid in workers)


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


def test_a_foreign_process_can_store_nothing(agent: Agent) -> None:
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
    """Return the next message to systemd, except for the memory that is stored at the start."""
    while (told := systemd.recv(99)) == b"FDSTORE=1\nFDNAME=inflight":
        continue
    return told


def test_sockets_from_systemd_are_used_and_left_in_place(node: install.Installed) -> None:
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
                assert agents.sockets(node.prefix) == agents.SOCKETS  # metrics it bound itself
                keeper.send_signal(signal.SIGHUP)
                assert _told(systemd) == b"READY=1"
                keeper.terminate()
                assert _told(systemd) == b"STOPPING=1"
                assert keeper.wait(10) == 0
                assert agents.sockets(node.prefix) == ["decide", "notify"]
            finally:
                agents.end_all(node.prefix)


def test_a_stored_descriptor_is_also_stored_with_systemd(node: install.Installed) -> None:
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

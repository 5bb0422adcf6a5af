"""An agent for an installation, and a launcher's side of the protocol."""

from __future__ import annotations

import contextlib
import os
import socket
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from harness.host.processes import Daemon, wait_for_next_second, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from harness.node.install import Installed

VERSION = b"runc-wrap/1"
SOCKETS = ["decide", "evidence", "exec", "keeper", "metrics", "notify"]


@dataclass(frozen=True)
class Agent:
    """A running agent; its keeper is replaced in place, so the pid stays unless it is killed."""

    prefix: Path
    daemon: Daemon

    @property
    def socket(self) -> Path:
        return socket_of(self.prefix)

    @property
    def keeper(self) -> int:
        """The keeper's pid: the one that was started, or its successor."""
        return next(iter(processes(self.prefix, "keeper")), 0)

    @property
    def decisions(self) -> int:
        return next(iter(processes(self.prefix, "decisions")), 0)

    @property
    def evidence(self) -> int:
        return next(iter(processes(self.prefix, "evidence")), 0)

    @property
    def three(self) -> list[int]:
        """The pids of all processes, 0 for a missing one."""
        return [self.keeper, self.decisions, self.evidence]

    def wait_three(self, gone: Sequence[int]) -> None:
        """Wait until all three processes run, without the given former pids."""
        wait_until(lambda: not {0, *gone} & {*self.three}, "three processes", 30)
        self.wait_answering()

    def wait_ready(self) -> None:
        """Wait until the whole agent has started: earlier events may be missed."""
        wait_until(lambda: "ready: pid" in self.daemon.log.read_text(), "the agent to be ready", 60)
        wait_for_next_second()

    def wait_answering(self) -> None:
        """Wait until a request gets an answer, even an empty one."""
        wait_until(lambda: ask(self.prefix, "nonsense", "") == [VERSION, b"cold"], "an answer")


def socket_of(prefix: Path) -> Path:
    return prefix / "var" / "agent" / "decide.sock"


def sockets(prefix: Path) -> list[str]:
    """Return the names of the existing sockets."""
    return sorted(path.stem for path in (prefix / "var" / "agent").glob("*.sock"))


def is_there(pid: int) -> bool:
    """Return whether a process exists and has not ended."""
    try:
        said = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return said.rpartition(")")[2].split()[0] != "Z"


def processes(prefix: Path, role: str) -> list[int]:
    """Return the pids of this installation's agent processes with this role."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            with contextlib.suppress(OSError):
                words = (entry / "cmdline").read_bytes().split(b"\0")[:-1]
                if words[-2:] == [role.encode(), os.fsencode(prefix)]:
                    found.append(int(entry.name))
    return found


@contextlib.contextmanager
def running(
    installed: Installed, inside: Sequence[str] = (), flags: Sequence[str] = ()
) -> Iterator[Agent]:
    """Run an agent; all its processes are gone afterwards in any case.

    `inside` are the words that run a command in another mount namespace, such as an engine's.
    """
    log = installed.prefix / "var" / "agent.log"
    daemon = Daemon([*inside, installed.ctl, "agent", *flags], log)
    agent = Agent(installed.prefix, daemon)
    try:
        daemon.wait_ready(agent.socket.exists, "the agent's socket")
        agent.wait_answering()
        wait_until(lambda: 0 not in agent.three, "three processes", 60)
        yield agent
    finally:
        end(agent)


def end(agent: Agent) -> None:
    """Stop the started keeper, then any successor."""
    agent.daemon.stop()
    end_all(agent.prefix)


def end_all(prefix: Path) -> None:
    """End an installation's whole agent: another keeper replaces a killed one."""
    roles = ("keeper", "evidence", "decisions", "lingering")
    while left := [pid for role in roles for pid in processes(prefix, role)]:
        for pid in left:  # a killed process may have been replaced meanwhile
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, 9)
        time.sleep(0.05)


def request(kind: str, *words: str, called_as: str = "/usr/bin/runc-wrap") -> bytes:
    """Return a launcher's packet."""
    fields = ["runc-wrap/1", kind, f"/usr/bin/{kind}", called_as, *words]
    return b"".join(os.fsencode(field) + b"\0" for field in fields)


@contextlib.contextmanager
def asking(prefix: Path, packet: bytes, seconds: float = 5) -> Iterator[list[bytes]]:
    """Yield the fields of the answer, [] for none, and keep the connection open meanwhile."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as caller:
        caller.settimeout(seconds)
        try:
            caller.connect(str(socket_of(prefix)))
            caller.send(packet)
            answer = caller.recv(65536)
        except OSError:
            answer = b""
        yield answer.split(b"\0")[:-1]


def ask(prefix: Path, kind: str, *words: str, seconds: float = 5) -> list[bytes]:
    """Return the fields of the answer to a create's arguments, [] for none."""
    with asking(prefix, request(kind, *words), seconds) as answer:
        return answer

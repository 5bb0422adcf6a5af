"""The agent's two services for an installation, and a launcher's side of the protocol."""

import contextlib
import os
import re
import signal
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.host.processes import Daemon, wait_until
from harness.node.install import Installed
from harness.node.launchers import VERSION, message
from harness.node.systemd import Manager

ROLES = ("decide", "observe")
SOCKETS = ["decide", "evidence", "exec", "notify"]
UNITS = Path(__file__).parents[2] / "deploy" / "systemd"
_UNITS_PREFIX = "/opt/runc-wrap"


@dataclass(frozen=True)
class Agent:
    """Both services; `log` has the lines of both."""

    prefix: Path
    log: Path

    @property
    def socket(self) -> Path:
        return socket_of(self.prefix)

    @property
    def decide(self) -> int:
        """The pid, 0 while it does not run."""
        return next(iter(processes(self.prefix, "decide")), 0)

    @property
    def observe(self) -> int:
        return next(iter(processes(self.prefix, "observe")), 0)

    @property
    def both(self) -> list[int]:
        return [self.decide, self.observe]

    @property
    def never_ended(self) -> bool:
        """Whether both still run that were started."""
        return 0 not in self.both and self.said("ready: pid ") == len(ROLES)

    def said(self, words: str) -> int:
        """Return how often the log has these words."""
        return self.log.read_text().count(words)

    def wait_both(self, gone: Sequence[int] = ()) -> None:
        """Wait until both run, without the given former pids, and answer."""
        wait_until(lambda: not {0, *gone} & {*self.both}, "both services", 30)
        wait_until(self._are_ready, "both to be ready", 60)
        self.wait_answering()

    def _are_ready(self) -> bool:
        """Look for both anew: one that was just killed is still seen for an instant."""
        return all(pid and self.said(f"ready: pid {pid},") for pid in self.both)

    def wait_ready(self) -> None:
        """Wait until both have started: earlier events may be missed.

        And for the clock's next whole second: the ledger has a container's start to the second, so
        records of another test in the same second could be taken for its own.
        """
        self.wait_both()
        time.sleep(1.0 - time.time() % 1.0)

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
    installed: Installed,
    inside: Sequence[str] = (),
    flags: Sequence[str] = (),
    without_store: Sequence[str] = ("--without-descriptor-store",),
) -> Iterator[Agent]:
    """Run both services without a supervisor; they are gone afterwards in any case.

    `inside` are the words that run a command in another mount namespace, such as an engine's;
    `flags` and `without_store` are those of observe.
    """
    agent = Agent(installed.prefix, _new_log(installed))
    observe = ["observe", *without_store, *flags]
    ctl = str(installed.ctl)
    services = [[*inside, ctl, "agent", *words] for words in (["decide"], observe)]
    with contextlib.ExitStack() as stack:
        stack.callback(end_all, installed.prefix)
        for one in [stack.enter_context(Daemon(words, agent.log)) for words in services]:
            one.wait_ready(lambda one=one: agent.said(f"ready: pid {one.pid},") > 0, "it")  # type: ignore[misc]  # bound now
        yield agent


@dataclass(frozen=True)
class Supervised(Agent):
    """Both services as units of a real systemd."""

    systemd: Manager

    def control(self, verb: str, *names: str) -> str:
        """Run systemctl, for both services unless some are named; return what it prints."""
        return self.systemd.control(verb, *(names or tuple(f"runc-wrap-{one}" for one in ROLES)))


@contextlib.contextmanager
def supervised(
    installed: Installed, change: Callable[[str], str] = lambda text: text
) -> Iterator[Supervised]:
    """Run both services by the units of `deploy/systemd`; `change` may change their text."""
    log = _new_log(installed)
    units = {path.name: change(_unit(path, installed.prefix, log)) for path in UNITS.iterdir()}
    with Manager.running(units) as systemd:
        agent = Supervised(installed.prefix, log, systemd)
        try:
            agent.control("start", *(name for name in units if name.endswith(".socket")))
            agent.control("start")
            agent.wait_both()
            yield agent
        finally:
            agent.control("stop", *units)
            end_all(installed.prefix)


def _new_log(installed: Installed) -> Path:
    log = installed.prefix / "var" / "agent.log"
    log.write_text("")
    return log


def impatient(unit: str) -> str:
    """Return a unit whose watchdog waits for two seconds only."""
    return re.sub(r"WatchdogSec=\d+", "WatchdogSec=2", unit)


def _unit(path: Path, prefix: Path, log: Path) -> str:
    """Return a unit's text for another prefix, with its output in a file."""
    text = path.read_text().replace(_UNITS_PREFIX, str(prefix))
    output = f"StandardOutput=append:{log}\nStandardError=append:{log}\n"
    return text.replace("Type=notify\n", f"Type=notify\n{output}")


def stop(agent: Agent) -> None:
    """Stop both, where no supervisor starts them again; what they know is on disk then."""
    for role in ROLES:
        for pid in processes(agent.prefix, role):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
    wait_until(lambda: not any(agent.both), "their end")


def end_all(prefix: Path) -> None:
    """Kill what is left of an installation's services."""
    while left := [pid for role in ROLES for pid in processes(prefix, role)]:
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def request(
    kind: str, *words: str, called_as: str = "/usr/bin/runc-wrap", entry: str = ""
) -> bytes:
    """Return a launcher's packet; `entry` is its XDG_RUNTIME_DIR=..."""
    return message(VERSION, kind, entry, called_as, *words)


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

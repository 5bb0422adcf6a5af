"""Engines as units of a node without systemd: `systemctl` and `systemd-run` lead to the test.

Both are small programs in /usr/local/sbin of the engine's own mount namespace, which pass their
words to a thread here; that starts and stops the engine as systemd would. A test may make a restart
fail, and look at what was asked. Real systemd: tests/vm.
"""

from __future__ import annotations

import contextlib
import json
import signal
import socket
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from harness.host.processes import run, wait_until
from harness.node.requirements import requires

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from harness.host.namespaces import MountNamespace
    from harness.host.processes import Daemon

_PROGRAM = """#!/usr/bin/python3 -IS
import json, socket, sys
asked = socket.socket(socket.AF_UNIX)
asked.connect({path!r})
asked.sendall(json.dumps([{name!r}, *sys.argv[1:]]).encode() + b"\\n")
status, printed = json.loads(asked.makefile().readline())
print(printed, end="")
sys.exit(status)
"""
_SBIN, _UNITS = "/usr/local/sbin", "/etc/systemd/system"


@dataclass
class Unit:
    """One engine: how it is started, and whether it serves.

    `comes_back`: a restart succeeds; `is_stopped`: as before it is started at boot.
    """

    start: Callable[[], Daemon]
    serves: Callable[[], bool]
    daemon: Daemon
    comes_back: bool = True
    is_stopped: bool = False
    begun: float = 0.0  # when it was started last, by CLOCK_MONOTONIC

    def is_active(self) -> bool:
        """Tell whether its process runs."""
        return self.daemon.process.poll() is None

    def stop(self) -> None:
        """Stop it; systemd calls it inactive then."""
        self.daemon.stop()
        self.is_stopped = True

    def restart(self) -> bool:
        """Stop and start it; tell whether it serves."""
        self.daemon.stop()
        if not self.comes_back:
            return False
        self.daemon, self.begun, self.is_stopped = self.start(), time.monotonic(), False
        wait_until(lambda: not self.is_active() or self.serves(), "the engine", 60)
        return self.is_active()


@dataclass
class Units:
    """The units by name, and the words of every command, in order."""

    units: dict[str, Unit]
    asked: list[list[str]] = field(default_factory=list)
    before: Callable[[list[str]], None] = lambda _: None

    def words(self, verb: str) -> list[list[str]]:
        """Return the commands with this verb."""
        return [each for each in self.asked if verb in each]

    def answer(self, words: list[str]) -> tuple[int, str]:
        """Do what a command asks."""
        self.asked.append(words)
        self.before(words)
        unit = next((self.units[word] for word in words if word in self.units), None)
        if unit is None:
            return 0, ""
        if "is-active" in words:
            state = "inactive" if unit.is_stopped else "failed"
            return (0, "active\n") if unit.is_active() else (3, f"{state}\n")
        if "restart" in words:
            return (0, "") if unit.restart() else (1, "")
        if "show" in words:
            return 0, f"ExecMainStartTimestampMonotonic={int(unit.begun * 1e6)}\n"
        if "reload" in words:
            unit.daemon.process.send_signal(signal.SIGHUP)
        return 0, ""


@contextlib.contextmanager
def engine_units(directory: Path, space: MountNamespace, units: dict[str, Unit]) -> Iterator[Units]:
    """Be systemd in a mount namespace while the block runs."""
    requires(_UNITS)
    path = directory / "systemd.sock"
    _write_programs(directory, space, path)
    served = Units(units)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen()
        thread = threading.Thread(target=_serve, args=(listening, served), daemon=True)
        thread.start()
        try:
            yield served
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            thread.join(60)
            for unit in units.values():
                unit.daemon.stop()


def _write_programs(directory: Path, space: MountNamespace, path: Path) -> None:
    programs = directory / "sbin"
    programs.mkdir()
    for name in ("systemctl", "systemd-run"):
        (programs / name).write_text(_PROGRAM.format(path=str(path), name=name))
        (programs / name).chmod(0o755)
    run([*space.prefix, "mount", "--bind", programs, _SBIN])
    run([*space.prefix, "mount", "-t", "tmpfs", "test", _UNITS])
    run([*space.prefix, "mkdir", "-p", "/run/systemd/system"])


def _serve(listening: socket.socket, served: Units) -> None:
    while True:
        try:
            asked, _ = listening.accept()
        except OSError:
            return
        with asked, contextlib.suppress(BrokenPipeError), asked.makefile() as lines:
            words = json.loads(lines.readline())
            asked.sendall(json.dumps(served.answer(words)).encode() + b"\n")

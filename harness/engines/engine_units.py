"""An engine that exists only in a test as a unit: `systemctl` and `systemd-run` lead to the test.

Both are small programs in /usr/local/sbin of the engine's own mount namespace, which pass their
words to a thread here; that starts and stops the engine as systemd would. Real engines and systemd:
tests/vm.
"""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from dataclasses import dataclass
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
    """One engine: how it is started, and whether it serves."""

    start: Callable[[], Daemon]
    serves: Callable[[], bool]
    daemon: Daemon
    begun: float = 0.0  # when it was started last, by CLOCK_MONOTONIC

    def is_active(self) -> bool:
        """Tell whether its process runs."""
        return self.daemon.process.poll() is None

    def restart(self) -> bool:
        """Stop and start it; tell whether it serves."""
        self.daemon.stop()
        self.daemon, self.begun = self.start(), time.monotonic()
        wait_until(lambda: not self.is_active() or self.serves(), "the engine", 60)
        return self.is_active()


def _answer(units: dict[str, Unit], words: list[str]) -> tuple[int, str]:
    """Do what a command asks."""
    unit = next((units[word] for word in words if word in units), None)
    if unit is None:
        return 0, ""
    if "is-active" in words:
        return (0, "active\n") if unit.is_active() else (3, "failed\n")
    if "restart" in words:
        return (0, "") if unit.restart() else (1, "")
    if "show" in words:
        return 0, f"ExecMainStartTimestampMonotonic={int(unit.begun * 1e6)}\n"
    return 0, ""


@contextlib.contextmanager
def engine_units(directory: Path, space: MountNamespace, units: dict[str, Unit]) -> Iterator[None]:
    """Be systemd in a mount namespace while the block runs."""
    requires(_UNITS)
    path = directory / "systemd.sock"
    _write_programs(directory, space, path)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen()
        thread = threading.Thread(target=_serve, args=(listening, units), daemon=True)
        thread.start()
        try:
            yield
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


def _serve(listening: socket.socket, units: dict[str, Unit]) -> None:
    while True:
        try:
            asked, _ = listening.accept()
        except OSError:
            return
        with asked, contextlib.suppress(BrokenPipeError), asked.makefile() as lines:
            words = json.loads(lines.readline())
            asked.sendall(json.dumps(_answer(units, words)).encode() + b"\n")

"""Callers of the agent that are not launchers."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from harness.host.processes import attempt, wait_until
from harness.node import agent as agents
from harness.node import install
from harness.node.requirements import requires
from runc_wrap.agent.decide import wire

if TYPE_CHECKING:
    from harness.node.agent import Agent


def _connected(node: Path) -> socket.socket:
    caller = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    caller.settimeout(60)
    caller.connect(str(agents.socket_of(node)))
    return caller


def test_a_silent_caller_is_disconnected_after_a_second(agent: Agent) -> None:
    started = time.monotonic()
    with _connected(agent.prefix) as silent:
        assert silent.recv(1) == b""
        assert 0.8 < time.monotonic() - started < 60


def test_a_second_request_on_one_connection_is_not_answered(agent: Agent) -> None:
    with _connected(agent.prefix) as caller:
        caller.send(agents.request("runc", "create"))
        assert caller.recv(99) == wire.COLD
        caller.send(agents.request("runc", "create"))
        with pytest.raises(ConnectionResetError):
            caller.recv(99)


def test_a_request_that_is_too_long_is_rejected(agent: Agent) -> None:
    with _connected(agent.prefix) as caller:
        caller.send(agents.request("runc", "create", "x" * wire.LARGEST))
        assert caller.recv(99) == wire.COLD


def test_thousands_of_silent_callers_cost_no_more_than_a_wait(agent: Agent) -> None:
    """Callers beyond its limit wait to be accepted, and are served in order."""
    with contextlib.ExitStack() as stack:
        for _ in range(600):
            stack.enter_context(_connected(agent.prefix))
        time.sleep(0.3)
        assert len(list(Path(f"/proc/{agent.decide}/fd").iterdir())) < 300
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


def test_another_user_is_disconnected(agent: Agent, node: install.Installed) -> None:
    """Even if the directory lets them in."""
    requires("setpriv")
    path = agents.socket_of(node.prefix)
    for directory in (path.parent, *path.parent.parents):
        if directory.is_relative_to("/tmp") and directory != Path("/tmp"):
            directory.chmod(0o755)
    path.chmod(0o666)
    argv = ["/usr/bin/python3", "-c", _A_CALLER, str(path)]
    user = ["setpriv", "--reuid=1000", "--regid=1000", "--clear-groups"]
    assert attempt(argv).stdout == f"{wire.COLD!r}\n"
    assert attempt([*user, *argv]).stdout in {"b''\n", "hung up\n"}
    assert agent.never_ended


def test_a_new_config_that_no_launcher_took_is_removed(agent: Agent, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"linux":{}}')
    packet = agents.request("runc", "create", "--bundle", str(tmp_path), "ID")
    with agents.asking(agent.prefix, packet) as answer:
        assert Path(os.fsdecode(answer[5])).exists()
    wait_until(lambda: len(list(tmp_path.iterdir())) == 1, "its removal")
    with agents.asking(agent.prefix, packet) as answer:
        os.kill(agent.decide, signal.SIGTERM)
        wait_until(lambda: len(list(tmp_path.iterdir())) == 1, "its removal at the end")

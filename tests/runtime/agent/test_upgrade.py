"""An agent switches to another release if that works."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from harness.host.processes import wait_until
from harness.node import agent as agents
from harness.node import install

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.node.agent import Agent


def test_sighup_switches_to_the_installed_release(agent: Agent, node: install.Installed) -> None:
    _upgrade(node)
    before = agent.three
    os.kill(before[0], signal.SIGHUP)
    agent.wait_three(before[1:])
    assert agent.keeper == before[0]
    assert all("/new/" in _words(pid) for pid in agent.three)


def test_a_request_after_an_upgrade_takes_the_cold_path_and_starts_the_new_release(
    agent: Agent, node: install.Installed, tmp_path: Path
) -> None:
    directory = tmp_path / "b"
    directory.mkdir()
    (directory / "config.json").write_text('{"linux":{}}')
    words = ["create", "--bundle", str(directory), "ID"]
    assert agents.ask(node.prefix, "runc", *words)[1] == b"rename"
    before = agent.three
    _upgrade(node)
    assert agents.ask(node.prefix, "runc", *words)[1:] in ([b"cold"], [])
    agent.wait_three(before[1:])
    assert agents.ask(node.prefix, "runc", *words)[1] == b"rename"
    assert all("/new/" in _words(pid) for pid in agent.three)


def _break_a_module(release: Path) -> None:
    """Like an incomplete copy."""
    (module,) = release.glob("venv/lib/*/site-packages/runc_wrap/agent/observe/handshake.py")
    module.write_text("raise ImportError('cut short')\n")


def _break_its_python(release: Path) -> None:
    (release / "python").unlink()
    (release / "python").write_text("#!/bin/sh\n")


def _hang(release: Path) -> None:
    (release / "python").unlink()
    _script(release / "python", "exec sleep 60")


@pytest.mark.parametrize("broken", [_break_a_module, _break_its_python, _hang])
@pytest.mark.parametrize("by", ["a signal", "a create"])
def test_a_broken_release_is_not_switched_to(
    node: install.Installed, broken: Callable[[Path], None], by: str
) -> None:
    broken(_lay_out(node))
    with agents.running(node) as agent:
        before = agent.three
        _change_to_new(node)
        if by == "a signal":
            os.kill(before[0], signal.SIGHUP)
        else:
            assert agents.ask(node.prefix, "runc", "create", "ID")[1:] == [b"cold"]
        wait_until(lambda: "cannot be started" in agent.daemon.log.read_text(), "a complaint")
        agent.wait_answering()
        assert agent.three == before
        assert agent.daemon.log.read_text().count("cannot be started") == 1


def test_a_release_that_breaks_after_its_trial_is_not_switched_to(
    node: install.Installed,
) -> None:
    python = _lay_out(node) / "python"
    real = python.resolve()
    python.unlink()
    _script(python, f'chmod 600 "$0"; exec {real} "$@"')
    with agents.running(node) as agent:
        before = agent.three
        _change_to_new(node)
        os.kill(before[0], signal.SIGHUP)
        agent.wait_three(before[1:])
        assert agent.keeper == before[0]
        assert not any("/new/" in _words(pid) for pid in agent.three)
        wait_until(lambda: "cannot be started" in agent.daemon.log.read_text(), "the next trial")
        assert agents.sockets(node.prefix) == agents.SOCKETS


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

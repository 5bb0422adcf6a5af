"""The services go on as another release that is installed."""

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.host.processes import CommandError, script, wait_until
from harness.node import agent as agents
from harness.node import install
from harness.node.install import Installed

NEW = f"/{install.SECOND}/"


def _are_new(agent: agents.Agent) -> bool:
    return all(pid and NEW in Path(f"/proc/{pid}/cmdline").read_text() for pid in agent.both)


def test_a_request_after_an_upgrade_takes_the_cold_path_and_both_become_the_new_release(
    node: Installed, tmp_path: Path
) -> None:
    install.lay_out_second(node)
    (tmp_path / "config.json").write_text('{"linux":{}}')
    words = ["create", "--bundle", str(tmp_path), "ID"]
    with agents.running(node) as agent:
        assert agents.ask(node.prefix, "runc", *words)[1] == b"rename"
        before = agent.both
        install.switch_release(node.prefix)
        assert agents.ask(node.prefix, "runc", *words)[1:] == [b"cold"]
        wait_until(lambda: _are_new(agent), "the new release", 30)
        wait_until(lambda: agent.said("ready: pid ") == 4, "both to be ready again", 30)
        assert agents.ask(node.prefix, "runc", *words)[1] == b"rename"
        assert agent.both == before
        assert agents.sockets(node.prefix) == agents.SOCKETS


def _break_a_module(release: Path) -> None:
    """Like an incomplete copy."""
    (module,) = release.glob("venv/lib/*/site-packages/runc_wrap/agent/service_log.py")
    module.write_text("raise ImportError('cut short')\n")


def _break_its_python(release: Path) -> None:
    (release / "python").unlink()
    (release / "python").write_text("#!/bin/sh\n")


@pytest.mark.parametrize("broken", [_break_a_module, _break_its_python])
def test_a_broken_release_is_noticed_and_the_former_one_goes_on_once_it_is_back(
    node: Installed, broken: Callable[[Path], None]
) -> None:
    broken(install.lay_out_second(node))
    with agents.supervised(node) as agent:
        install.switch_release(node.prefix)
        with pytest.raises(CommandError):
            agent.control("try-restart")
        assert agents.ask(node.prefix, "runc", "create", "ID", seconds=0.2) == []
        install.switch_release(node.prefix)
        agent.control("start")
        agent.wait_both()
        assert not _are_new(agent)
        assert agents.sockets(node.prefix) == agents.SOCKETS


def test_a_service_that_cannot_become_the_new_release_is_started_again(node: Installed) -> None:
    python = install.lay_out_second(node) / "python"
    python.unlink()
    script(python, "#!/nonexistent\n")
    with agents.supervised(node) as agent:
        before = agent.both
        install.switch_release(node.prefix)
        assert agents.ask(node.prefix, "runc", "create", "ID")[1:] == [b"cold"]
        wait_until(lambda: agent.said("the supervisor starts it again") > 0, "its end")
        install.switch_release(node.prefix)
        agent.wait_both(before[:1])
        os.kill(agent.observe, signal.SIGKILL)
        agent.wait_both(before)

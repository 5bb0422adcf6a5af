"""What doctor says of services under a real systemd, and of creates that do not reach them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from harness.containers import bundles
from harness.host.processes import attempt, wait_for_next_second
from harness.node import agent as agents
from harness.node import install
from harness.node.requirements import program
from runc_wrap.doctor.service_checks import services_run, units
from runc_wrap.host import program as programs
from runc_wrap.host import systemd
from runc_wrap.node.paths import Places

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from harness.node.agent import Supervised
    from runc_wrap.doctor.check_finding import Finding

CREATES = 5


def _reached(node: install.Installed) -> list[str]:
    document = json.loads(node.control("doctor", "--json", ok=False).stdout)
    return [each["sentence"] for each in document["findings"] if each["check"] == "agent"]


@pytest.mark.parametrize("is_hidden", [False, True])
def test_creates_do_not_reach_an_agent_whose_socket_the_engine_does_not_see_and_doctor_says_so(
    node: install.Installed, tmp_path: Path, *, is_hidden: bool
) -> None:
    """Another mount namespace alone is no obstacle."""
    install.use_runtime(node, "/bin/true")
    hide = f"mount -t tmpfs test {node.prefix}/var/agent;" if is_hidden else ""
    inside = ["unshare", "--mount", "sh", "-c", f'{hide} exec "$@"', "sh"]
    with agents.running(node):
        wait_for_next_second()
        for number in range(CREATES):
            bundle = bundles.make(tmp_path / f"b{number}", "runc")
            done = attempt([*inside, *bundle.argv(node.wrapper, "create")])
            assert done.returncode == 0, done.stderr
        told = [each for each in _reached(node) if each.startswith("none of the")]
    assert [f"none of the {CREATES} creates" in each for each in told] == [True] * is_hidden


@pytest.fixture
def agent(
    node: install.Installed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Supervised]:
    """Both services under a systemd to which `systemctl` speaks, where it finds systemd."""
    with agents.supervised(node) as started:
        place = started.systemd.place
        shim = tmp_path / "bin" / "systemctl"
        shim.parent.mkdir()
        shim.write_text(
            f"#!/bin/sh\nexport XDG_RUNTIME_DIR='{place}' XDG_CONFIG_HOME='{place}'\n"
            f"exec nsenter --mount=/proc/{started.systemd.daemon.pid}/ns/mnt "
            f'{program("systemctl")} --user "$@"\n'
        )
        shim.chmod(0o755)
        monkeypatch.setattr(programs, "FIXED_PATH", (str(shim.parent),))
        monkeypatch.setattr(systemd, "BOOTED", place)
        yield started


def _found(node: install.Installed) -> list[Finding]:
    return list(services_run.find(Places(node.prefix)))


def _mend(node: install.Installed, words: str) -> list[str]:
    """Mend what is found, which must have these words; return the commands."""
    found = _found(node)
    assert [words in each.sentence for each in found] == [True] * len(found)
    for each in found:
        assert each.fix
        each.fix()
    return [each.command for each in found]


def test_each_state_of_the_services_is_found_mended_and_gone(
    agent: Supervised, node: install.Installed
) -> None:
    both = [" ".join(units.both(role)) for role in agents.ROLES]
    enable = [f"systemctl enable --now {each}" for each in both]
    assert _mend(node, "will not run after a reboot") == enable
    assert _found(node) == []
    agent.control("stop", *units.both("decide"))
    assert _mend(node, "decide.service does not run") == enable[:1]
    agent.wait_both()
    assert _found(node) == []
    path = agent.systemd.place / "systemd" / "user" / units.service("observe")
    path.write_text(f"{path.read_text()}\n# changed\n")
    assert _mend(node, "has read runc-wrap-observe.service before") == ["systemctl daemon-reload"]
    assert _found(node) == []

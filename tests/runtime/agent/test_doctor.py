"""What doctor says of services under a real systemd."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

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

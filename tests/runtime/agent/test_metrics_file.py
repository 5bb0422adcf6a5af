"""The file of metrics that the agent writes, as node_exporter and other users meet it."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from harness.host.processes import attempt, run, wait_until
from harness.node import agent as agents
from harness.node.requirements import program, requires

if TYPE_CHECKING:
    from pathlib import Path

    from harness.node import install

USER, GROUP = 4242, 4243


def _as_user(group: int, file: Path) -> int:
    words = [program("setpriv"), f"--reuid={USER}", f"--regid={group}", "--clear-groups"]
    return attempt([*words, "cat", file]).returncode


def test_the_agent_writes_it_for_root_and_for_the_group_that_the_directory_has(
    node: install.Installed,
) -> None:
    requires("setpriv", "promtool", root=True)
    file = node.prefix / "var" / "metrics" / "runc-wrap.prom"
    with agents.running(node):
        wait_until(file.exists, "the file")
        assert file.stat().st_mode & 0o777 == 0o640
        assert file.parent.stat().st_mode & 0o777 == 0o700
        assert run([program("promtool"), "check", "metrics"], stdin=file.read_text()).stdout == ""
        os.chown(file.parent, 0, GROUP)
        file.parent.chmod(0o2750)
        before = file.stat().st_mtime
        node.control("metrics")
        assert file.stat().st_mtime > before
        link = node.prefix / "link.prom"
        link.symlink_to(file)
        for parent in file.parents[2:]:
            parent.chmod(parent.stat().st_mode | 0o011)
            if parent.name.startswith("pytest-of"):
                break
        assert _as_user(GROUP, link) == 0
        assert _as_user(USER, link) != 0


def test_without_an_agent_the_command_leaves_the_file_alone(node: install.Installed) -> None:
    node.control("metrics")
    assert not (node.prefix / "var" / "metrics" / "runc-wrap.prom").exists()


def test_when_it_was_written_is_in_it(node: install.Installed) -> None:
    begin = time.time()
    text = node.control("metrics").stdout
    (line,) = (one for one in text.splitlines() if one.startswith("runc_wrap_metrics_written"))
    assert begin <= float(line.split()[1]) <= time.time()

"""doctor on an agent that no create reaches."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from runc_wrap.doctor.service_checks import agent_reached
from tests.unit.node import machine

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runc_wrap.doctor.check_finding import Finding
    from tests.unit.cli.ctl import Node

HIDDEN = ["unshare", "--mount", "sh", "-c", 'mount -t tmpfs t /run; exec "$@"', "sh"]


def _engines(node: Node) -> list[Finding]:
    """Return the findings on engines; of others that run on this machine, too."""
    found = agent_reached.find(node.places)
    return [each for each in found if "runs in another mount namespace" in each.sentence]


@pytest.fixture
def agent(node: Node) -> Iterator[Path]:
    """A socket on which this process listens, and a launcher."""
    machine.fake(node.places.wrapper.parent, "runc-wrap", "true")
    node.places.agent.mkdir(mode=0o700, parents=True)
    path = node.places.agent / "decide.sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listening:
        listening.bind(str(path))
        listening.listen(16)
        yield path


@contextmanager
def _engine(tmp_path: Path, name: str, *before: str) -> Iterator[int]:
    """Run a program of this name, started by `before`; yield its pid."""
    program = shutil.copy2("/bin/sleep", tmp_path / name)
    with subprocess.Popen([*before, program, "60"]) as process:
        try:
            until = time.monotonic() + 10
            while Path(f"/proc/{process.pid}/comm").read_text().strip() != name:
                assert time.monotonic() < until
                time.sleep(0.01)
            yield process.pid
        finally:
            process.kill()


@pytest.mark.usefixtures("agent")
def test_nothing_is_found_while_creates_may_reach_it(node: Node, tmp_path: Path) -> None:
    with _engine(tmp_path, "containerd") as pid:
        assert not [each for each in _engines(node) if f"(pid {pid})" in each.sentence]


def test_without_an_agent_nothing_is_found(node: Node) -> None:
    machine.fake(node.places.wrapper.parent, "runc-wrap", "true")
    assert list(agent_reached.find(node.places)) == []


@pytest.mark.usefixtures("agent")
@pytest.mark.parametrize("name", ["containerd", "dockerd", "crio"])
def test_an_engine_in_another_mount_namespace_is_a_warning(
    node: Node, tmp_path: Path, name: str
) -> None:
    if os.geteuid():
        pytest.skip("only root makes namespaces")
    for path in (str(node.places.agent), "/run"):
        hides = ["unshare", "--mount", "sh", "-c", f'mount -t tmpfs t {path}; exec "$@"', "sh"]
        with _engine(tmp_path, name, *hides) as pid:
            told = [each for each in _engines(node) if f"(pid {pid})" in each.sentence]
            [found] = told
            assert f"{name} (pid {pid}) runs in another mount namespace, where {path}" in (
                found.sentence
            )
            assert found.command.startswith("systemctl edit --full ")


@pytest.mark.usefixtures("agent")
@pytest.mark.parametrize(
    ("name", "before"),
    [
        ("another", HIDDEN),
        ("containerd", ["unshare", "--mount"]),
        ("containerd", [*HIDDEN, "setpriv", "--reuid=65534", "--clear-groups"]),
    ],
)
def test_other_programs_those_of_users_and_those_that_see_the_same_are_no_finding(
    node: Node, tmp_path: Path, name: str, before: list[str]
) -> None:
    if os.geteuid():
        pytest.skip("only root makes namespaces")
    for path in (tmp_path, *tmp_path.parents[:3]):
        path.chmod(path.stat().st_mode | 0o011)
    with _engine(tmp_path, name, *before) as pid:
        assert not [each for each in _engines(node) if f"(pid {pid})" in each.sentence]


def _decided(node: Node, *vias: str, at: float) -> None:
    node.places.ledger.mkdir(parents=True, exist_ok=True)
    when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at))
    lines = [json.dumps({"id": f"c{n}", "time": when, "via": via}) for n, via in enumerate(vias)]
    (node.places.ledger / "ledger.jsonl").write_text("\n".join([*lines, ""]))


@pytest.mark.parametrize(
    ("vias", "seconds", "is_found"),
    [
        (["cold"] * 5, 10, True),
        (["cold"] * 4, 10, False),
        (["cold"] * 5, -10, False),
        ([*["cold"] * 5, "agent"], 10, False),
    ],
)
def test_creates_of_which_none_asked_are_a_warning(
    node: Node, agent: Path, vias: list[str], seconds: int, *, is_found: bool
) -> None:
    if os.geteuid():
        pytest.skip("only root reads the whole ledger")
    _decided(node, *vias, at=agent.stat().st_mtime + seconds)
    words = "none of the 5 creates since"
    found = [each for each in agent_reached.find(node.places) if words in each.sentence]
    assert len(found) == is_found

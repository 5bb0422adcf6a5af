"""An engine that no line of runc_wrap names is registered, asked, proved and removed as the others.

Its class and its names are in sixth_engine.py, as CONTRIBUTING has it. The hot path knows it as
`unknown`.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from harness.engines.engine_units import Unit, engine_units
from harness.host.namespaces import private_mounts
from harness.host.processes import Daemon, attempt, environment, run, short_directory, wait_until
from harness.node.install import copy_of
from harness.node.requirements import program
from runc_wrap.engines import probe_image

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.host.namespaces import MountNamespace
    from harness.host.processes import Run
    from harness.node.install import Installed

HERE = Path(__file__).parent
OWNERS = f"runtime runc {program('runc')}\ndefault runc\n"


class Node:
    """A node with this engine as a unit, and an installation of its own."""

    def __init__(self, place: Path, space: MountNamespace, own: Installed) -> None:
        self.space, self.own, self.config = space, own, place / "sixth.conf"
        self.root = place / "root"
        self.config.write_text(OWNERS)
        self.root.mkdir()
        probe_image.write_rootfs(self.root)

    def engine(self, *words: str | Path) -> Run:
        return attempt([*self.space.prefix, "sixth", *map(str, words)])

    def ctl(self, *words: str | Path, status: int = 0) -> Any:
        """Run runc-wrapctl with this engine; return its document, or what it says."""
        argv = [sys.executable, "-m", "tests.engine.sixth_engine", "--prefix", self.own.prefix]
        said = [*self.space.prefix, *map(str, argv), *map(str, words)]
        done = attempt(said, env=environment(PYTHONPATH=str(HERE.parents[1])), seconds=200)
        assert done.returncode == status, done.stderr + done.stdout
        return (
            json.loads(done.stdout)
            if "--json" in words and status < 2
            else done.stdout + done.stderr
        )

    def change(self, *words: str, status: int = 0) -> Any:
        ours = ("sixth", "--config", self.config, "--json")
        return self.ctl("engine", words[0], *ours, *words[1:], status=status)


@pytest.fixture
def node(installed: Installed, tmp_path: Path) -> Iterator[Node]:
    own = copy_of(installed, tmp_path / "own")
    with short_directory("sixth") as place, private_mounts(place, {}) as space:
        made = Node(place, space, own)
        argv = [*space.prefix, sys.executable, "-IS", str(HERE / "sixth_program.py")]

        def started() -> Daemon:
            return Daemon([*argv, "serve", str(made.config)], place / "log")

        loaded = space.inside(Path("/run/sixth/loaded"))
        unit = Unit(started, loaded.exists, started())
        wait_until(loaded.exists, "the engine", 60)
        with engine_units(place, space, {"sixth.service": unit}):
            client = place / "sbin/sixth"
            client.write_text(f'#!/bin/sh\nexec {sys.executable} -IS {argv[-1]} "$@"\n')
            client.chmod(0o755)
            yield made


def test_it_is_registered_asked_and_removed_as_the_others(node: Node) -> None:
    added = node.change("add", "--restart", "--default")
    assert "in mode enforce, equal call by call" in added["proved"]
    (found,) = node.ctl("engine", "status", "--json")
    (handler,) = found["handlers"]
    assert (found["version"], found["drift"]) == ("29.0.0", [])
    assert (handler["configured"], handler["in_force"], handler["default_in_force"]) == (True,) * 3
    words = ("run", "one", "", "none", "", node.root, f"/{probe_image.PROGRAM}")
    started = node.engine(*words)
    assert started.returncode == 0, started.stderr
    state = json.loads(run([*node.space.prefix, program("runc"), "state", "one"]).stdout)
    status = Path(f"/proc/{state['pid']}/status").read_text()
    assert "Seccomp:\t2\n" in status
    assert "is needed by 1 container: one (sixth, running)" in node.change("remove", status=2)
    assert node.engine("remove", "one").returncode == 0
    removed = node.change("remove", "--restart")
    assert removed["proved"] == "the engine's default starts a container"
    assert node.config.read_text() == OWNERS


def test_what_it_refuses_is_taken_back(node: Node) -> None:
    node.config.write_text(f"{OWNERS}something else\n")
    assert "not a line of mine" in node.change("add", "--restart", status=1)["reason"]
    assert node.config.read_text() == f"{OWNERS}something else\n"


def test_doctor_metrics_and_list_know_it(node: Node) -> None:
    node.change("add", "--restart")
    (row,) = (one for one in node.ctl("engine", "list", "--json") if one["engine"] == "sixth")
    assert [one["in_force"] for one in row["registered"]] == [True]
    node.config.write_text(OWNERS)
    found = node.ctl("doctor", "--json", status=1)
    assert "sixth does not show the handler" in json.dumps(found["findings"])
    ledger = node.own.prefix / "var/ledger"
    (last,) = [one for one in ledger.iterdir() if one.is_file()][-1:]
    line = last.read_text().splitlines()[-1]
    with last.open("a") as file:
        file.write(json.dumps(json.loads(line) | {"id": "other", "engine": "sixth"}) + "\n")
    assert 'engine="sixth"' in node.ctl("metrics")


def test_its_default_is_captured_and_the_policy_can_name_it(node: Node) -> None:
    node.change("add", "--restart")
    node.ctl("profile", "capture", "sixth", "--config", node.config, "--json", status=1)
    rule = '[[rule]]\nname = "its own"\nengine = ["sixth"]\nmode = "audit"\n'
    chosen = '[runtime_default]\nengine = "sixth"\nsource = "captured"\n'
    (node.own.prefix / "etc/config.toml").write_text(chosen + rule)
    node.ctl("apply")
    listed = node.ctl("profile", "list", "--json")
    (name,) = (one["name"] for one in listed if "sixth" in one["runtime_default_of"])
    assert name.startswith("sixth@captured-")

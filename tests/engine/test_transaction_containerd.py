"""`engine add --restart` on a real containerd: proved by a pod, or every byte as it was.

containerd 1 gets its handler in its configuration file, containerd 2 in a file of its own.

The node's systemd is the test (harness/engines/engine_units.py); real systemd is in tests/vm.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from harness.engines import images
from harness.engines.containerd import (
    CRI_NAMESPACE,
    Containerd,
    Handler,
    configuration,
    containerd,
)
from harness.engines.engine_units import Unit, Units, engine_units
from harness.host.processes import (
    Daemon,
    Run,
    attempt,
    environment,
    run,
    short_directory,
    wait_until,
)
from harness.node.install import Installed, copy_of
from harness.node.requirements import program

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

UNIT = "containerd.service"
LIVES = "lives"  # a container that must outlive every restart
SHORTER = """
import sys
from runc_wrap.engines.cri import cri_runtime
cri_runtime._LONG = 2.0
from runc_wrap.cli.main import main
main(sys.argv[1:])
"""


@dataclass
class Node:
    """A containerd, its unit, and an installation that is registered with it or not."""

    engine: Containerd
    units: Units
    installed: Installed

    @property
    def etc(self) -> Path:
        """The engine's configuration, on a small disk of the engine's mount namespace."""
        return self.engine.directory / "etc"

    @property
    def unit(self) -> Unit:
        return self.units.units[UNIT]

    def ctl(self, *words: str | Path) -> Run:
        """Run runc-wrapctl where the engine runs."""
        return attempt([*self.engine.space.prefix, self.installed.ctl, *words], seconds=200)

    def words(self, *words: str | Path) -> list[str | Path]:
        return ["engine", *words, "--config", self.etc / "containerd/config.toml", "--restart"]

    def add(self, *words: str) -> Run:
        return self.ctl(*self.words("add", "containerd", *words))

    def status(self) -> tuple[int, Any]:
        done = self.ctl("engine", "status", "--json")
        return done.returncode, json.loads(done.stdout)

    def files(self) -> dict[str, bytes]:
        """Return every file of the engine's configuration, of our records and of our journals."""
        places = [*self.engine.space.inside(self.etc).rglob("*")]
        places += [*(self.installed.prefix / "var/engines").glob("*")]
        places += [*(self.installed.prefix / "var/changes").glob("*")]
        return {str(path): path.read_bytes() for path in places if path.is_file()}

    def running(self) -> list[str]:
        """Return the containers that run: only the one that was there before."""
        told = [self.engine.ctr("tasks", "list", namespace=one).stdout for one in NAMESPACES]
        return [line.split()[0] for text in told for line in text.splitlines() if "RUNNING" in line]

    def ours(self) -> Path:
        """Return the file that has our handler."""
        found = self.engine.space.inside(self.etc).rglob("*.toml")
        (one,) = [path for path in found if '/bin/runc-wrap"' in path.read_text()]
        return one

    def handlers(self) -> list[str]:
        """Return what the running engine has."""
        _, found = self.status()
        return [each["handler"] for one in found for each in one["handlers"] if each["in_force"]]


NAMESPACES = ("default", CRI_NAMESPACE)


@pytest.fixture(scope="module")
def running() -> Iterator[tuple[Containerd, Units]]:
    """A containerd without any handler of ours, as a unit, with a container that runs."""
    with short_directory("txn") as place:
        (place / "image").mkdir()
        archive = images.archive(place / "image")
        (place / "c/etc").mkdir(parents=True)
        with containerd(place / "c", {}) as engine:
            engine.load(archive)
            engine.load(archive, CRI_NAMESPACE)
            engine.ctr("run", "--detach", "--runc-binary", program("runc"), images.REFERENCE, LIVES)
            inside = engine.space.prefix
            run([*inside, "mount", "-t", "tmpfs", "-o", "size=2m", "test", place / "c/etc"])
            argv = [*inside, program("containerd"), "-c", f"{place}/c/etc/containerd/config.toml"]
            unit = Unit(
                lambda: Daemon(argv, place / "c" / "containerd.log"),
                lambda: engine.try_ctr("version").returncode == 0,
                engine.daemon,
            )
            with engine_units(place / "c", engine.space, {UNIT: unit}) as units:
                yield engine, units
                engine.try_ctr("tasks", "kill", "--signal", "KILL", LIVES)


@pytest.fixture
def node(running: tuple[Containerd, Units], installed: Installed, tmp_path: Path) -> Iterator[Node]:
    """The engine with its own configuration, and an installation of this test."""
    engine, units = running
    etc = engine.space.inside(engine.directory / "etc/containerd")
    shutil.rmtree(etc, ignore_errors=True)
    etc.mkdir()
    text = configuration(engine.directory, {"runc": Handler(program("runc"))})
    (etc / "config.toml").write_text(text)
    assert units.units[UNIT].restart()
    units.asked.clear()
    yield Node(engine, units, copy_of(installed, tmp_path / "own"))
    units.before, units.units[UNIT].comes_back = (lambda _: None), True


def test_an_engine_is_registered_restarted_and_proved_and_the_same_backwards(node: Node) -> None:
    before = node.files()
    done = node.add("--default", "--json")
    assert done.returncode == 0, done.stderr + done.stdout
    document = json.loads(done.stdout)
    assert "equal call by call" in document["proved"]
    assert document["reload"] is None
    code, (found,) = node.status()
    assert (code, found["drift"], found["remarks"], found["upgraded"]) == (0, [], [], False)
    assert f" {found['version']} " in run([program("containerd"), "--version"]).stdout
    shown = [
        {key: one[key] for key in ("default", "configured", "in_force", "default_in_force")}
        for one in found["handlers"]
    ]
    assert shown == [
        {"default": True, "configured": True, "in_force": True, "default_in_force": True}
    ]
    assert found["by"]
    assert len(node.units.words("restart")) == 1
    assert node.running() == [LIVES]
    done = node.ctl(*node.words("remove", "containerd", "--json"))
    assert done.returncode == 0, done.stderr + done.stdout
    assert node.files() == before
    assert node.running() == [LIVES]


def refuses(node: Node) -> None:
    """The engine's own check refuses the change."""
    script = node.engine.directory / "sbin/containerd"
    script.write_text(
        f"#!/bin/sh\n! grep -qr /bin/runc-wrap {node.etc}/containerd || "
        '{ echo "no such setting" >&2; exit 1; }\nexec /usr/bin/containerd "$@"\n'
    )
    script.chmod(0o755)


def stays_away(node: Node) -> None:
    """The engine does not come back from the first restart."""

    def before(_words: list[str]) -> None:
        node.unit.comes_back = len(node.units.words("restart")) != 1

    node.units.before = before


def stays_away_on_a_full_disk(node: Node) -> None:
    """And the disk that its configuration is on is full from then on."""
    stays_away(node)
    fails = node.units.before

    def before(words: list[str]) -> None:
        fails(words)
        if "restart" in words:
            attempt(["dd", "if=/dev/zero", f"of={node.engine.space.inside(node.etc)}/full"])

    node.units.before = before


def unconfined(node: Node) -> None:
    """What is registered starts containers, but is not us."""
    node.installed.wrapper.unlink()
    node.installed.wrapper.write_text(f'#!/bin/sh\nexec {program("runc")} "$@"\n')
    node.installed.wrapper.chmod(0o755)


def hangs(node: Node) -> None:
    """What is registered starts nothing, and does not end."""
    node.installed.wrapper.unlink()
    text = '#!/bin/sh\ncase "$*" in *create*) exec sleep 20; esac\n'
    node.installed.wrapper.write_text(f'{text}exec {program("runc")} "$@"\n')
    node.installed.wrapper.chmod(0o755)
    python = node.installed.release / "venv/bin/python"
    code = node.installed.prefix / "shorter.py"
    code.write_text(SHORTER)
    script = f'#!/bin/sh\nexec {python} -I {code} --prefix {node.installed.prefix} "$@"\n'
    node.installed.ctl.write_text(script)


@pytest.mark.parametrize(
    ("fault", "told", "restarts"),
    [
        (refuses, "containerd refuses its files: no such setting", 0),
        (stays_away, "`systemctl restart containerd.service` failed", 2),
        (stays_away_on_a_full_disk, "`systemctl restart containerd.service` failed", 2),
        (unconfined, "the ledger has no decision about the canary", 2),
        (hangs, "did not answer /runtime.v1.RuntimeService/RunPodSandbox within", 2),
    ],
)
def test_a_fault_leaves_the_engine_as_it_was(
    node: Node, fault: Any, told: str, restarts: int
) -> None:
    before = node.files()
    fault(node)
    done = node.add("--json")
    (node.engine.space.inside(node.etc) / "full").unlink(missing_ok=True)
    (node.engine.directory / "sbin/containerd").unlink(missing_ok=True)
    assert done.returncode == 1, done.stderr + done.stdout
    document = json.loads(done.stdout)
    assert document["taken_back"] is True
    assert told in document["reason"]
    assert node.files() == before
    assert len(node.units.words("restart")) == restarts
    assert node.handlers() == []
    assert node.engine.ctr("version").returncode == 0
    assert node.running() == [LIVES]


@pytest.mark.parametrize("verb", ["systemd-run", "restart"])
def test_killed_it_is_taken_back_later(node: Node, verb: str) -> None:
    before = node.files()
    argv = [*node.engine.space.prefix, node.installed.ctl, *node.words("add", "containerd")]
    process = subprocess.Popen(argv, env=environment(), stderr=subprocess.DEVNULL)

    def kill(words: list[str]) -> None:
        if verb in words:
            os.kill(process.pid, signal.SIGKILL)

    node.units.before = kill
    assert process.wait(100) == -signal.SIGKILL
    node.units.before = lambda _: None
    assert (node.files() == before) is (verb == "systemd-run")
    (guard,) = [words for words in node.units.words("systemd-run") if "--on-active=1800s" in words]
    assert guard[guard.index("engine") :] == ["engine", "revert"]
    done = node.ctl("engine", "revert")
    assert done.returncode == 0, done.stderr
    assert node.files() == before
    assert node.handlers() == []
    assert node.running() == [LIVES]


def test_an_engine_that_asked_a_former_runtime_for_its_features_is_named(node: Node) -> None:
    """Its socket is one that only its own configuration names."""
    done = node.add()
    assert done.returncode == 0, done.stderr + done.stdout

    def said() -> list[str]:
        applied = node.ctl("apply", "--force")
        assert applied.returncode == 0, applied.stderr
        found = json.loads(node.ctl("doctor", "--json").stdout)
        findings = [one["sentence"] for one in found["findings"] if one["check"] == "features"]
        told = (applied.stdout + applied.stderr).splitlines()
        return [*findings, *(line for line in told if "asked for the runtime's features" in line)]

    assert said() == []
    (node.installed.prefix / "etc/config.toml").write_text('runtime = ["crun"]\n')
    finding, remark = said()
    assert "asked for the runtime's features when it started" in finding
    assert remark.endswith("restart it: systemctl restart containerd")
    assert node.unit.restart()
    assert said() == []


def test_a_node_without_the_sandboxes_image_is_refused_with_its_name_before_any_change(
    node: Node,
) -> None:
    config = node.engine.space.inside(node.etc) / "containerd/config.toml"
    config.write_text(config.read_text().replace(images.REFERENCE, "localhost/absent:1"))
    assert node.unit.restart()
    before = node.files()
    node.units.asked.clear()
    done = node.add()
    assert done.returncode == 2
    assert "has no image localhost/absent:1 for pods' sandboxes" in done.stderr
    assert "crictl pull localhost/absent:1" in done.stderr
    assert node.files() == before
    assert node.units.words("restart") == []


def test_at_boot_the_files_are_put_back_and_no_engine_is_asked(node: Node) -> None:
    """Then what a canary left is found by `doctor`, which removes it."""
    before = node.files()
    sleeps = f'#!/bin/sh\ncase "$*" in *create*) exec sleep 5; esac\nexec {program("runc")} "$@"\n'
    node.installed.wrapper.unlink()
    node.installed.wrapper.write_text(sleeps)
    node.installed.wrapper.chmod(0o755)
    argv = [*node.engine.space.prefix, node.installed.ctl, *node.words("add", "containerd")]
    process = subprocess.Popen(argv, env=environment(), stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: bool(_pods(node)), "the canary", 100)
    finally:
        process.kill()
        process.wait(100)
    node.units.asked.clear()
    done = node.ctl("engine", "revert", "--boot")
    assert done.returncode == 0, done.stderr
    assert node.files() == before
    assert node.units.words("restart") == []
    assert node.unit.restart()
    assert node.ctl(*node.words("add", "containerd")[:-1]).returncode == 0
    if _pods(node):
        found = json.loads(node.ctl("doctor", "--json").stdout)["findings"]
        assert "canaries" in [one["check"] for one in found]
        node.ctl("doctor", "--fix")
    assert not _pods(node)


def _pods(node: Node) -> str:
    """Return the containers of CRI, none while the engine restarts."""
    return node.engine.try_ctr("containers", "list", "--quiet", namespace=CRI_NAMESPACE).stdout


def test_what_differs_is_named(node: Node) -> None:
    done = node.ctl("engine", "add", "containerd", "--config", node.etc / "containerd/config.toml")
    assert done.returncode == 0, done.stderr
    code, (found,) = node.status()
    assert code == 1
    assert [one["in_force"] for one in found["handlers"]] == [False]
    assert "the handler runc-wrap is missing; restart containerd.service" in found["drift"][0]
    assert node.add().returncode == 0
    assert node.status()[0] == 0
    ours = node.ours()
    ours.write_text(ours.read_text() + "# changed\n")
    code, (found,) = node.status()
    assert code == 1
    assert "containerd.service was started before that" in found["drift"][0]
    ours.write_text(ours.read_text().replace("BinaryName", "Root"))
    assert node.unit.restart()
    code, (found,) = node.status()
    assert (code, [one["in_force"] for one in found["handlers"]]) == (1, [False])
    assert "the handler runc-wrap is runc itself, not" in found["drift"][0]
    _without_ours(ours)
    code, (found,) = node.status()
    assert code == 1
    assert "the handler runc-wrap is missing; run `engine add" in found["drift"][0]


def _without_ours(ours: Path) -> None:
    """Take our handler out of its file by hand; nothing is left of a file of our own."""
    if ours.parent.name == "conf.d":
        ours.unlink()
    else:
        ours.write_text(ours.read_text().split("# BEGIN")[0])

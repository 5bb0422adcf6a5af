"""`engine add --restart` on a real dockerd, which reads its file again, and a real Podman.

The node's systemd is the test (harness/engines/engine_units.py).
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from harness.engines import images
from harness.engines.docker import Docker, dockerd
from harness.engines.engine_units import Unit, Units, engine_units
from harness.engines.podman import podman
from harness.host.processes import attempt, run, short_directory
from harness.node.install import Installed, copy_of
from harness.node.requirements import program

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from harness.host.namespaces import MountNamespace
    from harness.host.processes import Run


def ctl(space: MountNamespace, installed: Installed, *words: str | Path) -> Run:
    return attempt([*space.prefix, installed.ctl, "engine", *words, "--json"], seconds=200)


def document(done: Run, status: int = 0) -> Any:
    assert done.returncode == status, done.stderr + done.stdout
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def docker() -> Iterator[tuple[Docker, Units]]:
    """A dockerd as a unit, at the usual socket of its own mount namespace."""
    with short_directory("txnd") as place, dockerd(place, {}) as engine:
        run([*engine.space.prefix, "ln", "-s", engine.socket, "/run/docker.sock"])
        unit = Unit(
            engine.started_again,
            lambda: engine.try_docker("version").returncode == 0,
            engine.daemon,
        )
        with engine_units(place, engine.space, {"docker.service": unit}) as units:
            yield engine, units


def test_docker_reads_its_file_again_and_starts_a_container(
    docker: tuple[Docker, Units], installed: Installed, tmp_path: Path
) -> None:
    engine, units = docker
    own, config = copy_of(installed, tmp_path / "own"), engine.directory / "daemon.json"
    before = config.read_bytes()
    words = ("docker", "--config", config, "--restart")
    proved = document(ctl(engine.space, own, "add", *words))["proved"]
    assert "in mode enforce, equal call by call" in proved
    (found,) = document(ctl(engine.space, own, "status"))
    assert [one["in_force"] for one in found["handlers"]] == [True]
    daemons = engine.docker("version", "--format", "{{.Server.Version}}").stdout.strip()
    assert (found["version"], found["upgraded"]) == (daemons, False)
    assert engine.docker("images", "--quiet").stdout == ""
    assert engine.docker("ps", "--all", "--quiet").stdout == ""
    document(ctl(engine.space, own, "remove", *words))
    assert config.read_bytes() == before
    assert [one[1:] for one in units.words("reload")] == [["reload", "docker.service"]] * 2
    assert units.words("restart") == []


def test_docker_keeps_its_file_if_what_it_starts_is_not_us(
    docker: tuple[Docker, Units], installed: Installed, tmp_path: Path
) -> None:
    engine, units = docker
    own, config = copy_of(installed, tmp_path / "own"), engine.directory / "daemon.json"
    before = config.read_bytes()
    own.wrapper.unlink()
    own.wrapper.write_text(f'#!/bin/sh\nexec {program("runc")} "$@"\n')
    own.wrapper.chmod(0o755)
    done = ctl(engine.space, own, "add", "docker", "--config", config, "--restart")
    assert "no decision about the canary" in document(done, 1)["reason"]
    assert config.read_bytes() == before
    told = engine.docker("info", "--format", "{{json .Runtimes}}").stdout
    assert "runc-wrap" not in json.loads(told)
    assert units.words("restart") == []


def test_docker_that_had_no_runtimes_forgets_ours_when_it_is_taken_back(
    docker: tuple[Docker, Units], installed: Installed, tmp_path: Path
) -> None:
    """A reload of the former file would keep ours, even as its default."""
    engine, units = docker
    own, config = copy_of(installed, tmp_path / "own"), engine.directory / "daemon.json"
    settings = json.loads(config.read_text())
    del settings["runtimes"]
    config.write_text(json.dumps(settings))
    before = config.read_bytes()
    own.wrapper.unlink()
    own.wrapper.write_text(f'#!/bin/sh\nexec {program("runc")} "$@"\n')
    own.wrapper.chmod(0o755)
    done = ctl(engine.space, own, "add", "docker", "--config", config, "--restart", "--default")
    assert document(done, 1)["taken_back"] is True
    assert config.read_bytes() == before
    told = engine.docker("info", "--format", "{{json .}}").stdout
    assert json.loads(told)["DefaultRuntime"] == "runc"
    assert "runc-wrap" not in json.loads(told)["Runtimes"]
    assert units.words("restart") == []


def test_docker_is_not_restarted_while_that_ends_containers(
    docker: tuple[Docker, Units], installed: Installed, tmp_path: Path
) -> None:
    """A removal after which daemon.json has no runtimes needs a restart."""
    engine, units = docker
    own, config = copy_of(installed, tmp_path / "own"), engine.directory / "daemon.json"
    settings = json.loads(config.read_text())
    settings.pop("runtimes", None)
    config.write_text(json.dumps(settings))
    before = config.read_bytes()
    words = ("docker", "--config", config, "--restart")
    document(ctl(engine.space, own, "add", *words))
    run([*engine.space.prefix, "mkdir", "-p", engine.directory / "image"])
    archive = images.archive(engine.directory / "image")
    engine.docker("load", "--input", archive)
    lives = ("run", "--detach", "--network", "none", "--name", "lives", images.REFERENCE)
    engine.docker(*lives, "sleep", "600")
    done = ctl(engine.space, own, "remove", *words)
    assert done.returncode == 2, done.stdout
    assert "ends 1 container that runs, as live-restore is off" in done.stderr
    assert units.words("restart") == []
    assert engine.docker("ps", "--quiet", "--no-trunc").stdout.split()
    removed = document(ctl(engine.space, own, "remove", *words, "--stop-containers"))
    assert "the engine's default starts a container" in removed["proved"]
    assert config.read_bytes() == before
    assert len(units.words("restart")) == 1
    assert engine.docker("ps", "--quiet").stdout == ""  # so a restart does end them
    engine.remove_all()
    engine.docker("rmi", images.REFERENCE)


def test_podman_needs_no_restart_and_starts_a_container(
    installed: Installed, tmp_path: Path
) -> None:
    own = copy_of(installed, tmp_path / "own")
    with (
        short_directory("txnp") as place,
        podman(place, {}) as engine,
        engine_units(place, engine.space, {}),
    ):
        etc = place / "etc"
        etc.mkdir()
        for name, target in (("etc", "/etc/containers"), ("storage", "/var/lib/containers")):
            (place / name).mkdir(exist_ok=True)
            run([*engine.space.prefix, "mount", "--bind", place / name, target])
        (etc / "containers.conf").write_text('[engine]\ncgroup_manager = "cgroupfs"\n')
        (etc / "policy.json").write_text('{"default": [{"type": "insecureAcceptAnything"}]}')
        (place / "theirs").mkdir()
        other = ("create", "--label", "runc-wrap.canary=1", "--name", "runc-wrap-canary-other")
        asked = [*engine.space.prefix, program("podman")]
        run([*asked, *other, "--rootfs", place / "theirs", "/none"])
        proved = document(ctl(engine.space, own, "add", "podman", "--restart"))["proved"]
        assert proved == "its own profile, equal call by call"
        left = run([*asked, "ps", "--all", "--format", "{{.Names}}"]).stdout.split()
        assert left == ["runc-wrap-canary-other"]
        run([*asked, "rm", *left])
        (found,) = document(ctl(engine.space, own, "status"))
        assert [one["in_force"] for one in found["handlers"]] == [True]
        assert run([program("podman"), "--version"]).stdout.split()[-1] == found["version"]
        own.wrapper.write_text(f'#!/bin/sh\nexec {program("runc")} "$@"\n')
        done = ctl(engine.space, own, "add", "podman", "--restart", "--handler", "other")
        assert "no decision about the canary" in document(done, 1)["reason"]
        assert [one.name for one in (etc / "containers.conf.d").iterdir()] == [
            "50-runc-wrap-runc-wrap.conf"
        ]
        document(ctl(engine.space, own, "remove", "podman", "--restart"))
        assert not (etc / "containers.conf.d").exists()

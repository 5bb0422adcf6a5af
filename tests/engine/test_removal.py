"""`engine remove` strands no container: real Docker, Podman and containerd.

Each test first takes our lines out by hand, and shows what then fails.
"""

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.engines.containerd import CRI_NAMESPACE, Containerd, containerd
from harness.engines.cri import Ask, Cri, CriError, Pod
from harness.engines.docker import Docker, dockerd
from harness.engines.images import IDLE, REFERENCE
from harness.engines.podman import OwnPodman, own_podman
from harness.host.processes import run, short_directory, wait_until
from harness.kernel.process_status import DISABLED, FILTER
from harness.node.install import Installed, copy_of
from harness.node.requirements import program
from tests.engine.conftest import Ctl


class Node(Ctl):
    """That of an installation of its own."""

    def engine(self, *words: str | Path) -> dict[str, Any]:
        """Run runc-wrapctl engine; return its document."""
        done = self("engine", *words, "--json")
        assert done.returncode == 0, done.stdout + done.stderr
        return dict(json.loads(done.stdout))

    def refused(self, *words: str | Path) -> str:
        """Run runc-wrapctl engine, which refuses; return why."""
        done = self("engine", *words)
        assert done.returncode == 2, done.stdout + done.stderr
        return " ".join(done.stderr.split())


@pytest.fixture(name="directory")
def short() -> Iterator[Path]:
    with short_directory("removal") as directory:
        yield directory


# Docker -------------------------------------------------------------------------------------------


@pytest.fixture(name="docker")
def own_dockerd(directory: Path, image: Path) -> Iterator[Docker]:
    """A dockerd for one test, whose file has a runtime of its owner's."""
    with dockerd(directory, {"crun": program("crun")}) as engine:
        run([*engine.space.prefix, "ln", "-s", engine.socket, "/run/docker.sock"])
        engine.docker("load", "--input", image)
        yield engine


def _reload(docker: Docker, *, knows: bool) -> None:
    """Let dockerd read its runtimes, and wait until it has: that is asynchronous."""
    os.kill(docker.daemon.pid, signal.SIGHUP)

    def has_read() -> bool:
        shown = json.loads(docker.docker("info", "--format", "{{json .Runtimes}}").stdout)
        return ("runc-wrap" in shown) is knows

    wait_until(has_read, "dockerd to read its runtimes")


def test_a_stopped_docker_container_can_be_started_after_the_removal(
    docker: Docker, directory: Path, installed: Installed
) -> None:
    node = Node(copy_of(installed, directory / "p"), docker.space.prefix)
    config = directory / "daemon.json"
    words = ("docker", "--config", config)
    before = config.read_bytes()
    node.engine("add", *words)
    _reload(docker, knows=True)
    for name in ("stopped", "running"):
        docker.docker("run", "--detach", "--runtime", "runc-wrap", "--name", name, REFERENCE)
    assert docker.seccomp("stopped") == FILTER
    docker.docker("stop", "--time", "0", "stopped")

    config.write_bytes(before)
    _reload(docker, knows=False)
    refused = docker.try_docker("start", "stopped")
    assert "unknown or invalid runtime name: runc-wrap" in refused.stderr

    node.engine("add", *words, "--default")
    _reload(docker, knows=True)
    registered = config.read_bytes()
    told = "2 containers: running (docker, running), stopped (docker, exited)"
    assert told in node.refused("remove", *words)
    assert config.read_bytes() == registered
    removed = node.engine("remove", *words, "--hand-over")
    path = json.loads(config.read_text())["runtimes"]["runc-wrap"]["path"]
    assert Path(path).resolve() == Path(program("runc")).resolve()
    assert removed["handed_over"] == [f"the handler runc-wrap in {config}, which leads to {path}"]
    assert removed["reload"] == "systemctl reload docker"
    _reload(docker, knows=True)
    docker.docker("run", "--detach", "--name", "new", REFERENCE)
    shown = docker.docker("inspect", "--format", "{{.HostConfig.Runtime}}", "new").stdout
    assert shown == "runc\n"
    docker.docker("start", "stopped")
    assert docker.seccomp("stopped") == DISABLED  # not through us any more
    docker.docker("exec", "running", "true")
    docker.docker("stop", "--time", "0", "running")
    docker.docker("rm", "--force", "stopped", "running", "new")
    done = node("engine", "remove", *words, "--json")
    assert json.loads(done.stdout)["nothing"] == "not registered"


# Podman -------------------------------------------------------------------------------------------


@pytest.fixture(name="podman")
def podman_of_one_test(directory: Path, image: Path) -> Iterator[OwnPodman]:
    """A Podman that one test may register with."""
    with own_podman(directory, image) as engine:
        yield engine


def test_podman_can_enter_stop_and_remove_a_container_after_the_removal(
    podman: OwnPodman, directory: Path, installed: Installed
) -> None:
    node = Node(copy_of(installed, directory / "p"), podman.space.prefix)
    node.engine("add", "podman")
    through = ("--runtime", "runc-wrap", "run", "--detach", "--name")
    for name in ("one", "two"):
        started = podman.podman(*through, name, REFERENCE)
        assert started.returncode == 0, started.stderr
    show = ("exec", "one", "true")
    assert podman.podman(*show).returncode == 0

    (drop_in,) = (directory / "etc" / "containers.conf.d").iterdir()
    text = drop_in.read_text()
    drop_in.unlink()
    for failing in (show, ("stop", "-t0", "one"), ("rm", "-f", "-t0", "one")):
        assert podman.podman(*failing).returncode != 0, failing
    drop_in.write_text(text)

    refused = node.refused("remove", "podman")
    assert "needed by 2 containers: one (podman, " in refused
    assert ", two (podman, running)" in refused
    node.engine("remove", "podman", "--hand-over")
    removed = [f"rm -f -t0 {name}" for name in ("two", "one")]
    for words in ("exec two true", "stop -t0 two", "start two", *removed):
        done = podman.podman(*words.split())
        assert done.returncode == 0, done.stderr
    assert [*(directory / "etc" / "containers.conf.d").iterdir()] == [drop_in]
    drop_in.unlink()  # the owner's
    node.engine("add", "podman")
    node.engine("remove", "podman")
    assert [*(directory / "etc" / "containers.conf.d").iterdir()] == []


# containerd ---------------------------------------------------------------------------------------


@pytest.fixture(name="own")
def own_containerd(directory: Path, image: Path) -> Iterator[Containerd]:
    """A containerd for one test."""
    with containerd(directory, {}) as engine:
        engine.load(image, CRI_NAMESPACE)
        yield engine


def _started(cri: Cri, pod: Pod, name: str) -> str:
    return cri.run(pod, Ask(name=name, command=tuple(IDLE)))


def test_a_pods_containers_can_be_started_again_after_the_removal(
    own: Containerd, directory: Path, installed: Installed
) -> None:
    node = Node(copy_of(installed, directory / "p"), own.space.prefix)
    words = ("containerd", "--config", own.config)
    before = own.config.read_bytes()
    node.engine("add", *words)
    own.restart()
    with own.kubelet() as cri:
        pod = cri.run_pod("runc-wrap")
        first = _started(cri, pod, "first")
        assert cri.seccomp(first) == FILTER

        registered = own.config.read_bytes()
        own.config.write_bytes(before)
        own.restart()
        cri.wait_ready()
        with pytest.raises(CriError, match='no runtime for "runc-wrap" is configured'):
            _started(cri, pod, "second")
        own.config.write_bytes(registered)

        told = " and ".join(f"{CRI_NAMESPACE}/{each}" for each in sorted([pod.id, first]))
        refused = node.refused("remove", *words)
        assert all(each in refused for each in told.split(" and ")), refused
        node.engine("remove", *words, "--hand-over")
        own.restart()
        cri.wait_ready()
        assert cri.seccomp(_started(cri, pod, "second")) == FILTER  # the pod's shim has our path
        cri.exec(first, "true")
        cri.remove_pod(pod.id)

        late = cri.run_pod("runc-wrap")  # by the name that was handed over
        assert cri.seccomp(_started(cri, late, "third")) == DISABLED
        cri.remove_pod(late.id)


# uninstall ----------------------------------------------------------------------------------------

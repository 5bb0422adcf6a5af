"""The suite's own guarantees: it leaves nothing behind, and names missing programs."""

import contextlib
import functools
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import pytest

from harness.engines.containerd import CRI_NAMESPACE, containerd
from harness.engines.cri import Ask, client
from harness.engines.docker import dockerd
from harness.engines.images import REFERENCE
from harness.engines.podman import podman
from harness.host.processes import short_directory, wait_until
from harness.node.requirements import REQUIRE_ALL, requires

SOURCE = Path(__file__).resolve().parents[2]


class HalfWayError(Exception):
    """A test that fails while its containers run; the arguments are its cgroup and pids."""


def running(directory: Path, *pids: int) -> list[str]:
    """Return what is left: these processes, any that names the directory, mounts in it."""
    found = [f"pid {pid}" for pid in pids if Path(f"/proc/{pid}").exists()]
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            words = (entry / "cmdline").read_bytes()
            if f"{directory}/".encode() in words:
                found.append(f"{entry.name}: {words!r}")
    mounts = Path("/proc/self/mountinfo").read_text().splitlines()
    return [*found, *(line for line in mounts if f"{directory}/" in line)]


def traces(directory: Path, cgroup: str, *pids: int) -> list[str]:
    """Return what is left, the directory itself and cgroups included."""
    cgroups = Path("/sys/fs/cgroup").glob(f"*{cgroup}")
    places = [directory] if directory.exists() else []
    return [*running(directory, *pids), *map(str, [*places, *cgroups])]


def idle_in_containerd(directory: Path, image: Path) -> NoReturn:
    """Start a container with ctr and fail before it is removed."""
    with containerd(directory, {}) as engine:
        engine.load(image)
        cgroup = ["--cgroup", f"{engine.space.cgroup}/idle"]
        engine.ctr("run", "--detach", *cgroup, REFERENCE, "idle")
        row = engine.ctr("task", "list").stdout.splitlines()[-1]
        raise HalfWayError(engine.space.cgroup, int(row.split()[1]), engine.daemon.pid)


def idle_in_a_pod(directory: Path, image: Path) -> NoReturn:
    """Start a pod through CRI and fail before it is removed."""
    with containerd(directory, {}) as engine:
        engine.load(image, CRI_NAMESPACE)
        with client(engine.socket, engine.space.cgroup) as cri:
            cri.wait_image()
            pod = cri.run_pod("runc", directory / "logs")
            pid = cri.pid(cri.run(pod, Ask()))
            raise HalfWayError(engine.space.cgroup, cri.sandbox_pid(pod), pid)


def idle_in_docker(directory: Path, image: Path) -> NoReturn:
    """Start a container and fail before it is removed."""
    with dockerd(directory, {}) as engine:
        engine.docker("load", "--input", image)
        engine.docker("run", "--detach", "--network", "none", "--name", "idle", REFERENCE)
        raise HalfWayError(engine.space.cgroup, engine.pid("idle"), engine.daemon.pid)


def idle_in_podman(directory: Path, image: Path) -> NoReturn:
    """Start a container and fail before it is removed."""
    with podman(directory, {}) as engine:
        engine.podman("load", "--input", image)
        engine.podman("run", "--detach", "--name", "idle", REFERENCE)
        raise HalfWayError(engine.space.cgroup, engine.pid("idle"))


@pytest.mark.parametrize(
    "fail_half_way", [idle_in_containerd, idle_in_a_pod, idle_in_docker, idle_in_podman]
)
def test_an_engine_of_a_failed_test_leaves_nothing_behind(
    image: Path, fail_half_way: Callable[[Path, Path], NoReturn]
) -> None:
    with short_directory("half") as directory, pytest.raises(HalfWayError) as failed:
        fail_half_way(directory, image)
    assert len(failed.value.args) > 0
    left = functools.partial(traces, directory, *failed.value.args)
    wait_until(lambda: left() == [], f"{left()} to be gone", seconds=60)


def test_a_missing_program_is_skipped_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(REQUIRE_ALL, raising=False)
    with pytest.raises(pytest.skip.Exception, match="needs the program no-such-engine, which is"):
        requires("no-such-engine")
    with pytest.raises(pytest.skip.Exception, match="needs the file /no/such/file, which does"):
        requires("/no/such/file")
    requires("sh", "/proc/self/status")


def test_a_missing_program_is_a_failure_if_everything_is_required(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(REQUIRE_ALL, "1")
    with pytest.raises(pytest.fail.Exception, match="no-such-engine"):
        requires("no-such-engine")


def test_a_user_who_is_not_root_gets_a_message(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(REQUIRE_ALL, raising=False)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(pytest.skip.Exception, match="needs root"):
        requires("sh", root=True)


ORPHAN = """
import pathlib, sys, time
from harness.engines.containerd import CRI_NAMESPACE, containerd
from harness.engines.cri import Ask, client
directory, image = map(pathlib.Path, sys.argv[1:])
with containerd(directory, {}) as engine:
    engine.load(image, CRI_NAMESPACE)
    with client(engine.socket, engine.space.cgroup) as cri:
        cri.wait_image()
        pod = cri.run_pod("runc", directory / "logs")
        pid = cri.pid(cri.run(pod, Ask()))
        print(engine.space.cgroup, cri.sandbox_pid(pod), pid, flush=True)
        time.sleep(250)
"""


def test_a_killed_test_process_leaves_no_process_no_mount_and_no_cgroup(image: Path) -> None:
    with short_directory("orphan") as directory:
        words = [sys.executable, "-W", "ignore", "-c", ORPHAN, str(directory), str(image)]
        with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, cwd=SOURCE) as process:
            assert process.stdout is not None
            cgroup, *pids = process.stdout.readline().split()
            assert [Path(f"/proc/{pid}").exists() for pid in pids] == [True, True]
            process.kill()
        left = functools.partial(running, directory, *map(int, pids))
        wait_until(lambda: left() == [], f"{left()} to be gone", seconds=60)
        cgroups = Path("/sys/fs/cgroup")
        wait_until(lambda: not list(cgroups.glob(f"*{cgroup}")), f"{cgroup} to be gone", seconds=60)

"""The suite's own guarantees: it leaves nothing behind, and names missing programs."""

import contextlib
import functools
import subprocess
import sys
from pathlib import Path

import pytest

from harness.host.processes import short_directory, wait_until
from harness.node.requirements import REQUIRE_ALL, requires

SOURCE = Path(__file__).resolve().parents[2]


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


def test_a_missing_program_is_a_failure_if_everything_is_required(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(REQUIRE_ALL, "1")
    with pytest.raises(pytest.fail.Exception, match="no-such-engine"):
        requires("no-such-engine")


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

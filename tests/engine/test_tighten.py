"""Containers of real engines are tightened while they run, and so is what the engine executes."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from harness.engines.containerd import Containerd
from harness.engines.cri import Ask, Cri
from harness.engines.podman import Podman
from harness.host.namespaces import MountNamespace
from harness.host.processes import attempt
from harness.node.install import Installed
from harness.node.requirements import requires
from tests.engine.test_status import verified
from tests.runtime.tighten import rounds

SOURCES = Path(rounds.__file__).with_name("workloads")
# This machine's redis, for at most ten minutes, in the image's busybox
REDIS = ("sh", "-c", "PATH=/bin:/usr/bin exec timeout 600 sh /work/redis.sh 0.3 >>/out/rounds 2>&1")
HOSTS = {"/usr": Path("/usr"), "/lib": Path("/usr/lib"), "/lib64": Path("/usr/lib64")}
TRY = ("sh", "-c", "mkdir /tmp/made 2>/dev/null && rmdir /tmp/made && echo yes || echo no")


def tightened(
    installed: Installed,
    space: MountNamespace,
    profile: Path,
    container: str,
    calls: Sequence[str] = rounds.MKDIR,
) -> tuple[int, Any]:
    """Deny calls in a container of that engine's node."""
    profile.write_text(rounds.profile(calls))
    words = ("--named", str(profile), "--set-no-new-privs", container)
    done = attempt([*space.prefix, installed.ctl, "tighten", "--json", *words])
    found = json.loads(done.stdout)["containers"]
    assert len(found) == 1, done.stderr
    return done.returncode, found[0]


def test_a_pods_container_and_its_exec_probes(
    node: Containerd, cri: Cri, installed: Installed, tmp_path: Path
) -> None:
    pod = cri.run_pod("wrapped", tmp_path)
    one, other = cri.run(pod, Ask()), cri.run(pod, Ask(name="other"))
    assert cri.exec(one, *TRY) == "yes\n"
    status, found = tightened(installed, node.space, tmp_path / "profile.json", one)
    assert (status, found["result"], found["reasons"]) == (0, "tightened", [])
    assert cri.exec(one, *TRY) == "no\n"
    assert cri.exec(other, *TRY) == "yes\n"
    assert verified(installed, node.space, "--deep")[1]["disagreeing"] == []


@pytest.mark.parametrize("runtime", ["wrapped", "wrapped-crun"])
def test_podmans_container_and_its_exec(
    podman: Podman, installed: Installed, tmp_path: Path, runtime: str
) -> None:
    container, again = (podman.start(runtime) for _ in "12")
    assert podman.podman("exec", container, *TRY).stdout == "yes\n"
    profile = tmp_path / "profile.json"
    status, found = tightened(installed, podman.space, profile, container)
    assert (status, found["result"], found["reasons"]) == (0, "tightened", [])
    assert podman.podman("exec", container, *TRY).stdout == "no\n"
    assert podman.podman("exec", again, *TRY).stdout == "yes\n"


def mounts(out: Path) -> Mapping[str, Path]:
    """Return what a container needs to execute REDIS, which writes into `out`."""
    requires("redis-server", "redis-benchmark")
    out.mkdir()
    return {**HOSTS, "/work": SOURCES, "/out": out}


def loses_what_is_denied(
    installed: Installed, space: MountNamespace, place: Path, container: str
) -> None:
    """A filter that redis does not need changes nothing; then it cannot rename files any more."""

    def deny(calls: Sequence[str]) -> None:
        status, found = tightened(installed, space, place / "profile.json", container, calls)
        assert (status, found["result"], found["reasons"]) == (0, "tightened", [])

    words = (rounds.RENAME, "0 500 OK", "0 500 ERR Error bad state")
    rounds.denied_while_it_works([place / "out" / "rounds"], deny, *words)


def test_redis_under_load_in_a_pod(
    node: Containerd, cri: Cri, installed: Installed, tmp_path: Path
) -> None:
    pod = cri.run_pod("wrapped", tmp_path)
    container = cri.run(pod, Ask(command=REDIS, mounts=mounts(tmp_path / "out")))
    loses_what_is_denied(installed, node.space, tmp_path, container)


@pytest.mark.parametrize("runtime", ["wrapped", "wrapped-crun"])
def test_redis_under_load_under_podman(
    podman: Podman, installed: Installed, tmp_path: Path, runtime: str
) -> None:
    bound = [f"--volume={at}:{to}" for to, at in mounts(tmp_path / "out").items()]
    container = podman.start(runtime, *bound, command=REDIS)
    loses_what_is_denied(installed, podman.space, tmp_path, container)

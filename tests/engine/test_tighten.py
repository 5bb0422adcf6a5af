"""Containers of real engines are tightened while they run, and so is what the engine executes."""

import json
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import pytest

from harness.engines.cri import Ask, Cri
from harness.engines.podman import Podman
from harness.node.requirements import requires
from tests.engine.conftest import Ctl
from tests.runtime.tighten import rounds

SOURCES = Path(rounds.__file__).with_name("workloads")
# This machine's redis, for at most ten minutes, in the image's busybox
REDIS = ("sh", "-c", "PATH=/bin:/usr/bin exec timeout 600 sh /work/redis.sh 0.3 >>/out/rounds 2>&1")
HOSTS = {"/usr": Path("/usr"), "/lib": Path("/usr/lib"), "/lib64": Path("/usr/lib64")}
TRY = ("sh", "-c", "mkdir /tmp/made 2>/dev/null && rmdir /tmp/made && echo yes || echo no")


def tighten(ctl: Ctl, place: Path, container: str, calls: Sequence[str] = rounds.MKDIR) -> None:
    """Deny calls in a container."""
    profile = place / "profile.json"
    profile.write_text(rounds.profile(calls))
    done = ctl("tighten", "--json", "--named", profile, "--set-no-new-privs", container)
    (found,) = json.loads(done.stdout)["containers"]
    assert (done.returncode, found["result"], found["reasons"]) == (0, "tightened", [])


def test_a_pods_container_and_its_exec_probes(cri: Cri, pods_ctl: Ctl, tmp_path: Path) -> None:
    pod = cri.run_pod("wrapped")
    one, other = cri.run(pod, Ask()), cri.run(pod, Ask(name="other"))
    assert cri.exec(one, *TRY) == "yes\n"
    tighten(pods_ctl, tmp_path, one)
    assert cri.exec(one, *TRY) == "no\n"
    assert cri.exec(other, *TRY) == "yes\n"
    assert pods_ctl.verified("--deep")[1]["disagreeing"] == []


@pytest.mark.parametrize("runtime", ["wrapped", "wrapped-crun"])
def test_podmans_container_and_its_exec(
    podman: Podman, podmans_ctl: Ctl, tmp_path: Path, runtime: str
) -> None:
    container, again = (podman.start(runtime) for _ in "12")
    assert podman.podman("exec", container, *TRY).stdout == "yes\n"
    tighten(podmans_ctl, tmp_path, container)
    assert podman.podman("exec", container, *TRY).stdout == "no\n"
    assert podman.podman("exec", again, *TRY).stdout == "yes\n"


def mounts(out: Path) -> Mapping[str, Path]:
    """Return what a container needs to execute REDIS, which writes into `out`."""
    requires("redis-server", "redis-benchmark")
    out.mkdir()
    return {**HOSTS, "/work": SOURCES, "/out": out}


def loses_what_is_denied(ctl: Ctl, place: Path, container: str) -> None:
    """A filter that redis does not need changes nothing; then it cannot rename files any more."""
    deny = partial(tighten, ctl, place, container)
    words = (rounds.RENAME, "0 500 OK", "0 500 ERR Error bad state")
    rounds.denied_while_it_works([place / "out" / "rounds"], deny, *words)


def test_redis_under_load_in_a_pod(cri: Cri, pods_ctl: Ctl, tmp_path: Path) -> None:
    pod = cri.run_pod("wrapped")
    container = cri.run(pod, Ask(command=REDIS, mounts=mounts(tmp_path / "out")))
    loses_what_is_denied(pods_ctl, tmp_path, container)


@pytest.mark.parametrize("runtime", ["wrapped", "wrapped-crun"])
def test_redis_under_load_under_podman(
    podman: Podman, podmans_ctl: Ctl, tmp_path: Path, runtime: str
) -> None:
    bound = [f"--volume={at}:{to}" for to, at in mounts(tmp_path / "out").items()]
    container = podman.start(runtime, *bound, command=REDIS)
    loses_what_is_denied(podmans_ctl, tmp_path, container)

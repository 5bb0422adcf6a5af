"""Our failures are one sentence, shown to the user of the engine's command.

Each engine's command must print it. Each failure is first shown to be ours: the same container
starts on the bare runtime.
"""

import re
from pathlib import Path

import pytest

from harness.containers.recording_runtime import in_front
from harness.engines.containerd import Containerd
from harness.engines.cri import UNCONFINED, Ask, Cri, CriError
from harness.engines.docker import Docker
from harness.engines.images import REFERENCE
from harness.engines.podman import Podman
from harness.node.install import Installed

MISSING = "localhost/none.json"
NO_PROFILE = f"runc-wrap/seccomp={MISSING}"
CONTAINERD_SAYS = "OCI runtime create failed: "
KINDS = {  # runtime, does the annotation name a missing profile, what the sentence must say
    "a config.json that is cut short": ("spoiled", False, "config.json is not valid JSON"),
    "a profile that does not exist": ("wrapped", True, MISSING),
    "a full disk": ("full", False, "no space is left on the device"),
}


@pytest.mark.parametrize(("runtime", "no_profile", "sentence"), KINDS.values(), ids=KINDS)
def test_ctr_prints_the_message(
    node: Containerd, runtimes: dict[str, Path], runtime: str, no_profile: bool, sentence: str
) -> None:
    annotation = ["--annotation", NO_PROFILE] if no_profile else []
    words = ["run", "--rm", "--cgroup", f"{node.space.cgroup}/failing", *annotation]
    assert node.try_ctr(*words, REFERENCE, "good", "true").returncode == 0
    failed = node.try_ctr(
        *words, "--runc-binary", str(runtimes[runtime]), REFERENCE, "failing", "true"
    )
    assert failed.returncode != 0
    assert f"{CONTAINERD_SAYS}runc-wrap: " in failed.stderr
    assert sentence in failed.stderr


def test_the_kubelet_gets_the_message(cri: Cri) -> None:
    key, _, value = NO_PROFILE.partition("=")
    annotations = {f"{key}.main": value}
    cri.run(cri.run_pod("runc", annotations), Ask())
    pod = cri.run_pod("wrapped", annotations)
    with pytest.raises(CriError, match=f"{CONTAINERD_SAYS}runc-wrap: .*{MISSING}"):
        cri.run(pod, Ask())


def test_the_kubelet_gets_the_message_when_the_sandbox_fails(cri: Cri) -> None:
    annotations = dict([NO_PROFILE.split("=")])
    cri.run_pod("runc", annotations, seccomp=UNCONFINED)
    with pytest.raises(CriError, match=f"{CONTAINERD_SAYS}runc-wrap: .*{MISSING}"):
        cri.run_pod("wrapped", annotations, seccomp=UNCONFINED)


def test_docker_prints_the_message(docker: Docker) -> None:
    words = ["run", "--rm", "--network", "none", "--annotation", NO_PROFILE]
    assert docker.try_docker(*words, REFERENCE, "true").returncode == 0
    failed = docker.try_docker(*words, "--runtime", "wrapped", REFERENCE, "true")
    assert failed.returncode == 125, "the daemon's failure, not the container's (126, 127)"
    assert re.search(f"runc-wrap: .*{MISSING}", failed.stderr)


@pytest.mark.parametrize("runtime", ["wrapped", "renamed"])
def test_podman_prints_the_message(podman: Podman, runtime: str) -> None:
    """Without --log, and with it."""
    words = ["run", "--rm", "--annotation", NO_PROFILE, REFERENCE, "true"]
    assert podman.try_podman(*words).returncode == 0
    failed = podman.try_podman("--runtime", runtime, *words)
    assert failed.returncode not in {0, 127}, "127 would be a command that is not in the image"
    assert re.search(f"runc-wrap: .*{MISSING}", failed.stderr)


def test_nothing_starts_if_even_the_log_is_full(
    node: Containerd, place: Path, installed: Installed
) -> None:
    # containerd reads the log only, so here its own words are all there is: the exit status.
    full = in_front(place / "brim-full", "cat /dev/zero >filler", installed.wrapper, "rm filler")
    words = ["run", "--rm", "--cgroup", f"{node.space.cgroup}/failing"]
    talk = [REFERENCE, "failing", "echo", "started"]
    assert node.try_ctr(*words, *talk).stdout == "started\n"
    failed = node.try_ctr(*words, "--runc-binary", str(full), *talk)
    assert (failed.returncode, failed.stdout) == (1, "")
    assert f"{CONTAINERD_SAYS}{full} did not terminate successfully: exit status 1" in failed.stderr

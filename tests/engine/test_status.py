"""status and verify on nodes of real engines: every container is found, named, and checked."""

from pathlib import Path
from typing import Any

import pytest

from harness.engines.containerd import Containerd
from harness.engines.cri import Ask, Cri
from harness.engines.images import REFERENCE
from harness.engines.podman import Podman
from harness.host.processes import Daemon, wait_until
from harness.node.install import Installed
from harness.node.requirements import program
from tests.engine.conftest import Ctl

OPT_OUT = {"runc-wrap/seccomp": "unconfined"}


def test_a_pods_containers_are_named_as_kubernetes_names_them(cri: Cri, pods_ctl: Ctl) -> None:
    pod, bare = cri.run_pod("wrapped"), cri.run_pod("runc")
    confined, free = cri.run(pod, Ask(name="main")), cri.run(bare, Ask())
    exempt = cri.run(cri.run_pod("wrapped", OPT_OUT), Ask())
    privileged = cri.run(cri.run_pod("wrapped", privileged=True), Ask(privileged=True))
    found = pods_ctl.status()
    one = found[confined]
    assert (one["namespace"], one["container"], one["image"]) == ("team", "main", REFERENCE)
    assert one["pod"] == pod.config.metadata.name
    assert (one["pid"], one["action"], one["agrees"]) == (cri.pid(confined), "inject", True)
    assert one["effective"] == {"seccomp": 2, "filters": 1}
    assert (found[pod.id]["action"], found[pod.id]["agrees"]) == ("keep", True)  # the sandbox
    assert (found[exempt]["action"], found[exempt]["declared"]) == ("leave", "unconfined")
    assert (found[privileged]["action"], found[privileged]["declared"]) == ("leave", "privileged")
    assert [found[free][key] for key in ("action", "declared", "agrees")] == [None] * 3
    assert found[free]["effective"] == {"seccomp": 0, "filters": 0}
    lists: dict[str, list[Any]] = {"disagreeing": [], "unchecked": [], "sampled": [], "users": []}
    checked = len([one for one in found.values() if one["action"]])
    assert pods_ctl.verified("--deep") == (0, {"checked": checked, **lists})


def test_an_exec_probe_is_counted_and_an_unconfined_process_is_found(
    cri: Cri, pods_ctl: Ctl, tmp_path: Path
) -> None:
    container = cri.run(cri.run_pod("wrapped"), Ask())
    pid = cri.pid(container)
    cri.exec(container, "/bin/sh", "-c", "sleep 1000 >/dev/null 2>&1 & :")
    assert pods_ctl.status()[container]["processes"] == 2
    assert pods_ctl.verified("--deep")[0] == 0
    words = ["nsenter", "--target", str(pid), "--pid", "--mount", "/bin/sleep", "1000"]
    with Daemon(words, tmp_path / "stranger.log"):
        wait_until(lambda: bool(pods_ctl.status()[container]["deviating"]), "it")
        code, found = pods_ctl.verified()
        assert (code, [one["id"] for one in found["disagreeing"]]) == (1, [container])
        assert found["disagreeing"][0]["pod"].startswith("pod-")


def test_continuous_exec_probes_are_no_mismatch(
    node: Containerd, cri: Cri, pods_ctl: Ctl, tmp_path: Path
) -> None:
    container = cri.run(cri.run_pod("wrapped"), Ask())
    bundle = node.bundle(container).parent
    loop = 'while :; do "$0" --root "$1" exec "$2" /bin/true; done'
    root = "/run/containerd/runc/k8s.io"
    words = [*node.space.prefix, "sh", "-c", loop, program("runc"), root, container]
    with Daemon(words, tmp_path / "probes.log"):
        for _ in range(8):
            assert pods_ctl.verified()[0] == 0
        assert pods_ctl.verified("--deep")[0] == 0
    assert bundle.exists()


@pytest.mark.parametrize("runtime", ["wrapped", "wrapped-crun"])
def test_podman_gives_its_runtime_no_root(
    podman: Podman, installed: Installed, governed: dict[str, Installed], runtime: str
) -> None:
    ctl = Ctl(governed.get(runtime, installed), podman.space.prefix)
    container = podman.start(runtime)
    podman.podman("exec", "--detach", container, "sleep", "1000")
    one = ctl.status()[container]
    assert (one["engine"], one["action"], one["agrees"]) == ("podman", "inject", True)
    assert one["processes"] == 2
    assert ctl.verified("--deep")[0] == 0


def test_a_pod_that_shares_its_pid_namespace(podman: Podman, podmans_ctl: Ctl) -> None:
    podman.podman("pod", "create", "--share", "pid", "--name", "shared", "--infra-image", REFERENCE)
    confined = podman.start("wrapped", "--pod", "shared")
    out = ("--annotation", "runc-wrap/seccomp=unconfined")
    exempt = podman.start("wrapped", "--pod", "shared", *out)
    try:
        found = podmans_ctl.status()
        assert (found[confined]["agrees"], found[confined]["processes"]) == (True, 1)
        assert (found[exempt]["agrees"], found[exempt]["processes"]) == (True, 1)
        assert podmans_ctl.verified()[0] == 0
    finally:
        podman.podman("pod", "rm", "--force", "--time", "0", "shared")

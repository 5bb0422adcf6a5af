"""status and verify on nodes of real engines: every container is found, named, and checked."""

import json
from pathlib import Path
from typing import Any

import pytest

from harness.engines.containerd import Containerd
from harness.engines.cri import Ask, Cri
from harness.engines.images import REFERENCE
from harness.engines.podman import Podman
from harness.host.namespaces import MountNamespace
from harness.host.processes import Daemon, attempt, wait_until
from harness.node.install import Installed
from harness.node.requirements import program

OPT_OUT = {"runc-wrap/seccomp": "unconfined"}


def shown(installed: Installed, space: MountNamespace) -> dict[str, Any]:
    """Return {id: status} on that engine's node."""
    done = attempt([*space.prefix, installed.ctl, "status", "--json"])
    assert done.returncode == 0, done.stderr
    return {one["id"]: one for one in json.loads(done.stdout)}


def verified(installed: Installed, space: MountNamespace, *flags: str) -> tuple[int, Any]:
    done = attempt([*space.prefix, installed.ctl, "verify", "--json", *flags])
    assert done.stderr == ""
    return done.returncode, json.loads(done.stdout)


def test_a_pods_containers_are_named_as_kubernetes_names_them(
    node: Containerd, cri: Cri, installed: Installed, tmp_path: Path
) -> None:
    pod, bare = cri.run_pod("wrapped", tmp_path), cri.run_pod("runc", tmp_path)
    confined, free = cri.run(pod, Ask(name="main")), cri.run(bare, Ask())
    exempt = cri.run(cri.run_pod("wrapped", tmp_path, OPT_OUT), Ask())
    privileged = cri.run(cri.run_pod("wrapped", tmp_path, privileged=True), Ask(privileged=True))
    found = shown(installed, node.space)
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
    assert verified(installed, node.space, "--deep") == (
        0,
        {
            "checked": len([one for one in found.values() if one["action"]]),
            "disagreeing": [],
            "unchecked": [],
            "sampled": [],
            "users": [],
        },
    )


def test_an_exec_probe_is_counted_and_an_unconfined_process_is_found(
    node: Containerd, cri: Cri, installed: Installed, tmp_path: Path
) -> None:
    container = cri.run(cri.run_pod("wrapped", tmp_path), Ask())
    pid = cri.pid(container)
    cri.exec(container, "/bin/sh", "-c", "sleep 1000 >/dev/null 2>&1 & :")
    assert shown(installed, node.space)[container]["processes"] == 2
    assert verified(installed, node.space, "--deep")[0] == 0
    words = ["nsenter", "--target", str(pid), "--pid", "--mount", "/bin/sleep", "1000"]
    stranger = Daemon(words, tmp_path / "stranger.log")
    try:
        wait_until(lambda: bool(shown(installed, node.space)[container]["deviating"]), "it")
        code, found = verified(installed, node.space)
        assert (code, [one["id"] for one in found["disagreeing"]]) == (1, [container])
        assert found["disagreeing"][0]["pod"].startswith("pod-")
    finally:
        stranger.stop()


def test_continuous_exec_probes_are_no_mismatch(
    node: Containerd, cri: Cri, installed: Installed, tmp_path: Path
) -> None:
    container = cri.run(cri.run_pod("wrapped", tmp_path), Ask())
    bundle = node.bundle(container).parent
    loop = 'while :; do "$0" --root "$1" exec "$2" /bin/true; done'
    root = "/run/containerd/runc/k8s.io"
    words = [*node.space.prefix, "sh", "-c", loop, program("runc"), root, container]
    probes = Daemon(words, tmp_path / "probes.log")
    try:
        for _ in range(8):
            assert verified(installed, node.space)[0] == 0
        assert verified(installed, node.space, "--deep")[0] == 0
    finally:
        probes.stop()
    assert bundle.exists()


@pytest.mark.parametrize("runtime", ["wrapped", "wrapped-crun"])
def test_podman_gives_its_runtime_no_root(
    podman: Podman, installed: Installed, governed: dict[str, Installed], runtime: str
) -> None:
    chosen = governed.get(runtime, installed)
    container = podman.start(runtime)
    podman.podman("exec", "--detach", container, "sleep", "1000")
    one = shown(chosen, podman.space)[container]
    assert (one["engine"], one["action"], one["agrees"]) == ("podman", "inject", True)
    assert one["processes"] == 2
    assert verified(chosen, podman.space, "--deep")[0] == 0


def test_a_pod_that_shares_its_pid_namespace(podman: Podman, installed: Installed) -> None:
    podman.podman("pod", "create", "--share", "pid", "--name", "shared", "--infra-image", REFERENCE)
    confined = podman.start("wrapped", "--pod", "shared")
    out = ("--annotation", "runc-wrap/seccomp=unconfined")
    exempt = podman.start("wrapped", "--pod", "shared", *out)
    try:
        found = shown(installed, podman.space)
        assert (found[confined]["agrees"], found[confined]["processes"]) == (True, 1)
        assert (found[exempt]["agrees"], found[exempt]["processes"]) == (True, 1)
        assert verified(installed, podman.space)[0] == 0
    finally:
        podman.podman("pod", "rm", "--force", "--time", "0", "shared")

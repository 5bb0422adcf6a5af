"""Podman: `podman --runtime`, with `seccomp_profile = "unconfined"` in containers.conf.

Every test shows the opposite first, on the bare runtime or without the tested setting.
`wrapped` is not in runtime_supports_json, `renamed` is: Podman calls them differently.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from harness.containers.block_rules import as_the_kernel_compares, differences
from harness.engines.images import REFERENCE
from harness.engines.podman import Podman
from harness.host.processes import wait_until
from harness.kernel import process_status
from harness.kernel.process_status import DISABLED, FILTER, seccomp_in
from harness.node.install import Installed

SHOW = ("cat", "/proc/self/status")
EACH_RUNTIME = pytest.mark.parametrize(
    ("bare", "wrapped"), [("runc", "wrapped"), ("crun", "wrapped-crun")]
)
ALL_RUNTIMES = pytest.mark.parametrize("runtime", ["runc", "wrapped", "renamed", "wrapped-crun"])


def start(podman: Podman, runtime: str, *options: str) -> str:
    """`podman run --detach` the idle image; return the container's id."""
    return podman.podman(
        "--runtime", runtime, "run", "--detach", *options, REFERENCE
    ).stdout.strip()


def started(podman: Podman, runtime: str, *options: str) -> int:
    """Start a container; return the Seccomp value of its first process."""
    return process_status.seccomp(podman.pid(start(podman, runtime, *options)))


def block(podman: Podman, container: str) -> Any:
    """Return the linux.seccomp of a container's config.json."""
    config = json.loads((podman.bundle(container) / "config.json").read_text())
    return config["linux"].get("seccomp")


@EACH_RUNTIME
def test_a_container_without_a_profile_is_confined(podman: Podman, bare: str, wrapped: str) -> None:
    assert started(podman, bare) == DISABLED
    assert started(podman, wrapped) == FILTER


@pytest.mark.parametrize("add", [[], ["--cap-add=SYS_ADMIN"], ["--cap-add=ALL"]], ids=str)
def test_the_injected_block_equals_podmans_default(podman: Podman, add: list[str]) -> None:
    own = podman.override("own-default", '[containers]\nseccomp_profile = ""\n')
    words = ["--runtime", "runc", "run", "--detach", *add, REFERENCE]
    theirs = block(podman, podman.podman(*words, override=own).stdout.strip())
    assert block(podman, start(podman, "runc", *add)) is None
    assert (
        differences(as_the_kernel_compares(theirs), block(podman, start(podman, "wrapped", *add)))
        == []
    )


def test_a_runtime_called_through_a_link_confines(podman: Podman) -> None:
    assert started(podman, "runc") == DISABLED
    assert started(podman, "renamed") == FILTER


@pytest.mark.parametrize("runtime", ["wrapped", "renamed"])
def test_podmans_own_option_opts_out(podman: Podman, runtime: str) -> None:
    # Podman notes the option, and only the option, in io.podman.annotations.seccomp.
    assert started(podman, runtime) == FILTER
    assert started(podman, runtime, "--security-opt", "seccomp=unconfined") == DISABLED


def test_a_container_opts_out_by_annotation(podman: Podman) -> None:
    assert started(podman, "wrapped", "--annotation", "other=unconfined") == FILTER
    opt_out = ["--annotation", "runc-wrap/seccomp=unconfined"]
    assert started(podman, "wrapped", *opt_out) == DISABLED


def test_a_privileged_container_is_left_unchanged(podman: Podman) -> None:
    nearly = ["--cap-add", "ALL", "--security-opt", "unmask=ALL"]
    assert started(podman, "wrapped", *nearly) == FILTER
    assert started(podman, "wrapped", "--privileged") == DISABLED


def test_a_container_that_only_claims_privilege_is_confined_where_annotations_do_not_count(
    podman: Podman,
) -> None:
    nearly = ["--cap-add", "ALL", "--security-opt", "unmask=ALL"]
    says_so = [*nearly, "--annotation", "io.podman.annotations.privileged=TRUE"]
    assert started(podman, "wrapped", *says_so) == DISABLED
    assert started(podman, "strict", *says_so) == FILTER
    assert started(podman, "strict", "--privileged") == DISABLED


@EACH_RUNTIME
def test_processes_of_podman_exec_are_confined(podman: Podman, bare: str, wrapped: str) -> None:
    free, confined = start(podman, bare), start(podman, wrapped)
    assert seccomp_in(podman.podman("exec", free, *SHOW).stdout) == DISABLED
    assert seccomp_in(podman.podman("exec", confined, *SHOW).stdout) == FILTER


def test_a_profile_that_podman_wrote_is_kept(podman: Podman, tmp_path: Path) -> None:
    profile = tmp_path / "profile.json"
    profile.write_text('{"defaultAction": "SCMP_ACT_LOG"}')
    options = ["--security-opt", f"seccomp={profile}"]
    bare, wrapped = start(podman, "runc", *options), start(podman, "wrapped", *options)
    assert block(podman, wrapped) == block(podman, bare)
    assert block(podman, wrapped)["defaultAction"] == "SCMP_ACT_LOG"


@ALL_RUNTIMES
def test_only_the_containers_own_output_is_seen(podman: Podman, runtime: str) -> None:
    words = ["--runtime", runtime, "run", "--rm", REFERENCE, "sh", "-c", "echo out; echo err >&2"]
    done = podman.podman(*words)
    assert (done.stdout, done.stderr) == ("out\n", "err\n")


@ALL_RUNTIMES
def test_the_containers_log_contains_only_its_own_output(podman: Podman, runtime: str) -> None:
    words = ["--detach", "--name", "talks", REFERENCE, "sh", "-c", "echo out; echo err >&2"]
    podman.podman("--runtime", runtime, "run", *words)
    podman.podman("wait", "talks")
    done = podman.podman("logs", "talks")
    assert (done.stdout, done.stderr) == ("out\n", "err\n")


@ALL_RUNTIMES
def test_a_containers_exit_status_is_returned(podman: Podman, runtime: str) -> None:
    words = ["--runtime", runtime, "run", "--rm", REFERENCE, "sh", "-c", "exit 7"]
    assert podman.try_podman(*words).returncode == 7


def test_a_restarted_container_is_confined_again(podman: Podman) -> None:
    bare, wrapped = start(podman, "runc"), start(podman, "wrapped")
    before = podman.pid(wrapped)
    podman.podman("restart", "--time", "0", bare, wrapped)
    assert podman.pid(wrapped) != before
    assert process_status.seccomp(podman.pid(bare)) == DISABLED
    assert process_status.seccomp(podman.pid(wrapped)) == FILTER


def test_a_container_is_stopped_and_deleted(podman: Podman) -> None:
    container = start(podman, "wrapped")
    pid, bundle = podman.pid(container), podman.bundle(container)
    assert process_status.seccomp(pid) == FILTER
    assert bundle.exists()
    podman.podman("stop", "--time", "0", container)
    podman.podman("rm", container)
    wait_until(lambda: not bundle.exists(), "the bundle's removal")
    assert not Path(f"/proc/{pid}").exists()
    events = podman.events()
    assert f'"ID":"{container}"' in events
    assert '"Status":"remove"' in events


def test_an_overriding_containers_conf_can_make_the_wrapper_the_default(podman: Podman) -> None:
    show = ["run", "--rm", REFERENCE, *SHOW]
    assert seccomp_in(podman.podman(*show).stdout) == DISABLED
    override = podman.override("wrapped-by-default", '[engine]\nruntime = "wrapped"\n')
    assert seccomp_in(podman.podman(*show, override=override).stdout) == FILTER


FORGED = {
    "io.container.manager": "cri-o",
    "io.kubernetes.pod.namespace": "exempt",
    "io.kubernetes.pod.name": "pod",
    "io.kubernetes.container.name": "app",
}
EXEMPT = '[[rule]]\nname = "exempt"\nnamespace = ["exempt"]\nmode = "off"\n'
ONLY_CRIO = '[runtime_default]\nengine = "crio"\n'


def test_annotations_alone_do_not_make_a_container_a_pod_of_crio(
    podman: Podman, own_installation: Installed
) -> None:
    """Podman passes them on as its user wrote them; the paths that it chooses are its own."""
    runtime = str(own_installation.wrapper)
    forged = [word for key in FORGED.items() for word in ("--annotation", "=".join(key))]
    own_installation.configure(ONLY_CRIO + EXEMPT)
    assert started(podman, runtime, *forged) == DISABLED
    own_installation.configure(EXEMPT)
    assert started(podman, runtime, *forged) == FILTER

"""Docker and Podman, whose default seccomp profile is `unconfined`: `run --runtime`.

Every test shows the opposite first, on the bare runtime or without the tested setting. To Podman
alone belongs how it calls a runtime, its log, its defaults, its annotations: `wrapped` is not in
runtime_supports_json, `renamed` is: Podman calls them differently.
"""

from pathlib import Path

import pytest

from harness.containers.block_rules import as_the_kernel_compares, differences, of_bundle
from harness.engines.docker import Docker
from harness.engines.images import REFERENCE
from harness.engines.podman import Podman
from harness.kernel.process_status import DISABLED, FILTER, seccomp_in
from harness.node.install import Installed
from tests.engine.conftest import Client

OPT_OUT = ("--annotation", "runc-wrap/seccomp=unconfined")


@pytest.mark.parametrize(("bare", "wrapped"), [("runc", "wrapped"), ("crun", "wrapped-crun")])
def test_a_container_and_its_execs_are_confined(client: Client, bare: str, wrapped: str) -> None:
    for runtime, expected in ((bare, DISABLED), (wrapped, FILTER)):
        container = client.engine.start(runtime)
        assert client.engine.seccomp(container) == expected
        shown = client.call("exec", container, "cat", "/proc/self/status").stdout
        assert seccomp_in(shown) == expected


def test_the_injected_block_equals_the_engines_default(client: Client) -> None:
    """For each capability: test_builtin_profiles.py."""
    add = "--cap-add=SYS_ADMIN"
    theirs = of_bundle(client.engine.bundle(client.with_default("runc", add)))
    assert of_bundle(client.engine.bundle(client.engine.start("runc", add))) == {}
    ours = of_bundle(client.engine.bundle(client.engine.start("wrapped", add)))
    assert differences(as_the_kernel_compares(theirs), ours) == []


def test_a_container_opts_out_by_annotation(client: Client) -> None:
    assert client.engine.started("wrapped", "--annotation", "other=unconfined") == FILTER
    assert client.engine.started("wrapped", *OPT_OUT) == DISABLED


def test_a_privileged_container_is_left_unchanged(client: Client) -> None:
    nearly = ("--cap-add", "ALL", "--security-opt", client.unmasked)
    assert client.engine.started("wrapped", *nearly) == FILTER
    assert client.engine.started("wrapped", "--privileged") == DISABLED


def test_a_profile_of_the_containers_own_is_kept(client: Client, tmp_path: Path) -> None:
    profile = tmp_path / "profile.json"
    profile.write_text('{"defaultAction": "SCMP_ACT_LOG"}')
    own = ("--security-opt", f"seccomp={profile}")
    bare, wrapped = client.engine.start("runc", *own), client.engine.start("wrapped", *own)
    kept = of_bundle(client.engine.bundle(wrapped))
    assert kept == of_bundle(client.engine.bundle(bare))
    assert kept["defaultAction"] == "SCMP_ACT_LOG"


def test_a_restarted_container_is_confined_again(client: Client) -> None:
    bare, wrapped = client.engine.start("runc"), client.engine.start("wrapped")
    before = client.engine.pid(wrapped)
    client.call("restart", "--time", "0", bare, wrapped)
    assert client.engine.pid(wrapped) != before
    assert (client.engine.seccomp(bare), client.engine.seccomp(wrapped)) == (DISABLED, FILTER)


def test_dockers_option_does_not_opt_out_and_podmans_does(docker: Docker, podman: Podman) -> None:
    """Docker writes the same config for both; Podman notes the option in an annotation."""
    unconfined = ("--security-opt", "seccomp=unconfined")
    for engine, found in ((docker, FILTER), (podman, DISABLED)):
        assert engine.started("wrapped") == FILTER
        assert engine.started("wrapped", *unconfined) == found


def test_a_container_that_only_claims_privilege_is_confined_where_annotations_do_not_count(
    podman: Podman,
) -> None:
    nearly = ["--cap-add", "ALL", "--security-opt", "unmask=ALL"]
    says_so = [*nearly, "--annotation", "io.podman.annotations.privileged=TRUE"]
    assert podman.started("wrapped", *says_so) == DISABLED
    assert podman.started("strict", *says_so) == FILTER
    assert podman.started("strict", "--privileged") == DISABLED


@pytest.mark.parametrize("runtime", ["runc", "wrapped", "renamed", "wrapped-crun"])
def test_only_the_containers_own_output_and_status_are_seen(podman: Podman, runtime: str) -> None:
    words = ["--runtime", runtime, "run", "--name", "talks", REFERENCE]
    done = podman.try_podman(*words, "sh", "-c", "echo out; echo err >&2; exit 7")
    assert (done.stdout, done.stderr, done.returncode) == ("out\n", "err\n", 7)
    logged = podman.podman("logs", "talks")
    assert (logged.stdout, logged.stderr) == ("out\n", "err\n")


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
    assert podman.started(runtime, *forged) == DISABLED
    own_installation.configure(EXEMPT)
    assert podman.started(runtime, *forged) == FILTER

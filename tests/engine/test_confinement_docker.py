"""Docker: `docker run --runtime`, under a daemon whose own default profile is `unconfined`.

Every test shows the opposite first, on the bare runtime or without the tested setting.
"""

import json
from typing import Any

import pytest

from harness.containers.block_rules import as_the_kernel_compares, differences
from harness.engines.docker import Docker
from harness.engines.images import REFERENCE
from harness.kernel import process_status
from harness.kernel.process_status import DISABLED, FILTER, seccomp_in

SHOW = ("cat", "/proc/self/status")


def start(docker: Docker, runtime: str, *options: str) -> str:
    """`docker run --detach` the idle image; return the container's id."""
    asked = ["--detach", "--network", "none", "--runtime", runtime, *options]
    return docker.docker("run", *asked, REFERENCE).stdout.strip()


def started(docker: Docker, runtime: str, *options: str) -> int:
    """Start a container; return the Seccomp value of its first process."""
    return process_status.seccomp(docker.pid(start(docker, runtime, *options)))


def block(docker: Docker, container: str) -> Any:
    """Return the linux.seccomp of a running container's config.json."""
    config = json.loads((docker.bundle(container) / "config.json").read_text())
    return config["linux"].get("seccomp")


@pytest.mark.parametrize(("bare", "wrapped"), [("runc", "wrapped"), ("crun", "wrapped-crun")])
def test_a_container_without_a_profile_is_confined(docker: Docker, bare: str, wrapped: str) -> None:
    assert started(docker, bare) == DISABLED
    assert started(docker, wrapped) == FILTER


@pytest.mark.parametrize("add", [[], ["--cap-add=SYS_ADMIN"], ["--cap-add=ALL"]], ids=str)
def test_the_injected_block_equals_dockers_builtin_profile(docker: Docker, add: list[str]) -> None:
    builtin = ["--security-opt", "seccomp=builtin"]
    assert block(docker, start(docker, "runc", *add)) is None
    theirs = block(docker, start(docker, "runc", *builtin, *add))
    assert (
        differences(as_the_kernel_compares(theirs), block(docker, start(docker, "wrapped", *add)))
        == []
    )


def test_a_runtime_called_through_a_link_confines(docker: Docker) -> None:
    assert started(docker, "runc") == DISABLED
    assert started(docker, "renamed") == FILTER


def test_dockers_unconfined_option_does_not_opt_out(
    docker: Docker,
) -> None:
    # Docker writes the same config for both; the annotation is how a container opts out.
    unconfined = ["--security-opt", "seccomp=unconfined"]
    assert started(docker, "runc", *unconfined) == DISABLED
    assert started(docker, "wrapped", *unconfined) == FILTER


def test_a_container_opts_out_by_annotation(docker: Docker) -> None:
    assert started(docker, "wrapped", "--annotation", "other=unconfined") == FILTER
    assert started(docker, "wrapped", "--annotation", "runc-wrap/seccomp=unconfined") == DISABLED


def test_a_privileged_container_is_left_unchanged(docker: Docker) -> None:
    nearly = ["--cap-add", "ALL", "--security-opt", "systempaths=unconfined"]
    assert started(docker, "wrapped", *nearly) == FILTER
    assert started(docker, "wrapped", "--privileged") == DISABLED


def test_processes_of_docker_exec_are_confined(docker: Docker) -> None:
    bare, wrapped = start(docker, "runc"), start(docker, "wrapped")
    assert seccomp_in(docker.docker("exec", bare, *SHOW).stdout) == DISABLED
    assert seccomp_in(docker.docker("exec", wrapped, *SHOW).stdout) == FILTER


def test_a_profile_that_docker_wrote_is_kept(docker: Docker) -> None:
    options = ["--security-opt", "seccomp=builtin", "--cap-add", "SYS_ADMIN"]
    bare = start(docker, "runc", *options)
    wrapped = start(docker, "wrapped", *options, "--annotation", "runc-wrap/seccomp=unconfined")
    assert block(docker, wrapped) == block(docker, bare)
    assert process_status.seccomp(docker.pid(wrapped)) == FILTER


def test_a_restarted_container_is_confined_again(docker: Docker) -> None:
    bare, wrapped = start(docker, "runc"), start(docker, "wrapped")
    before = docker.pid(wrapped)
    docker.docker("restart", "--time", "0", bare, wrapped)
    assert docker.pid(wrapped) != before
    assert process_status.seccomp(docker.pid(bare)) == DISABLED
    assert process_status.seccomp(docker.pid(wrapped)) == FILTER

"""Buildah, isolation `oci`: commands of a build are confined too.

Buildah applies its default profile by itself, so `--security-opt seccomp=unconfined` is what makes
it write no block. It passes on no annotations: a build cannot opt out.
"""

from pathlib import Path

from harness.engines.buildah import LIMITS, Buildah
from harness.engines.images import REFERENCE
from harness.kernel.process_status import DISABLED, FILTER, seccomp_in
from harness.node.requirements import program

SHOW = ("cat", "/proc/self/status")
UNCONFINED = ("--security-opt", "seccomp=unconfined")


def test_containers_that_buildah_runs_are_confined(
    buildah: Buildah, image: Path, runtimes: dict[str, Path]
) -> None:
    container = buildah.container(image, *UNCONFINED)
    assert seccomp_in(buildah.run_in(container, program("runc"), *SHOW).stdout) == DISABLED
    assert seccomp_in(buildah.run_in(container, runtimes["wrapped"], *SHOW).stdout) == FILTER
    assert seccomp_in(buildah.run_in(container, runtimes["renamed"], *SHOW).stdout) == FILTER


def test_an_annotation_of_the_image_being_built_opts_out_of_nothing(
    buildah: Buildah, image: Path, runtimes: dict[str, Path]
) -> None:
    container = buildah.container(image, *UNCONFINED)
    buildah.buildah("config", "--annotation", "runc-wrap/seccomp=unconfined", container)
    assert seccomp_in(buildah.run_in(container, program("runc"), *SHOW).stdout) == DISABLED
    assert seccomp_in(buildah.run_in(container, runtimes["wrapped"], *SHOW).stdout) == FILTER


def test_commands_of_a_containerfile_are_confined(
    buildah: Buildah, image: Path, runtimes: dict[str, Path], tmp_path: Path
) -> None:
    (tmp_path / "Containerfile").write_text(f"FROM {REFERENCE}\nRUN cat /proc/self/status\n")
    buildah.buildah("pull", f"docker-archive:{image}")

    def built(runtime: Path | str) -> int:
        options = [*LIMITS, *UNCONFINED, "--isolation", "oci", "--network", "host", "--no-cache"]
        words = ["build", "--pull=never", *options, "--runtime", str(runtime), str(tmp_path)]
        return seccomp_in(buildah.buildah(*words).stdout)

    assert built(program("runc")) == DISABLED
    assert built(runtimes["wrapped"]) == FILTER

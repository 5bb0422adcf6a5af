"""One arm64 machine per run; RUNC_WRAP_ARM64_ARCHIVE names an archive that is there already."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.host.processes import short_directory
from harness.node.guest import Guest, Node, installed_alone, release_for
from harness.node.requirements import requires
from tests.vm import machine
from tests.vm.arm64.container import fill_rootfs
from tests.vm.arm64.machine import NEEDS, Arm64Machine, arm64_image


@pytest.fixture(scope="session")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The archive for arm64."""
    requires(*NEEDS, root=True)
    return release_for("arm64", "RUNC_WRAP_ARM64_ARCHIVE", tmp_path_factory.mktemp("dist"))


@pytest.fixture(scope="session")
def guest(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guest]:
    """A machine without runc-wrap, with the containers' root directory."""
    requires(*NEEDS, root=True)
    disk = arm64_image()
    with short_directory("vm") as directory, machine.on(Arm64Machine(disk, directory)) as made:
        fill_rootfs(made, tmp_path_factory.mktemp("calls"))
        yield made


@pytest.fixture(scope="session")
def node(guest: Guest, release: Path) -> Node:
    """The machine with runc-wrap, which came as the archive alone."""
    return installed_alone(guest, release, seconds=900)

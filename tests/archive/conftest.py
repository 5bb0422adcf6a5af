"""Both archives, built once."""

from pathlib import Path

import pytest

from deploy.archive.machines import here
from harness.node import archive
from harness.node.install import Installed
from harness.node.requirements import requires


@pytest.fixture(scope="session")
def archives() -> dict[str, Path]:
    """The archives by architecture."""
    requires("apt-get", "dpkg-deb", "readelf", "x86_64-linux-gnu-gcc", "aarch64-linux-gnu-gcc")
    return archive.of_all_machines()


@pytest.fixture(scope="session")
def native() -> Path:
    """This machine's."""
    requires("apt-get", "dpkg-deb", "readelf", "x86_64-linux-gnu-gcc")
    return archive.built(here().debian)


@pytest.fixture
def unpacked(native: Path, tmp_path: Path) -> Installed:
    """This machine's, unpacked for the test alone."""
    return archive.unpacked(native, tmp_path / "unpacked")

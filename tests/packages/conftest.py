"""The packages of two versions, built once, and nodes to install them on."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.archive.machines import here
from deploy.packages.debian_package import Archive
from harness.node import archive, packages
from harness.node.packages import Node
from harness.node.requirements import requires
from tests.worlds.debian import World

NEXT = "0.2.1"


@pytest.fixture(scope="session")
def archives(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Archive]:
    """The unpacked archives by architecture."""
    requires("dh_builddeb", "x86_64-linux-gnu-gcc", "aarch64-linux-gnu-gcc")
    place = tmp_path_factory.mktemp("archives")
    files = archive.of_all_machines()
    return {name: packages.unpacked(file, name, place / name) for name, file in files.items()}


@pytest.fixture(scope="session")
def of_all_machines(
    archives: dict[str, Archive], tmp_path_factory: pytest.TempPathFactory
) -> list[Path]:
    """The packages for each machine."""
    place = tmp_path_factory.mktemp("packages")
    return [packages.build(each, place) for each in archives.values()]


@pytest.fixture(scope="session")
def first(of_all_machines: list[Path]) -> Path:
    """This machine's package."""
    (found,) = (file for file in of_all_machines if file.stem.endswith(here().debian))
    return found


@pytest.fixture(scope="session")
def second(archives: dict[str, Archive], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """That of the next version."""
    place = tmp_path_factory.mktemp("next")
    return packages.build(packages.as_version(archives[here().debian], NEXT, place), place)


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    requires("mmdebstrap", "unshare", "runc", root=True)
    (tmp_path / "node").mkdir()
    lower = World("trixie", packages.IN_IT).root()
    with packages.node(lower, tmp_path / "node") as made:
        yield made

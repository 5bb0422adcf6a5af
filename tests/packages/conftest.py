"""The packages of two versions, built once, and nodes to install them on."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.archive.machines import here
from deploy.archive.release import Release
from harness.node import archive, packages
from harness.node.packages import Node
from harness.node.requirements import requires
from tests.worlds.debian import World

NEXT = "0.2.1"


@pytest.fixture(scope="session")
def archives(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Release]:
    """The unpacked archives by architecture."""
    requires("dh_builddeb", "x86_64-linux-gnu-gcc", "aarch64-linux-gnu-gcc")
    place = tmp_path_factory.mktemp("archives")
    files = archive.of_all_machines()
    return {name: packages.unpacked(file, place / name) for name, file in files.items()}


@pytest.fixture(scope="session")
def of_all_machines(
    archives: dict[str, Release], tmp_path_factory: pytest.TempPathFactory
) -> list[Path]:
    """The packages for each machine."""
    place = tmp_path_factory.mktemp("packages")
    return [packages.build(each, machine, place) for machine, each in archives.items()]


@pytest.fixture(scope="session")
def first(of_all_machines: list[Path]) -> Path:
    """This machine's package."""
    (found,) = (file for file in of_all_machines if file.stem.endswith(here().debian))
    return found


@pytest.fixture(scope="session")
def second(archives: dict[str, Release], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """That of the next version."""
    place = tmp_path_factory.mktemp("next")
    machine = here().debian
    return packages.build(packages.as_version(archives[machine], NEXT, place), machine, place)


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    requires("mmdebstrap", "unshare", "runc", root=True)
    (tmp_path / "node").mkdir()
    lower = World("trixie", packages.IN_IT).root()
    with packages.node(lower, tmp_path / "node") as made:
        yield made

"""One virtual machine per run with runc-wrap installed from the archive alone.

RUNC_WRAP_SUITE names the Debian suite: trixie (the default), bookworm or forky.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from harness.engines import images
from harness.host.processes import short_directory
from harness.node.guest_node import LOAD, Node, installed, release_for
from harness.node.requirements import requires
from tests.vm import machine
from tests.vm.image import SUITE, image

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from harness.node.guest import Guest

LIMIT = 1500  # seconds a test, for the first one builds, boots and installs; seldom over 300


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let each test of this folder take the time that an emulated machine may need."""
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.timeout(LIMIT))


@pytest.fixture(scope="session")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The archive for amd64: RUNC_WRAP_ARCHIVE, or one built from this checkout."""
    requires(*machine.NEEDS, root=True)
    return release_for("amd64", "RUNC_WRAP_ARCHIVE", tmp_path_factory.mktemp("dist"))


@pytest.fixture(scope="session")
def guest(
    tmp_path_factory: pytest.TempPathFactory, built: Callable[[str], Path]
) -> Iterator[Guest]:
    """A machine without runc-wrap, whose engines have an image with programs of denied calls."""
    requires(*machine.NEEDS, root=True)
    programs = map(built, ("calls", "repeat"))
    containers = images.archive(tmp_path_factory.mktemp("image"), *programs)
    with short_directory("vm") as place, machine.on(machine.Machine(image(SUITE), place)) as made:
        made.copy_in([containers], "/root")
        made.sh(LOAD)
        yield made


@pytest.fixture(scope="session")
def node(guest: Guest, release: Path) -> Node:
    """The machine with runc-wrap, and engines that know it."""
    return installed(guest, release)

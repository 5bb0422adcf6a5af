"""One box per run with runc-wrap installed from the archive alone, and its engines registered.

RUNC_WRAP_SUITE names the Debian suite: bookworm (the default) or forky.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from harness.engines import images
from harness.host.processes import short_directory
from harness.node.guest_node import Node, installed, release_for
from harness.node.requirements import requires
from tests.boxes import box

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from harness.node.guest import Guest

LIMIT = 1500  # seconds a test, for the first one builds, boots and installs; most take a few
collect_ignore = [] if box.CRI_WORKS else ["test_cluster.py", "test_transaction.py"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let each test of this folder take that time."""
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.timeout(LIMIT))


@pytest.fixture(scope="session")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The archive for amd64: RUNC_WRAP_ARCHIVE, or one built from this checkout."""
    requires(*box.NEEDS, root=True)
    return release_for("amd64", "RUNC_WRAP_ARCHIVE", tmp_path_factory.mktemp("dist"))


@pytest.fixture(scope="session")
def busybox(tmp_path_factory: pytest.TempPathFactory, built: Callable[[str], Path]) -> Path:
    """A docker-archive: busybox, and programs that make calls which profiles deny."""
    programs = map(built, ("calls", "repeat"))
    return images.archive(tmp_path_factory.mktemp("image"), *programs)


@pytest.fixture(scope="session")
def guest(busybox: Path) -> Iterator[Guest]:
    """A box without runc-wrap, whose engines have the image."""
    with short_directory("box") as directory, box.box(directory, busybox) as on:
        yield on


@pytest.fixture(scope="session")
def node(guest: Guest, release: Path) -> Node:
    """The box with runc-wrap, and engines that know it."""
    return installed(guest, release)

"""One machine per run with runc-wrap installed from the archive alone, and its engines registered.

RUNC_WRAP_VM names the Debian suite: trixie (the default), bookworm or forky.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from harness.engines import images
from harness.host.processes import short_directory
from harness.node import archive
from harness.node.requirements import requires
from tests.vm.image import SUITE, image
from tests.vm.machine import NEEDS, Machine, machine
from tests.vm.node import Node, installed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

LIMIT = 1500  # seconds a test, for the first one builds, boots and installs; seldom over 300


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let each test of this folder take the time that an emulated machine may need."""
    for item in items:
        if "tests/vm/" in item.nodeid:
            item.add_marker(pytest.mark.timeout(LIMIT))


@pytest.fixture(scope="session")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The archive for amd64, built from this checkout."""
    requires(*NEEDS, root=True)
    return archive.build(tmp_path_factory.mktemp("dist"), "amd64")["amd64"]


@pytest.fixture(scope="session")
def busybox(tmp_path_factory: pytest.TempPathFactory, built: Callable[[str], Path]) -> Path:
    """A docker-archive: busybox, and programs that make calls which profiles deny."""
    programs = map(built, ("calls", "repeat"))
    return images.archive(tmp_path_factory.mktemp("image"), *programs)


@pytest.fixture(scope="session")
def guest() -> Iterator[Machine]:
    """A machine without runc-wrap, freshly booted."""
    requires(*NEEDS, root=True)
    with short_directory("vm") as directory, machine(image(SUITE), directory) as on:
        yield on


@pytest.fixture(scope="session")
def node(guest: Machine, release: Path, busybox: Path) -> Node:
    """The machine with runc-wrap, and engines that know it and the image."""
    return installed(guest, release, busybox)

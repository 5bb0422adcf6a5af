"""Fixtures of tests/boxes and tests/vm, whose conftest.py imports them and adds `guest`."""

from collections.abc import Callable
from pathlib import Path

import pytest

from harness.engines import images
from harness.node.guest import Guest, Node, installed, release_for

__all__ = ["busybox", "node", "pytest_collection_modifyitems", "release"]
FOLDERS = ("tests/boxes/", "tests/vm/")
LIMIT = 1500  # seconds a test, for the first one builds, boots and installs; seldom over 300


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let each test of these folders take the time that an emulated machine may need."""
    for item in items:
        if item.nodeid.startswith(FOLDERS):
            item.add_marker(pytest.mark.timeout(LIMIT))


@pytest.fixture(scope="session")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the archive for amd64: RUNC_WRAP_ARCHIVE, or one built from this checkout."""
    return release_for("amd64", "RUNC_WRAP_ARCHIVE", tmp_path_factory.mktemp("dist"))


@pytest.fixture(scope="session")
def busybox(tmp_path_factory: pytest.TempPathFactory, built: Callable[[str], Path]) -> Path:
    """Return a docker-archive: busybox, and programs with calls that profiles deny."""
    programs = map(built, ("calls", "repeat"))
    return images.archive(tmp_path_factory.mktemp("image"), *programs)


@pytest.fixture(scope="session")
def node(guest: Guest, release: Path) -> Node:
    """Return the guest with runc-wrap, and engines that know it."""
    return installed(guest, release)

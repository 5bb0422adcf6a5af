"""One machine per run with runc-wrap installed from the archive alone, and its engines registered.

RUNC_WRAP_VM names the Debian suite: trixie (the default), bookworm or forky. With RUNC_WRAP_BOX=1
the machine is a box: systemd as process 1, on this machine's kernel (tests/boxes).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from harness.engines import images
from harness.host.processes import short_directory
from harness.node.requirements import requires
from tests.vm.guest_choice import CRI_WORKS, IN_A_BOX, NEEDS, guest_of
from tests.vm.node import Node, installed, release_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from harness.node.guest import Guest

_REGISTERED = "test_an_engine_is_registered_and_proved_by_a_container_and_the_same_backwards"
# What needs a kernel of its own, with all controllers in cgroup version 2, or a disk that may be
# filled. containerd 2's transaction is in tests/engine.
OF_A_KERNEL = {
    "test_no_call_fails_and_no_container_is_lost[out of memory]",
    "test_the_services_rest_while_nothing_happens",
    "test_after_a_fault_the_engine_answers_with_its_former_file[full disk]",
    "test_after_a_fault_the_engine_answers_with_its_former_file[hangs]",  # for long
    *([f"{_REGISTERED}[containerd]"] if not CRI_WORKS else []),
}
# The other files of this folder fill the disk, set the clock or read the kernel's records: all of
# them this machine's.
_BOXED = ("install", "registration", "services", "packages", "uninstall")
_WITH_CRI = ("transaction", "cluster") if CRI_WORKS else ()
BOXED = {f"test_{name}.py" for name in (*_BOXED, *_WITH_CRI)}
LIMIT = 1500  # seconds a test, for the first one builds, boots and installs; seldom over 300


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Let each test of this folder take the time that an emulated machine may need."""
    own = [item for item in items if "tests/vm/" in item.nodeid]
    for item in own:
        item.add_marker(pytest.mark.timeout(LIMIT))
    left_out = [item for item in own if IN_A_BOX and not _is_boxed(item)]
    items[:] = [item for item in items if item not in left_out]
    config.hook.pytest_deselected(items=left_out)


def _is_boxed(item: pytest.Item) -> bool:
    return item.path.name in BOXED and item.name not in OF_A_KERNEL


@pytest.fixture(scope="session")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The archive for amd64: RUNC_WRAP_ARCHIVE, or one built from this checkout."""
    requires(*NEEDS, root=True)
    return release_for("amd64", "RUNC_WRAP_ARCHIVE", tmp_path_factory.mktemp("dist"))


@pytest.fixture(scope="session")
def busybox(tmp_path_factory: pytest.TempPathFactory, built: Callable[[str], Path]) -> Path:
    """A docker-archive: busybox, and programs that make calls which profiles deny."""
    programs = map(built, ("calls", "repeat"))
    return images.archive(tmp_path_factory.mktemp("image"), *programs)


@pytest.fixture(scope="session")
def guest(busybox: Path) -> Iterator[Guest]:
    """A machine without runc-wrap, whose engines have the image."""
    with short_directory("vm") as directory, guest_of(directory, busybox) as on:
        yield on


@pytest.fixture(scope="session")
def node(guest: Guest, release: Path) -> Node:
    """The machine with runc-wrap, and engines that know it."""
    return installed(guest, release)

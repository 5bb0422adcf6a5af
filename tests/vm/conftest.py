"""One virtual machine per run with runc-wrap installed from the archive alone.

RUNC_WRAP_SUITE names the Debian suite: trixie (the default), bookworm or forky.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.host.processes import short_directory
from harness.node.guest import *  # noqa: F403 - fixtures
from harness.node.guest import LOAD, Guest
from harness.node.requirements import requires
from tests.vm import machine
from tests.vm.image import SUITE, image


@pytest.fixture(scope="session")
def guest(busybox: Path) -> Iterator[Guest]:
    """A machine without runc-wrap, whose engines have the image."""
    requires(*machine.NEEDS, root=True)
    with short_directory("vm") as place, machine.on(machine.Machine(image(SUITE), place)) as made:
        made.copy_in([busybox], "/root")
        made.sh(LOAD)
        yield made

"""One box per run with runc-wrap installed from the archive alone, and its engines registered.

RUNC_WRAP_SUITE names the Debian suite: bookworm (the default) or forky.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.host.processes import short_directory
from harness.node.guest import *  # noqa: F403 - fixtures
from harness.node.guest import Guest
from tests.boxes import box

collect_ignore = [] if box.CRI_WORKS else ["test_cluster.py", "test_transaction.py"]


@pytest.fixture(scope="session")
def guest(busybox: Path) -> Iterator[Guest]:
    """A box without runc-wrap, whose engines have the image."""
    with short_directory("box") as directory, box.box(directory, busybox) as on:
        yield on

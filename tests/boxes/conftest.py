"""One box per run with runc-wrap installed from the archive alone, and its engines registered.

RUNC_WRAP_SUITE names the Debian suite: bookworm (the default) or forky.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from harness.host.processes import short_directory
from harness.node.guest_fixtures import *  # noqa: F403 - fixtures
from tests.boxes import box

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from harness.node.guest import Guest

collect_ignore = [] if box.CRI_WORKS else ["test_cluster.py", "test_transaction.py"]


@pytest.fixture(scope="session")
def guest(busybox: Path) -> Iterator[Guest]:
    """A box without runc-wrap, whose engines have the image."""
    with short_directory("box") as directory, box.box(directory, busybox) as on:
        yield on

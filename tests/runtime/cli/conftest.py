"""What several tests of commands read."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

LOG = "type=SYSCALL msg=audit(1700000000.000:%d): arch=c000003e syscall=59 success=yes exit=0\n"


@pytest.fixture(scope="session")
def long_log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A log that takes seconds to read."""
    path = tmp_path_factory.mktemp("log") / "audit.log"
    with path.open("w") as file:
        for number in range(2_000_000):
            file.write(LOG % number)
    return path

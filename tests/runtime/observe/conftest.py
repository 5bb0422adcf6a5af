"""An installation in observe, of runc, unless a test says that both runtimes matter (BOTH)."""

from collections.abc import Iterator

import pytest

from harness.host.processes import short_directory
from harness.node import install
from tests.runtime.conftest import Pair


@pytest.fixture
def pair(request: pytest.FixtureRequest, pairs: dict[str, Pair]) -> Pair:
    return pairs[getattr(request, "param", "runc")]


@pytest.fixture
def node(pair: Pair) -> Iterator[install.Installed]:
    """A separate installation in observe, whose path is short enough for sockets."""
    with short_directory("observe") as place:
        own = install.copy_of(pair.installed, place / "p")
        own.configure(f'runtime = ["{pair.kind}"]\n[default]\nmode = "observe"\n')
        yield own

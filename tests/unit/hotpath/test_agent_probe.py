"""Whether an agent listens."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.host.processes import short_directory
from runc_wrap.hotpath.agent_probe import has_agent


@pytest.fixture
def path() -> Iterator[Path]:
    with short_directory("listening") as directory:
        yield directory / "notify.sock"


def test_a_listening_agent_is_found(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as agent:
        agent.bind(str(path))
        assert not has_agent(str(path))  # bound, but not listening
        agent.listen()
        assert has_agent(str(path))
    assert not has_agent(str(path))  # left by a killed agent


def test_a_full_queue_counts_as_absent_because_a_runtime_would_wait(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as agent:
        agent.bind(str(path))
        agent.listen(1)
        found = [has_agent(str(path)) for _ in range(4)]
        assert (found[0], found[-1]) == (True, False)


@pytest.mark.parametrize("odd", ["", "/nowhere/notify.sock", "x" * 200, "a\0b", "\udcff", None, 5])
def test_an_impossible_path_counts_as_absent(odd: str) -> None:
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - a count
    assert not has_agent(odd)
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208 - a count

"""Whether an agent listens."""

import os
import socket
from typing import Any

from harness.host.processes import short_directory
from runc_wrap.hotpath.agent_probe import has_agent


def test_a_listening_agent_is_found_and_one_with_a_full_queue_is_not() -> None:
    """A runtime would wait for that one."""
    with short_directory("listening") as place, socket.socket(socket.AF_UNIX) as agent:
        path = str(place / "notify.sock")
        agent.bind(path)
        assert not has_agent(path)  # bound, but not listening
        agent.listen(1)
        found = [has_agent(path) for _ in range(4)]
        assert (found[0], found[-1]) == (True, False)
        agent.close()
        assert not has_agent(path)  # left by a killed agent


def test_an_impossible_path_counts_as_absent() -> None:
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - a count
    paths: list[Any] = ["", "/nowhere/notify.sock", "x" * 200, "a\0b", "\udcff", None, 5]
    for odd in paths:
        assert not has_agent(odd)
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208 - a count

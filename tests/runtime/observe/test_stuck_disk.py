"""observe with a disk that does not answer: calls do not wait for it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from harness.host.frozen_disk import frozen, own_disk
from harness.host.processes import short_directory, wait_until
from harness.node import agent as agents
from harness.node import install
from runc_wrap.agent.record.recorder import WRITE_AFTER

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.containers.bundles import Bundle
    from tests.runtime.conftest import Pair


def _writes(service: int) -> bool:
    """Tell whether there is a thread beside the one that answers."""
    return len([*Path(f"/proc/{service}/task").iterdir()]) > 1


def test_calls_are_answered_while_the_store_cannot_be_written(
    runc: Pair, make_bundle: Callable[..., Bundle], built: Callable[[str], Path]
) -> None:
    """If the answering thread wrote it, the container would wait for another service."""
    with short_directory("disk") as place:
        node = install.copy_of(runc.installed, place / "p")
        node.configure('runtime = ["runc"]\n[default]\nmode = "observe"\n')
        evidence = node.prefix / "var" / "evidence"
        with own_disk(evidence, place / "image"), agents.running(node) as agent:
            agent.wait_ready()
            service = agent.observe
            with frozen(evidence):
                first = make_bundle("runc").running(built("slowest"), WRITE_AFTER + 2)
                assert first.call(node.wrapper, "run").returncode == 0
                wait_until(lambda: _writes(service), "the writing that does not end", 30)
                second = make_bundle("runc").running(built("slowest"), 1)
                assert second.call(node.wrapper, "run").returncode == 0
                assert _writes(service)
                assert agent.observe == service
            both = {first.key, second.key}
            wait_until(lambda: both <= node.evidence.containers.keys(), "both on disk", 30)

"""observe with a disk that does not answer: calls do not wait for it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from harness.host.hung_files import frozen, own_disk
from harness.host.processes import wait_until
from runc_wrap.agent.record.recorder import WRITE_AFTER

if TYPE_CHECKING:
    from tests.runtime.conftest import Lab


def _writes(service: int) -> bool:
    """Tell whether there is a thread beside the one that answers."""
    return len([*Path(f"/proc/{service}/task").iterdir()]) > 1


def test_calls_are_answered_while_the_store_cannot_be_written(lab: Lab) -> None:
    """If the answering thread wrote it, the container would wait for another service."""
    evidence = lab.node.prefix / "var" / "evidence"
    with own_disk(evidence, lab.node.prefix.parent / "image"), lab.agent() as agent:
        service = agent.observe
        with frozen(evidence):
            first = lab.run("slowest", WRITE_AFTER + 2)
            wait_until(lambda: _writes(service), "the writing that does not end", 30)
            second = lab.run("slowest", 1)
            assert _writes(service)
            assert agent.observe == service
        both = {first.key, second.key}
        wait_until(lambda: both <= lab.node.evidence.containers.keys(), "both on disk", 30)

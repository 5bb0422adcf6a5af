"""observe with a disk that does not answer: calls do not wait for it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from harness.host.frozen_disk import frozen, own_disk
from harness.host.processes import short_directory, wait_until
from harness.node import agent as agents
from harness.node import install
from runc_wrap.agent.record.recorder import WRITE_AFTER
from runc_wrap.evidence.store import evidence_files

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.containers.bundles import Bundle
    from tests.runtime.conftest import Pair


def _with(bundle: Bundle, program: Path, seconds: float) -> Bundle:
    shutil.copy(program, bundle.path / "rootfs")
    config = bundle.read()
    config["process"]["args"] = [f"/{program.name}", str(seconds)]
    bundle.config.write_text(json.dumps(config))
    return bundle


def _writes(service: int) -> bool:
    """Tell whether there is a thread beside the one that answers."""
    return len([*Path(f"/proc/{service}/task").iterdir()]) > 1


def _has(evidence: Path, *bundles: Bundle) -> bool:
    found = evidence_files.load(evidence).containers
    return all((str(one.path / "state"), one.name) in found for one in bundles)


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
                first = _with(make_bundle("runc"), built("slowest"), WRITE_AFTER + 2)
                assert first.call(node.wrapper, "run").returncode == 0
                wait_until(lambda: _writes(service), "the writing that does not end", 30)
                second = _with(make_bundle("runc"), built("slowest"), 1)
                assert second.call(node.wrapper, "run").returncode == 0
                assert _writes(service)
                assert agent.observe == service
            wait_until(lambda: _has(evidence, first, second), "both containers on disk", 30)

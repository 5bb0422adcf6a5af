"""An installation for each test."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.unit.cli import ctl
from tests.unit.node import machine


@pytest.fixture
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ctl.Node:
    """A node with runc 1.1.15 and nothing else; no policy is in force yet."""
    ctl.prove_once(monkeypatch)
    return ctl.node(tmp_path, monkeypatch)


def register(node: ctl.Node, config: Path, name: str = "runc-wrap", **more: Any) -> Path:
    """Write the record of a handler with containerd; return its path, where no link is made."""
    node.places.engines.mkdir(parents=True, exist_ok=True)
    path = node.places.wrapper.with_name(name)
    handler = {"name": name, "path": str(path), "default": False, **more}
    state = machine.registered(str(config), handler)
    (node.places.engines / "containerd-0.json").write_text(json.dumps(state))
    return path

"""An installation for each test."""

from pathlib import Path

import pytest

from tests.unit.cli import ctl


@pytest.fixture
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ctl.Node:
    """A node with runc 1.1.15 and nothing else; no policy is in force yet."""
    return ctl.node(tmp_path, monkeypatch)

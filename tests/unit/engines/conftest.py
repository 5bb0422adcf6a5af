"""A machine without programs, and a node for each test of a transaction."""

from pathlib import Path

import pytest

from tests.unit.engines.transaction.killed_node import FakeNode, node, proved
from tests.unit.node import machine


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the only directory where programs are looked up."""
    return machine.empty(tmp_path, monkeypatch)


@pytest.fixture
def one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeNode:
    """A node whose engine has read its owner's file, where a canary proves what it should."""
    proved(monkeypatch)
    monkeypatch.setattr(FakeNode, "started", lambda *_: None, raising=False)
    return node(tmp_path)


@pytest.fixture
def registered(one: FakeNode) -> FakeNode:
    """That node with our handler in its engine."""
    one.run()
    return one

"""A machine without programs, for tests of engines."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.unit.node import machine

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the only directory where programs are looked up."""
    return machine.empty(tmp_path, monkeypatch)

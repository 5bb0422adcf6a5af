"""A stand-in for kubectl, and the plugin that uses it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from runc_wrap.cli.kubectl_plugin import plugin
from tests.unit.fleet.stand_in import StandIn

if TYPE_CHECKING:
    from pathlib import Path

    from click.testing import Result


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StandIn:
    found = StandIn(tmp_path / "kubectl")
    found.use(monkeypatch)
    return found


def run(*words: str) -> Result:
    """Run `kubectl runc-wrap`, which ends by itself."""
    result = CliRunner().invoke(plugin, words)
    assert isinstance(result.exception, SystemExit | None), result.exception
    return result

"""Fixtures that every folder of tests uses."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support import install

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> install.Installed:
    """An installation with default settings; whoever changes it takes `own_installation`."""
    return install.install(tmp_path_factory.mktemp("installed") / "prefix")


@pytest.fixture
def own_installation(installed: install.Installed, tmp_path: Path) -> install.Installed:
    """An installation that the test may configure and break."""
    return install.copy_of(installed, tmp_path / "own")

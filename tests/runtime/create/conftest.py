"""A node of its own is the installation that has an agent if all are to have one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from harness.node.install import Installed


@pytest.fixture
def node(own_installation: Installed) -> Installed:
    return own_installation

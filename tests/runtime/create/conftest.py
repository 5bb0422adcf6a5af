"""A node of its own is the installation that has an agent if all are to have one."""

import pytest

from harness.node.install import Installed


@pytest.fixture
def node(own_installation: Installed) -> Installed:
    return own_installation

"""Uninstalling: the machine is as it was before. Last, for nothing is installed afterwards."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.vm.node import LISTING

if TYPE_CHECKING:
    from tests.vm.node import Node

_NO_CONTAINERS = "docker ps -aq | xargs -r docker rm -f >/dev/null; podman rm -af -t 0 >/dev/null"
_UNINSTALL = "runc-wrapctl uninstall --purge 2>&1"


@pytest.mark.short
def test_uninstall_leaves_every_file_as_it_was_before_the_installation(node: Node) -> None:
    """In two runs: containerd and Docker (also after a reload) call us until they are restarted."""
    machine = node.machine
    machine.sh(_NO_CONTAINERS)
    before = node.before.splitlines()
    assert set(machine.sh(LISTING).splitlines()) - set(before)
    told = machine.sh(_UNINSTALL)
    machine.sh("systemctl restart containerd docker")
    told += machine.sh(_UNINSTALL)
    after = machine.sh(LISTING).splitlines()
    assert set(before) ^ set(after) == set(), told

"""Uninstalling: the machine is as it was before. Last, for nothing is installed afterwards."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.vm.node import LISTING

if TYPE_CHECKING:
    from tests.vm.node import Node

_NO_CONTAINERS = "docker ps -aq | xargs -r docker rm -f >/dev/null; podman rm -af -t 0 >/dev/null"
_UNINSTALL = "runc-wrapctl uninstall --purge 2>&1"
_REMOVE = """
for one in containerd docker podman; do runc-wrapctl engine remove $one --restart || exit; done
"""


@pytest.mark.short
def test_uninstall_leaves_every_file_as_it_was_before_the_installation(node: Node) -> None:
    """Refused until containerd and Docker have forgotten us, which only a restart makes them do."""
    machine = node.machine
    machine.sh(_NO_CONTAINERS)
    before = node.before.splitlines()
    assert set(machine.sh(LISTING).splitlines()) - set(before)
    refused = machine.attempt(_UNINSTALL)
    assert refused.returncode == 2, refused.stdout
    assert "containerd (/etc/containerd/config.toml) has it in memory" in refused.stdout
    machine.sh(_REMOVE)
    told = machine.sh(_UNINSTALL)
    after = machine.sh(LISTING).splitlines()
    assert set(before) ^ set(after) == set(), told

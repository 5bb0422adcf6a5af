"""Uninstalling: the machine is as it was before. Last, for nothing is installed afterwards."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.vm.node import LISTING

if TYPE_CHECKING:
    from tests.vm.node import Node


def test_uninstall_leaves_every_file_as_it_was_before_the_installation(node: Node) -> None:
    machine = node.machine
    machine.sh("docker ps -aq | xargs -r docker rm -f >/dev/null; podman rm -af -t 0 >/dev/null")
    before = node.before.splitlines()
    assert set(machine.sh(LISTING).splitlines()) - set(before)
    told = machine.sh("runc-wrapctl uninstall --purge 2>&1")
    machine.sh("systemctl restart containerd; systemctl reload docker")
    after = machine.sh(LISTING).splitlines()
    changed = {*before} ^ {*after}
    assert changed == set(), told

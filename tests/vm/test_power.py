"""The machine loses its power while containers are created."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from harness.host.processes import wait_until
from tests.vm.node import IMAGE, PREFIX

if TYPE_CHECKING:
    from tests.vm.node import Node

# Two at a time, each with a bundle of its own; a file says that a container has run to its end.
_CREATES = f"""
mkdir -p /run/bundle/rootfs /run/ran
cd /run/bundle
docker export "$(docker create {IMAGE})" | tar -x -C rootfs
runc spec
sed -i 's/"terminal": true/"terminal": false/; s/"sh"/"true"/' config.json
sed -i 's/"rootfs"/"\\/run\\/bundle\\/rootfs"/' config.json
work() {{
    for number in $(seq "$2"); do
        name=$1-$number
        mkdir /run/$name
        cp config.json /run/$name
        {PREFIX}/bin/runc-wrap run --bundle /run/$name $name && touch /run/ran/$name
    done
}}
work one "$1" & work two "$1" & wait
"""
# What an interrupted write could leave: another name beside the file, or an empty file.
_HALF = f"""
find {PREFIX}/var {PREFIX}/etc {PREFIX}/lib/runtime -type f \\
    \\( -name '*.new*' -o -name '*.tmp*' -o -size 0 \\) ! -path '{PREFIX}/var/lock/*'
"""
_RAN = "ls /run/ran 2>/dev/null | wc -l"


@pytest.mark.timeout(1200)
def test_after_a_power_failure_during_200_creates_nothing_is_half_written_and_all_works(
    node: Node,
) -> None:
    machine = node.machine
    before = set(machine.sh(_HALF).split())
    machine.sh('systemd-run --quiet sh -c "$1" sh 100', _CREATES)
    wait_until(lambda: int(machine.sh(_RAN)) >= 20, "twenty containers", 300)
    assert int(machine.sh(_RAN)) < 200
    machine.power_off()
    machine.power_on()
    assert set(machine.sh(_HALF).split()) <= before
    assert "damaged" not in node.ctl("status").stderr
    lines = node.ledger()
    assert {line["action"] for line in lines} <= {"inject", "keep", "leave"}
    machine.sh(_CREATES, "5", seconds=240)
    assert int(machine.sh(_RAN)) == 10
    assert len(node.ledger()) == len(lines) + 10
    services = [node.service(name)["ActiveState"] for name in ("decide", "observe")]
    assert services == ["active", "active"]

"""The machine loses its power while containers are created and make calls."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.node.guest import IMAGE, PREFIX, Guest, Node
from runc_wrap.ledger import whole_ledger

EACH = 100  # creates by each of the two that work at the same time
AFTERWARDS = 5
RAN = 10  # creates before the power fails
BUNDLES = "/var/tmp/power"  # on the machine's disk, where few engines have them
# As an engine writes bundles, and all on the disk before the first create.
_PREPARE = f"""
mkdir -p {BUNDLES}/rootfs; cd {BUNDLES}
docker export "$(docker create {IMAGE})" | tar -x -C rootfs
runc spec
sed -i 's|"terminal": true|"terminal": false|; s|"rootfs"|"{BUNDLES}/rootfs"|' config.json
sed -i 's|"sh"|"sh", "-c", "/repeat 1 1; true"|' config.json
bundles() {{
    for number in $(seq "$2"); do mkdir $1one-$number $1two-$number; done
    for bundle in $1one-* $1two-*; do cp config.json $bundle; done
}}
bundles first- $1; bundles then- $2
sync
"""
# A file says that a container has run to its end.
_CREATES = f"""
mkdir -p /run/ran
work() {{
    for number in $(seq "$2"); do
        name=$1-$number
        {PREFIX}/bin/runc-wrap run --bundle {BUNDLES}/$name $name && touch /run/ran/$name
    done
}}
work $1one $2 & work $1two $2 & wait
"""
_RAN = "ls /run/ran 2>/dev/null || :"
_WAIT = """until [ "$(ls /run/ran 2>/dev/null | wc -l)" -ge "$1" ]; do sleep 1; done"""
_CONFIGS = f"for file in {BUNDLES}/*-*/config.json; do cat $file; echo; echo next; done"
_BROKEN = f"find {PREFIX} -type f \\( -size 0 -o -name '*.damaged' \\)"
_LEDGER = f"tail -n +1 {PREFIX}/var/ledger/ledger.jsonl"


@pytest.fixture
def bundles(node: Node) -> Iterator[Guest]:
    """Bundles for both, whose containers make a call that is recorded."""
    node.configure('[default]\nmode = "audit"\n')
    node.machine.sh(_PREPARE, str(EACH), str(AFTERWARDS))
    yield node.machine
    node.machine.sh(f"rm -rf {BUNDLES}")


def _damage(node: Node, to: Path) -> tuple[set[str], int]:
    """Return the ids in the ledger, as its reader has them, and how many lines are damaged."""
    (to / "ledger.jsonl").write_text(node.machine.sh(_LEDGER))
    found = whole_ledger.read(to)
    return {name for _, name in found.records}, found.damaged


def test_after_a_power_failure_during_200_creates_nothing_is_half_written_and_all_works(
    node: Node, bundles: Guest, tmp_path: Path
) -> None:
    broken = set(bundles.sh(_BROKEN).split())
    bundles.sh('systemd-run --quiet sh -c "$1" sh first- "$2"', _CREATES, str(EACH))
    bundles.sh(_WAIT, str(RAN), seconds=600)  # there: to ask by ssh costs an emulated CPU much
    assert len(bundles.sh(_RAN).split()) < 2 * EACH
    bundles.power_off()
    bundles.power_on()
    configs = [json.loads(text) for text in bundles.sh(_CONFIGS).split("\nnext\n")[:-1]]
    assert len(configs) == 2 * (EACH + AFTERWARDS)
    assert any("seccomp" in config["linux"] for config in configs)
    assert set(bundles.sh(_BROKEN).split()) <= broken
    bundles.sh(_CREATES, "then-", str(AFTERWARDS), seconds=600)
    ran = set(bundles.sh(_RAN).split())
    assert len(ran) == 2 * AFTERWARDS
    ids, damaged = _damage(node, tmp_path)
    assert ids >= ran
    assert damaged <= 1  # the line that the failure has torn
    services = [node.service(name)["ActiveState"] for name in ("decide", "observe")]
    assert services == ["active", "active"]
    assert "files are damaged" not in node.ctl("report", "--all").stderr

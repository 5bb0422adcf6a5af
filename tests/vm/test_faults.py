"""What goes wrong on a node: var/ that cannot be written, or is full; a clock that is set."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, Any

import pytest

from harness.host.processes import run
from tests.vm.machine import wait
from tests.vm.node import IMAGE, PREFIX, UNITS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.vm.node import Node

# A container whose bundle and files are in memory, so that it needs no disk.
_BUNDLE = f"""
rm -rf /run/diskless; mkdir -p /run/diskless/rootfs; cd /run/diskless
docker export "$(docker create {IMAGE})" | tar -x -C rootfs
runc spec
sed -i 's/"terminal": true/"terminal": false/; s/"sh"/"cat", "\\/proc\\/self\\/status"/' config.json
cp config.json fresh
"""
_RUN = f"""
cd /run/diskless; cp fresh config.json
{PREFIX}/bin/runc-wrap run --bundle /run/diskless $1 | grep Seccomp:
"""
_START = "docker run -d --network none --security-opt seccomp=unconfined --runtime runc-wrap"
MOST = 30  # creates
DOCKER_LOOKED_AT = '[[rule]]\nname = "look"\nengine = ["docker"]\nmode = "audit"\n'


@pytest.fixture(scope="module", autouse=True)
def bundle(node: Node, tmp_path_factory: pytest.TempPathFactory) -> None:
    node.configure(DOCKER_LOOKED_AT)
    node.machine.sh(_BUNDLE)
    small = tmp_path_factory.mktemp("disk") / "small"
    run(["mke2fs", "-q", "-t", "ext4", small, "16M"])  # which the machine lacks
    run(["gzip", small])
    node.machine.copy_in([small.with_suffix(".gz")], "/run")


@dataclass(frozen=True)
class Trouble:
    """What keeps decisions from being written, the words that tell, what ends and undoes it."""

    begin: str
    reason: str
    end: str
    undo: str = ":"


_VAR = f"{PREFIX}/var"
# A disk of its own for var/, which is then filled: not the machine's, which engines need.
_SMALL = f"""
gunzip --force --keep /run/small.gz
systemctl stop {" ".join(UNITS)}
mount -o loop /run/small /mnt; cp -a {_VAR}/. /mnt; umount /mnt
mount -o loop /run/small {_VAR}
systemctl start {" ".join(UNITS)}"""
_LARGE = f"""
systemctl stop {" ".join(UNITS)}
umount {_VAR}; rm /run/small
systemctl start {" ".join(UNITS)}
"""
TROUBLES = {
    "read-only": Trouble(
        f"mount --bind {_VAR} {_VAR}; mount -o remount,bind,ro {_VAR}",
        "Read-only file system",
        f"umount {_VAR}",
        f"! mountpoint -q {_VAR} || umount {_VAR}",
    ),
    "full": Trouble(
        f"{_SMALL}; cat /dev/zero > {_VAR}/filled 2>/dev/null || test -s {_VAR}/filled",
        "No space left on device",
        f"rm {_VAR}/filled",
        _LARGE,
    ),
}


def _runs_confined(node: Node, name: str) -> bool:
    return node.machine.sh(_RUN, name).split() == ["Seccomp:", "2"]


def _run_until_said(node: Node, name: str, words: str) -> int:
    """Run containers until the service says it; return how many ran.

    An emulated service may be too late for a create, which then decides without it.
    """
    before = node.journals_end()
    for number in count(1):
        assert _runs_confined(node, f"{name}-{number}")
        if words in node.said("decide", before):
            return number
        assert number < MOST, f"{MOST} creates, and not said: {words}"
    raise AssertionError


@pytest.fixture(params=TROUBLES)
def trouble(node: Node, request: pytest.FixtureRequest) -> Iterator[Trouble]:
    chosen = TROUBLES[request.param]
    node.machine.sh(chosen.begin)
    yield chosen
    node.machine.sh(chosen.undo)


def test_containers_start_confined_where_nothing_can_be_written_and_it_is_said_until_it_can(
    node: Node, trouble: Trouble
) -> None:
    _run_until_said(node, "one", f"decisions are not recorded: {trouble.reason}")
    # a full disk's last block may have room for a shorter line
    assert _runs_confined(node, "longer-than-that")
    ids = {line["id"] for line in node.ledger()}  # each line is whole
    assert "longer-than-that" not in ids
    assert any("decisions are not recorded" in line for line in node.warnings())
    assert "no decision is recorded" in node.ctl("status").stderr
    assert "no decision is recorded" in node.ctl("doctor").stdout
    node.machine.sh(trouble.end)
    ran = _run_until_said(node, "again", "decisions are recorded again")
    assert node.ledger()[-1]["id"] == f"again-{ran}"
    assert "recorded" not in node.ctl("status").stderr


@pytest.fixture
def waiting(node: Node) -> Iterator[str]:
    """The id of a container that makes calls once it is told: its decision is recorded."""
    work = "until [ -e /go ]; do sleep 1; done; /repeat 3 1; exec sleep 100000"
    name = node.machine.sh(f'{_START} {IMAGE} sh -c "$1"', work).strip()
    yield name
    node.machine.sh('docker rm -f "$1" >/dev/null', name)


@pytest.mark.parametrize("trouble", ["full"], indirect=True)
def test_calls_made_while_the_disk_is_full_are_written_when_it_no_longer_is(
    node: Node, waiting: str, trouble: Trouble
) -> None:
    before = node.journals_end()
    node.machine.sh('docker exec "$1" touch /go', waiting)
    told = f"evidence cannot be written: {trouble.reason}; it is tried again."
    wait(lambda: told in node.said("observe", before), told)
    assert _stored(node, waiting) == []
    node.machine.sh(trouble.end)
    wait(lambda: _stored(node, waiting) == [("keyctl", 3)], "the calls")


def _stored(node: Node, name: str) -> list[tuple[str, int]]:
    """Return the calls of a container that observe has written down, not those in audit.log."""
    node.machine.sh(": > /run/empty")
    rows = node.shown("report", "--all", "--audit-log", "/run/empty")
    calls = [call for row in rows if name in row["ids"] for call in row["calls"]]
    return [(call["syscall"], call["count"]) for call in calls]


UNTIL = '[[rule]]\nname = "later"\nmode = "audit"\nuntil = 2031-06-01\n'


def test_a_rule_ends_by_the_clock_forward_and_back(node: Node) -> None:
    """And the ledger's order is that of the decisions, whatever their time of day."""
    real = node.machine.sh("date +%s").strip()
    moments = {"one": f"@{real}", "two": "2031-07-01", "three": f"@{real}"}
    node.configure(UNTIL)
    try:
        for name, moment in moments.items():
            node.machine.sh('date --set "$1" >/dev/null', moment)
            assert _runs_confined(node, name)
    finally:
        node.machine.sh('date --set "$1" >/dev/null', f"@{real}")
    # of a create that did not wait for the service there are two lines
    modes = {line["id"]: line["mode"] for line in node.ledger() if line["id"] in moments}
    assert [*modes.items()] == [("one", "audit"), ("two", "enforce"), ("three", "audit")]


@pytest.mark.parametrize(("by", "back"), [("+1 hour", "-1 hour"), ("-1 hour", "+1 hour")])
def test_a_container_was_not_watched_for_the_hour_by_which_the_clock_was_set(
    node: Node, by: str, back: str
) -> None:
    """And a call before that and one after it are in the report."""
    node.configure('[default]\nmode = "audit"\n')
    work = "/repeat 1 1; sleep 8; /repeat 1 1; exec sleep 100000"
    node.machine.sh(f'{_START} --name young {IMAGE} sh -c "$1" >/dev/null', work)
    young = node.machine.sh("docker inspect -f '{{.Id}}' young").strip()

    def reported() -> dict[str, Any]:
        rows = node.shown("report", "--since", "2h")
        return next(row for row in rows if young in row["ids"])

    node.machine.sh('sleep 5; date --set "$1" >/dev/null; sleep 5', by)
    try:
        wait(lambda: [call["count"] for call in reported()["calls"]] == [2], "both calls")
        assert reported()["watched"] < 600  # and not an hour
        assert reported()["verdict"] == "denied"
    finally:
        node.machine.sh('date --set "$1" >/dev/null; docker rm -f young >/dev/null', back)

"""What goes wrong on a node: var/ that cannot be written, a clock that is set."""

from __future__ import annotations

import json
from itertools import count
from typing import TYPE_CHECKING

import pytest

from tests.vm.node import IMAGE, PREFIX

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
MOST = 30  # creates


@pytest.fixture(scope="module", autouse=True)
def bundle(node: Node) -> None:
    node.machine.sh(_BUNDLE)


@pytest.fixture
def read_only(node: Node) -> Iterator[None]:
    var = f"{PREFIX}/var"
    node.machine.sh(f"mount --bind {var} {var}; mount -o remount,bind,ro {var}")
    yield
    node.machine.sh(f"umount {var}")


def _said(node: Node) -> str:
    return node.machine.sh("journalctl -b --no-pager -u runc-wrap-decide -o cat")


def _runs_confined(node: Node, name: str) -> bool:
    return node.machine.sh(_RUN, name).split() == ["Seccomp:", "2"]


def _run_until_said(node: Node, name: str, words: str) -> int:
    """Run containers until the service says it; return how many ran.

    An emulated service may be too late for a create, which then decides without it.
    """
    for number in count(1):
        assert _runs_confined(node, f"{name}-{number}")
        if words in _said(node):
            return number
        assert number < MOST, f"{MOST} creates, and not said: {words}"
    raise AssertionError


def _check_unrecorded(node: Node, name: str, reason: str) -> None:
    before = len(node.ledger())
    ran = _run_until_said(node, name, f"decisions are not recorded: {reason}")
    assert len(node.ledger()) < before + ran  # and each line is whole
    assert "no decision is recorded" in node.ctl("status").stderr
    assert "no decision is recorded" in json.dumps(node.shown("doctor"))


@pytest.mark.usefixtures("read_only")
def test_with_var_read_only_containers_start_confined_and_it_is_said_that_nothing_is_recorded(
    node: Node,
) -> None:
    _check_unrecorded(node, "read-only", "Read-only file system")


def test_afterwards_decisions_are_recorded_again(node: Node) -> None:
    ran = _run_until_said(node, "again", "decisions are recorded again")
    assert node.ledger()[-1]["id"] == f"again-{ran}"
    assert "recorded" not in node.ctl("status").stderr


UNTIL = '[[rule]]\nname = "later"\nmode = "audit"\nuntil = 2031-06-01\n'


def test_a_rule_ends_by_the_clock_forward_and_back(node: Node) -> None:
    """And the ledger's order is that of the decisions, whatever their time of day."""
    real = node.machine.sh("date +%s").strip()
    node.configure(UNTIL)
    try:
        for name, moment in (("one", f"@{real}"), ("two", "2031-07-01"), ("three", f"@{real}")):
            node.machine.sh('date --set "$1" >/dev/null', moment)
            assert _runs_confined(node, name)
    finally:
        node.machine.sh('date --set "$1" >/dev/null', f"@{real}")
    modes = {line["id"]: line["mode"] for line in node.ledger()[-3:]}
    assert modes == {"one": "audit", "two": "enforce", "three": "audit"}
    assert list(modes) == ["one", "two", "three"]
    node.configure("")


def test_a_container_was_not_watched_for_the_hour_by_which_the_clock_was_set(node: Node) -> None:
    run = "docker run -d --network none --security-opt seccomp=unconfined --runtime runc-wrap"
    node.configure('[default]\nmode = "audit"\n')
    node.machine.sh(f'{run} --name young {IMAGE} sh -c "/repeat 1 1; exec sleep 100000" >/dev/null')
    young = node.machine.sh("docker inspect -f '{{.Id}}' young").strip()
    node.machine.sh("sleep 5; date --set '+1 hour' >/dev/null; sleep 5")
    try:
        rows = node.shown("report", "--since", "1h")
        (found,) = [row for row in rows if young in row["ids"]]
        assert found["watched"] < 600  # and not an hour
    finally:
        node.machine.sh("date --set '-1 hour' >/dev/null; docker rm -f young >/dev/null")
        node.configure("")

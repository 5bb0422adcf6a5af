"""`engine add --restart` with systemd itself: what fails, or loses its power, is as it was before.

containerd is taken out first, and registered again by the last test. Each fault is one of this
machine's: units, timers and the boot are systemd's own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from tests.vm.containerd_change import (
    NEW,
    answers_as_before,
    changed,
    is_new,
    unregistered,
    wait_as_before,
)
from tests.vm.machine import wait
from tests.vm.node import IMAGE, PREFIX

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from harness.node.guest import Guest
    from tests.vm.node import Node

LIVES = f"ctr run --detach {IMAGE} lives /bin/sleep 1000000"
# A script of a fault's runs whenever containerd starts, until the next boot.
PREPARE = f"""
mkdir -p /run/systemd/system/containerd.service.d
printf '[Service]\nExecStartPre=/bin/sh -c "[ ! -e /run/first ] || sh /run/first"\n' \
    > /run/systemd/system/containerd.service.d/first.conf
systemctl daemon-reload
{LIVES}
"""
ADD = "systemd-run --quiet --unit adding runc-wrapctl engine add containerd --restart"


@dataclass(frozen=True)
class Fault:
    """What goes wrong once containerd's file is the new one; the words that tell; its end."""

    begin: str
    told: str
    end: str


def _when_started(script: str) -> str:
    return f"printf '%s\n' '! {NEW} || {{ {script}; }}' > /run/first\n"


def _instead_of_us(script: str) -> str:
    """Replace what containerd executes, until the next boot."""
    lines = f"'#!/bin/sh' '{script}' 'exec runc \"$@\"'"
    return f"""
printf '%s\n' {lines} > /root/instead; chmod 755 /root/instead
mount --bind /root/instead {PREFIX}/bin/runc-wrap
"""


_CHECK = "/usr/local/sbin/containerd"  # before Debian's, for whoever looks it up
_US_AGAIN = f"umount {PREFIX}/bin/runc-wrap"
FAULTS = {
    "refuses the file": Fault(
        f"""
printf '%s\n' '#!/bin/sh' '! {NEW} || {{ echo no such setting >&2; exit 1; }}' \
    'exec /usr/bin/containerd "$@"' > {_CHECK}
chmod 755 {_CHECK}
""",
        "containerd refuses its files: no such setting",
        f"rm {_CHECK}",
    ),
    "does not come back": Fault(
        _when_started("exit 1"), "`systemctl restart containerd.service` failed", "rm /run/first"
    ),
    "full disk": Fault(
        _when_started(
            "fallocate -l $(($(stat -f -c %f /) / 50 * 49 * $(stat -f -c %S /))) /full; "
            "cat /dev/zero >> /full; exit 1"
        ),
        "`systemctl restart containerd.service` failed",
        "rm /run/first /full",
    ),
    "unconfined": Fault(
        _instead_of_us(":"), "the ledger has no decision about the canary", _US_AGAIN
    ),
    "hangs": Fault(
        _instead_of_us("case $* in *create*) exec sleep 90; esac"),
        "did not answer /runtime.v1.RuntimeService/RunPodSandbox within",
        _US_AGAIN,
    ),
}


@pytest.fixture(scope="module", autouse=True)
def before(node: Node) -> Iterator[str]:
    """STATE without us in containerd, beside a container that runs."""
    node.machine.sh(PREPARE)
    with unregistered(node) as state:
        yield state
    node.machine.attempt("ctr tasks rm -f lives; ctr containers rm lives")


@pytest.mark.parametrize("name", FAULTS)
def test_after_a_fault_the_engine_answers_with_its_former_file(
    node: Node, before: str, name: str
) -> None:
    fault = FAULTS[name]
    node.machine.sh(fault.begin)
    try:
        code, told = changed(node, "add")
    finally:
        node.machine.sh(fault.end)
    assert (code, told["taken_back"], fault.told in told["reason"]) == (1, True, True), told
    answers_as_before(node.machine, before)
    assert "RUNNING" in node.machine.sh("ctr tasks list | grep lives")


def _while_it_restarts(machine: Guest) -> None:
    machine.sh(_when_started("sleep 1000") + ADD)
    state = "systemctl is-active containerd || :"
    wait(lambda: machine.sh(state) == "activating\n", "the restart")


def _while_a_canary_runs(machine: Guest) -> None:
    machine.sh(_instead_of_us("case $* in *create*) exec sleep 1000; esac") + ADD)
    asked = "pgrep -f 'sleep 1000$' | wc -l"
    wait(lambda: machine.sh(asked) != "0\n", "the canary")


@pytest.mark.parametrize("when", [_while_it_restarts, _while_a_canary_runs])
def test_after_a_power_cut_the_engine_starts_with_its_former_file(
    node: Node, before: str, when: Callable[[Guest], None]
) -> None:
    when(node.machine)
    assert is_new(node.machine)
    node.machine.power_off()
    node.machine.power_on()
    wait_as_before(node.machine, before)


def test_registered_again_it_is_proved_and_nothing_differs(node: Node) -> None:
    code, told = changed(node, "add")
    assert (code, "equal call by call" in told["proved"]) == (0, True), told
    rows = {one["engine"]: one for one in node.shown("engine", "status")}
    assert (rows["containerd"]["drift"], rows["containerd"]["by"]) == ([], "root")

"""`engine add --restart` with systemd itself: what fails, or loses its power, is as it was before.

containerd is taken out first, and registered again by the last test. Each fault is one of this
machine's: units, timers and the boot are systemd's own.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from tests.vm.machine import wait
from tests.vm.node import IMAGE, PREFIX

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from harness.node.guest import Guest
    from tests.vm.node import Node

CONFIG = "/etc/containerd/config.toml"
LIVES = f"ctr run --detach {IMAGE} lives /bin/sleep 1000000"
# What a change may leave: the engines' files and our records, second names, units.
STATE = rf"""
find /etc/containerd /etc/docker {PREFIX}/var/engines -type f -exec sha256sum {{}} + | sort
find /etc {PREFIX}/var -maxdepth 1 -name '.runc-wrap-*'
find /etc/systemd/system -name 'runc-wrap-revert*'
systemctl list-timers --all --no-legend 'runc-wrap-revert-*'
"""
UNFINISHED = f"""! grep -h '"step"' {PREFIX}/var/transactions/*.json | grep -v '"done"'"""
# A script of a fault's runs whenever containerd starts, until the next boot.
PREPARE = f"""
mkdir -p /run/systemd/system/containerd.service.d
printf '[Service]\nExecStartPre=/bin/sh -c "[ ! -e /run/first ] || sh /run/first"\n' \
    > /run/systemd/system/containerd.service.d/first.conf
systemctl daemon-reload
{LIVES}
"""
ADD = "systemd-run --quiet --unit adding runc-wrapctl engine add containerd --restart"
NEW = f"grep -q {PREFIX}/bin/runc-wrap {CONFIG}"  # whether the file is the changed one


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


def _changed(node: Node, action: str, engine: str, *words: str) -> tuple[int, Any]:
    done = node.ctl("engine", action, engine, "--restart", "--json", *words, seconds=600)
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


def _is_new(machine: Guest) -> bool:
    return machine.attempt(NEW).returncode == 0


def _answers_as_before(machine: Guest, before: str) -> None:
    assert machine.sh(STATE) == before
    assert machine.attempt(UNFINISHED).returncode == 0
    assert machine.sh("systemctl is-active containerd") == "active\n"
    assert machine.attempt("ctr version").returncode == 0


@pytest.fixture(scope="module", autouse=True)
def before(node: Node) -> Iterator[str]:
    """STATE without us in containerd; afterwards we are there again."""
    node.configure("")
    node.machine.sh(PREPARE)
    code, told = _changed(node, "remove", "containerd", "--strand")
    assert code == 0, told
    assert not _is_new(node.machine)
    yield node.machine.sh(STATE)
    if not _is_new(node.machine):
        node.machine.sh("runc-wrapctl engine add containerd; systemctl restart containerd")
    node.machine.attempt("ctr tasks rm -f lives; ctr containers rm lives")


@pytest.mark.parametrize("name", FAULTS)
def test_after_a_fault_the_engine_answers_with_its_former_file(
    node: Node, before: str, name: str
) -> None:
    fault = FAULTS[name]
    node.machine.sh(fault.begin)
    try:
        code, told = _changed(node, "add", "containerd")
    finally:
        node.machine.sh(fault.end)
    assert (code, told["taken_back"], fault.told in told["reason"]) == (1, True, True), told
    _answers_as_before(node.machine, before)
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
    assert _is_new(node.machine)
    node.machine.power_off()
    node.machine.power_on()
    wait(lambda: node.machine.sh(STATE) == before, "what the boot takes back")
    _answers_as_before(node.machine, before)
    said = node.machine.sh("journalctl -b --no-pager -o cat -u runc-wrap-revert.service")
    assert f"taken back: add runc-wrap in {CONFIG}" in said


def test_a_try_is_taken_back_by_its_timer(node: Node, before: str) -> None:
    code, told = _changed(node, "add", "containerd", "--try", "60s")
    assert (code, _is_new(node.machine)) == (0, True), told
    wait(lambda: not _is_new(node.machine), "the timer")
    wait(lambda: node.machine.sh(STATE) == before, "its end")
    _answers_as_before(node.machine, before)


def test_a_try_is_taken_back_by_a_reboot(node: Node, before: str) -> None:
    code, told = _changed(node, "add", "containerd", "--try", "1h")
    assert (code, _is_new(node.machine)) == (0, True), told
    node.machine.reboot()
    wait(lambda: node.machine.sh(STATE) == before, "what the boot takes back")
    _answers_as_before(node.machine, before)


def test_registered_again_it_is_proved_and_nothing_differs(node: Node) -> None:
    code, told = _changed(node, "add", "containerd")
    assert (code, "equal call by call" in told["proved"]) == (0, True), told
    rows = {one["engine"]: one for one in node.shown("engine", "status")}
    assert (rows["containerd"]["drift"], rows["containerd"]["by"]) == ([], "root")

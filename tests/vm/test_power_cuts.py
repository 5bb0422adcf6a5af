"""The machine is reset between any two steps of a transaction: nothing is synced before.

The boot puts back the files of what is not over, before the engine starts.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.node.containerd_change import LEFT, answers, is_new, unregistered, wait_as_before
from harness.node.guest import PREFIX, Node, wait
from tests.vm import reset_after_step
from tests.vm.machine import Machine

_PROGRAM = f"/root/{Path(reset_after_step.__file__).name}"
_RESETS = f"{PREFIX}/lib/current/venv/bin/python -I {_PROGRAM} --prefix {PREFIX} engine"
_ADD = f"{_RESETS} add containerd --restart"
# The boot's own taking back runs in the same way.
_BOOT = "/etc/systemd/system/runc-wrap-revert.service.d"
_AT_BOOT = f"""
mkdir {_BOOT}
printf '[Service]\nExecStart=\nExecStart=%s revert --boot\n' '{_RESETS}' > {_BOOT}/of-the-test.conf
"""


@pytest.fixture(scope="module", autouse=True)
def before(node: Node) -> Iterator[str]:
    """STATE without us in containerd."""
    node.machine.copy_in([Path(reset_after_step.__file__)], "/root")
    with unregistered(node) as state:
        yield state
    node.machine.sh(f"rm -f {_PROGRAM} {reset_after_step.RESETS}")


@pytest.fixture
def machine(node: Node) -> Machine:
    assert isinstance(node.machine, Machine)  # a box has no power
    return node.machine


def _cut(machine: Machine, command: str, *steps: str) -> None:
    """Run a command, and those of the boots after it, each of which is cut off at its step."""
    machine.sh(f"printf '%s\n' \"$@\" > {reset_after_step.RESETS}", *steps)
    machine.reset(command, len(steps))
    assert machine.sh(f"cat {reset_after_step.RESETS}") == ""


@pytest.mark.parametrize("step", reset_after_step.UNFINISHED)
def test_a_power_cut_at_any_step_leaves_the_engine_with_its_former_file(
    machine: Machine, before: str, step: str
) -> None:
    _cut(machine, _ADD, step)
    wait_as_before(machine, before)


def test_a_power_cut_while_the_boot_takes_it_back_is_mended_by_the_next(
    machine: Machine, before: str
) -> None:
    machine.sh(_AT_BOOT)
    try:
        _cut(machine, _ADD, reset_after_step.RESTARTED, reset_after_step.PUT_BACK)
    finally:
        machine.sh(f"rm -r {_BOOT}")
    wait_as_before(machine, before)


def test_after_a_power_cut_at_its_end_the_change_stays(node: Node, machine: Machine) -> None:
    _cut(machine, _ADD, reset_after_step.CLOSED)
    wait(lambda: machine.sh(LEFT) == "", "what the boot removes")
    assert is_new(machine)
    answers(machine)
    rows = {one["engine"]: one for one in node.shown("engine", "status")}
    assert rows["containerd"]["drift"] == []

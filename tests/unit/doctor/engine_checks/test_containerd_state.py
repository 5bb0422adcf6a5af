"""doctor on containerd's patience with its shims."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from runc_wrap.doctor.engine_checks import containerd_state
from runc_wrap.node import installed_programs
from tests.unit.node import machine

if TYPE_CHECKING:
    from tests.unit.cli.ctl import Node

PRINTED = "containerd-shim-runc-v2:\\n  Version:  {}\\n  Revision: x\\n"


@pytest.mark.parametrize(
    ("containerd", "shim", "is_found"),
    [
        ("1.7.24~ds1", "1.7.24~ds1", False),
        ("v2.2.7", "v2.2.7", False),
        ("v2.3.0", "v2.3.0", True),
        ("v2.3.1", "v2.3.1", True),
        ("v2.3.2", "v2.3.2", False),
        ("v2.4.0-beta.0", "v2.4.0-beta.0", False),
        ("v2.3.4", "v2.2.7", True),
        ("v2.3.1", None, True),
        ("v2.3.2", None, False),
        (None, "v2.3.0", False),
    ],
)
def test_a_containerd_that_gives_up_with_a_shim_that_does_not_answer_is_a_warning(
    node: Node, containerd: str | None, shim: str | None, *, is_found: bool
) -> None:
    if containerd:
        printed = f"containerd github.com/containerd/containerd/v2 {containerd} abc"
        machine.fake(node.programs, "containerd", f"echo {printed}")
    if shim:
        machine.fake(node.programs, "containerd-shim-runc-v2", f"printf '{PRINTED.format(shim)}'")
    found = list(containerd_state.find(node.places))
    assert [each.severity for each in found] == ["warning"] * is_found
    assert all("io.containerd.timeout.task.state" in each.remedy for each in found)


def test_what_has_the_shim_is_upgraded(node: Node) -> None:
    machine.fake(node.programs, "containerd", "echo containerd v2.3.1")
    shim = machine.fake(node.programs, "containerd-shim-runc-v2", "true")
    [found] = containerd_state.find(node.places)
    assert found.remedy.startswith(f"upgrade what has {shim}, to containerd and ")


@pytest.mark.parametrize("name", ["k3s", "microk8s"])
def test_a_distributions_containerd_is_upgraded_with_the_distribution(
    node: Node, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """A release of containerd in /usr/bin would be a second one, which nothing calls."""
    brought = machine.fake(node.programs / name, "containerd", "echo containerd x/v2 v2.3.1-k3s1 a")
    monkeypatch.setattr(installed_programs, "DISTRIBUTIONS", {name: str(brought)})
    stray = PRINTED.format("v2.3.4")  # on the path: it is not what this containerd starts
    machine.fake(node.programs, "containerd-shim-runc-v2", f"printf '{stray}'")
    [found] = containerd_state.find(node.places)
    assert found.sentence.startswith(f"{name}'s containerd 2.3.1 with the shim 2.3.1: ")
    assert found.remedy.startswith(f"upgrade {name}, to containerd and ")
    assert "/usr/bin" not in found.remedy
    own = PRINTED.format("v2.3.2-k3s1")
    machine.fake(node.programs / name, "containerd-shim-runc-v2", f"printf '{own}'")
    assert list(containerd_state.find(node.places)) == []

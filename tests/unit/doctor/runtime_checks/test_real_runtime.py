"""doctor on a real runtime that is gone."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from runc_wrap.doctor.runtime_checks import real_runtime
from runc_wrap.host import program
from tests.unit.node import machine

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.cli.ctl import Node


@pytest.fixture(name="local")
def two_runtimes(node: Node, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The place before the one with another runc, and a runc there."""
    local = node.programs / "local"
    monkeypatch.setattr(program, "FIXED_PATH", (str(local), str(node.programs)))
    machine.fake(local, "runc", "echo runc version 1.3.0")
    return local


@pytest.mark.parametrize(
    ("policy", "is_taken", "remedy"),
    [
        ("", True, "run runc-wrapctl apply, which takes {machine}/runc instead"),
        ("runtime = ['{local}/runc', 'runc']\n", True, "run runc-wrapctl apply, which takes "),
        (
            "runtime = ['{local}/runc']\n",
            False,
            "install runc again, so that {local}/runc is there",
        ),
    ],
)
def test_where_another_of_its_kind_is_found_apply_takes_that(
    node: Node, local: Path, policy: str, remedy: str, *, is_taken: bool
) -> None:
    node.configure(policy.format(local=local))
    assert node.ctl("apply").exit_code == 0
    assert [each.severity for each in real_runtime.find(node.places)] != ["error"]
    shutil.rmtree(local)
    [found] = real_runtime.find(node.places)
    assert found.severity == "error"
    assert found.remedy.startswith(remedy.format(machine=node.programs, local=local))
    assert (node.ctl("apply").exit_code == 0) is is_taken


def test_a_runtime_of_another_kind_is_no_substitute(node: Node, local: Path) -> None:
    node.configure("")
    assert node.ctl("apply").exit_code == 0
    shutil.rmtree(local)
    (node.programs / "runc").unlink()
    machine.fake(node.programs, "crun", "echo crun version 1.20")
    [found] = real_runtime.find(node.places)
    assert found.remedy.startswith("install runc again, so that ")

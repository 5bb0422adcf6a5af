"""doctor on a real runtime that is gone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runc_wrap.doctor.runtime_checks import real_runtime

if TYPE_CHECKING:
    from tests.unit.cli.ctl import Node


def test_a_runtime_that_is_gone_is_an_error(node: Node) -> None:
    node.configure("")
    assert node.ctl("apply").exit_code == 0
    assert list(real_runtime.find(node.places)) == []
    (node.programs / "runc").unlink()
    [found] = real_runtime.find(node.places)
    assert found.severity == "error"
    assert found.remedy.startswith("install runc again, or have runc-wrapctl apply")

"""runc 1.2 and later make their own mount calls in an exec, under the container's filter.

With no_new_privs off, the engines' default, runc loads the filter first, and then opens its own
/proc: fsopen, fsconfig, fsmount, open_tree. If they are denied, it falls back. No workload made
these calls, so they affect no verdict and no suggestion.
"""

import pytest

from harness.containers import logged_calls
from harness.host.processes import installed_version
from tests.runtime.conftest import Lab

OPEN_TREE, FSOPEN, FSCONFIG, FSMOUNT = 428, 430, 431, 432


@pytest.mark.parametrize("mode", ["audit", "observe"])
def test_the_calls_of_runc_before_the_program_are_not_the_containers(lab: Lab, mode: str) -> None:
    lab.mode(mode)
    bundle = lab.bundle()
    with lab.agent():
        bundle.create(lab.wrapper)
        with logged_calls.audited(logged_calls.INIT) as logged:
            for _ in range(3):
                assert bundle.call(lab.wrapper, "exec", after=("/bin/true",)).returncode == 0
        bundle.delete(lab.bare)
    if mode == "audit" and _makes_mount_calls():  # the control: they were made and seen
        assert {OPEN_TREE, FSOPEN, FSCONFIG} <= {number for _, number, _ in logged}
    reported = lab.workload(bundle)
    if mode == "observe" and _makes_mount_calls():  # the same: the agent was asked about them
        assert {"open_tree", "fsopen"} <= {one["syscall"] for one in reported["runtime_calls"]}
    assert reported["calls"] == []
    assert reported["verdict"] != "denied"  # it was hardly watched: safe, or not known


def _makes_mount_calls() -> bool:
    major, minor, _ = installed_version("runc").split(".")
    return (int(major), int(minor)) > (1, 2)

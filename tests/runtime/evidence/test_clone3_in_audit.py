"""clone3 in audit, whose records lack flags: the processes that it started show them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from harness.host.processes import wait_until

if TYPE_CHECKING:
    from tests.runtime.conftest import Lab

NEWUSER, NEWNET = 0x10000000, 0x40000000


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([hex(NEWUSER | NEWNET)], ("denied", {NEWUSER | NEWNET})),
        (["thread"], ("degrades", {None})),  # the connector tells of processes
        (["0"], ("degrades", {0})),
        (["0", "unshare"], ("degrades", {0, None})),  # as it is looked at before or after that
    ],
)
def test_a_clone3_that_created_namespaces_is_denied_and_others_are_not(
    lab: Lab, words: list[str], expected: tuple[str, set[int | None]]
) -> None:
    lab.mode("audit")
    with lab.agent():
        bundle = lab.run("clones", *words)
        wait_until(lambda: bool(lab.workload(bundle)["calls"]), "the calls on disk", 30)
        found = lab.workload(bundle)
    (clone3,) = [one for one in found["calls"] if one["syscall"] == "clone3"]
    flags = clone3["args"][0][0] if clone3["args"] else None
    assert clone3["verdict"] == expected[0]
    assert flags in expected[1]
    if len(found["calls"]) == 1:  # else unshare decides
        denied = expected[0] == "denied"
        assert (found["verdict"] == "denied") is denied  # safe, or unknown beside strangers

"""A sample of the corpus, at least one of each class: the report equals the kernel's trace.

`make corpus-report` does the same with the whole corpus. The ground truth comes from the kernel's
tracepoints and the filter read back, evaluated by harness/kernel/filter_emulation.py.
"""

from __future__ import annotations

import pytest

from harness.node.requirements import requires
from tests.corpus import figures
from tests.corpus.__main__ import sample
from tests.corpus.catalogue import KINDS, Entry
from tests.corpus.measure import LOOKING, SUGGESTED, Measured, Ran
from tests.corpus.nodes import AUDIT, BARE, ENFORCE, OBSERVE

pytestmark = pytest.mark.timeout(1200)  # the first test waits for all programs to run
PROGRAMS, SEED = 12, 2


@pytest.fixture(scope="module")
def entries() -> list[Entry]:
    found = sample(PROGRAMS, SEED)
    requires(*(need for entry in found for need in entry.needs.split()))
    return found


def test_the_report_matches_what_would_be_denied(
    found: dict[str, Measured], entries: list[Entry]
) -> None:
    wrong = list(figures.misses("-", entries, found))
    assert [one.sentence for one in wrong if not one.is_told] == []
    assert {one.kind for one in wrong} <= {"missed"}
    for mode in LOOKING:
        assert any(one.reports[mode]["calls"] for one in found.values())


def test_each_kind_of_mistake_is_noticed() -> None:
    mount, denied = frozenset({("x86_64", "mount")}), {"verdict": "denied", "calls": []}
    said = {"verdict": "safe", "calls": [{"abi": "x86_64", "syscall": "umount2"}]}
    ran = {mode: Ran(0, mode) for mode in (BARE, ENFORCE, SUGGESTED + AUDIT)}
    quiet = {mode: Ran(0, BARE) for mode in (OBSERVE, SUGGESTED + OBSERVE)}
    found = Measured(ran | quiet | {AUDIT: Ran(0, "", mount)}, {AUDIT: said, OBSERVE: denied})
    kinds = [one.kind for one in figures.misses("-", [Entry("one", KINDS[-1], "")], {"one": found})]
    assert kinds == ["missed", "invented", "wrongly safe", "suggestion", "disturbed"]

"""A sample of the corpus, at least one of each class: the report equals the kernel's trace.

At night it is the whole corpus (RUNC_WRAP_TEST_CORPUS). The ground truth comes from the kernel's
tracepoints and the filter read back, evaluated by harness/kernel/filter_emulation.py.
"""

import pytest

from harness.node.requirements import is_there
from tests.corpus import figures, nodes
from tests.corpus.catalogue import CATALOGUE, KINDS, Entry
from tests.corpus.conftest import LONG, WHOLE, chosen
from tests.corpus.measure import LOOKING, SUGGESTED, Measured, Ran
from tests.corpus.nodes import AUDIT, BARE, ENFORCE, OBSERVE, native

pytestmark = LONG
# Servers and language runtimes that must run under the default profile as without it
WORKLOADS = "redis nginx postgresql node cpython jdk go strace chrony".split()


@pytest.fixture(scope="module")
def entries() -> list[Entry]:
    if WHOLE:
        return [entry for entry in CATALOGUE if is_there(*entry.needs.split())]
    return chosen(12, 2)


def test_the_report_matches_what_would_be_denied(
    found: dict[str, Measured], entries: list[Entry]
) -> None:
    wrong = [one for one in figures.misses("-", entries, found) if not one.is_told]
    assert [one.sentence for one in wrong if not WHOLE or one.kind in figures.WORST] == []
    for mode in LOOKING:
        assert any(one.reports[mode]["calls"] for one in found.values())


@pytest.mark.skipif(not WHOLE, reason="they are not of the sample")
@pytest.mark.parametrize("mode", LOOKING)
def test_a_server_or_language_is_safe_but_for_the_call_that_glibc_falls_back_from(
    found: dict[str, Measured], mode: str
) -> None:
    """`clone3` gets ENOSYS on purpose: glibc then starts the thread by clone(2)."""
    assert found.keys() & {*WORKLOADS}
    for name in found.keys() & WORKLOADS:
        report = found[name].reports[mode]
        assert nodes.reported(report) <= native("clone3"), name
        assert {run.status for run in found[name].ran.values()} == {0}, name
        if mode == AUDIT and name == "chrony":  # its own filter may hide calls
            assert "filters of their own" in report["reason"]
        else:
            assert report["verdict"] == "safe", (name, report["reason"])


def test_each_kind_of_mistake_is_noticed() -> None:
    mount, denied = frozenset({("x86_64", "mount")}), {"verdict": "denied", "calls": []}
    said = {"verdict": "safe", "calls": [{"abi": "x86_64", "syscall": "umount2"}]}
    ran = {mode: Ran(0, mode) for mode in (BARE, ENFORCE, SUGGESTED + AUDIT)}
    quiet = {mode: Ran(0, BARE) for mode in (OBSERVE, SUGGESTED + OBSERVE)}
    found = Measured(ran | quiet | {AUDIT: Ran(0, "", mount)}, {AUDIT: said, OBSERVE: denied})
    kinds = [one.kind for one in figures.misses("-", [Entry("one", KINDS[-1], "")], {"one": found})]
    assert kinds == ["missed", "invented", "wrongly safe", "suggestion", "disturbed"]
